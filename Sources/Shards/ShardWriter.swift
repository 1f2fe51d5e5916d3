import Basics

/// What a finished shard is, as the manifest tells it.
public struct ShardSummary: Sendable, Equatable {
    /// File name within the data set's folder.
    public let name: String
    public let byteCount: Int
    public let recordCount: Int
    /// XXH3-128 of the whole file, as `xxh128sum` prints it.
    public let hash: String
    /// XXH3-64 of the index frame, 16 hexadecimal digits: binds the index that is read at opening to the manifest.
    public let indexHash: String
}

/// Writes one shard. It appears at its path when `finish` returns, complete and synced, and not before.
public final class ShardWriter {
    public let path: String
    private let file: AtomicFileWriter
    private let whole = HashStream()
    private var entries: [UInt8] = []
    private var keys: [UInt8] = []
    public private(set) var recordCount = 0
    private let headerHash: UInt64

    /// - Throws: `FileError`.
    public init(path: String) throws {
        self.path = path
        file = try AtomicFileWriter(path: path)
        var header: [UInt8] = []
        header.appendLittleEndian(ShardLayout.headerMagic)
        header.appendLittleEndian(UInt32(ShardLayout.headerByteCount - ShardLayout.skippableHeaderByteCount))
        header += ShardLayout.fileMark
        header.appendLittleEndian(ShardLayout.version)
        header += [UInt8](repeating: 0, count: ShardLayout.headerByteCount - header.count)
        headerHash = Hash.xxh64(header)
        try write(header)
    }

    /// Bytes that the file would have if it were finished now.
    public var byteCount: Int {
        file.byteOffset + ShardLayout.skippableHeaderByteCount + entries.count + keys.count
            + ShardLayout.footerByteCount
    }

    /// Bytes by which `record` would lengthen the file.
    static func growth(of record: EncodedRecord) -> Int {
        record.bytes.count + ShardLayout.indexEntryByteCount + record.key.utf8.count
    }

    public func append(_ record: EncodedRecord) throws {
        precondition(recordCount < ShardLimits.recordsPerShard, "\(recordCount) records in one shard")
        entries.appendLittleEndian(UInt64(file.byteOffset))
        entries.appendLittleEndian(UInt64(record.bytes.count))
        entries.appendLittleEndian(UInt64(record.decodedByteCount))
        entries.appendLittleEndian(record.hash)
        entries.appendLittleEndian(UInt32(record.headerStoredByteCount))
        entries.appendLittleEndian(UInt32(keys.count))
        entries.appendLittleEndian(UInt16(record.key.utf8.count))
        entries += [0, 0, 0, 0, 0, 0]
        keys += record.key.utf8
        try write(record.bytes)
        recordCount += 1
    }

    /// Writes index and footer, syncs, and makes the file appear.
    public func finish() throws -> ShardSummary {
        let indexOffset = file.byteOffset
        var index: [UInt8] = []
        index.appendLittleEndian(ShardLayout.indexMagic)
        index.appendLittleEndian(UInt32(entries.count + keys.count))
        index += entries
        index += keys
        let indexHash = Hash.xxh64(index)
        try write(index)

        var footer: [UInt8] = []
        footer.appendLittleEndian(ShardLayout.footerMagic)
        footer.appendLittleEndian(UInt32(ShardLayout.footerByteCount - ShardLayout.skippableHeaderByteCount))
        footer.appendLittleEndian(UInt64(indexOffset))
        footer.appendLittleEndian(UInt64(index.count))
        footer.appendLittleEndian(UInt64(recordCount))
        footer.appendLittleEndian(UInt64(indexOffset + index.count + ShardLayout.footerByteCount))
        footer.appendLittleEndian(indexHash)
        footer.appendLittleEndian(headerHash)
        footer += ShardLayout.endMark
        footer.appendLittleEndian(Hash.xxh64(footer))
        precondition(footer.count == ShardLayout.footerByteCount)
        try write(footer)
        try file.publish()
        return ShardSummary(
            name: path.split(separator: "/").last.map(String.init) ?? path, byteCount: file.byteOffset,
            recordCount: recordCount, hash: whole.digest, indexHash: Hash.hexadecimal(indexHash))
    }

    /// Removes what was written; nothing appears. Called by `deinit` of an unfinished writer.
    public func abandon() { file.abandon() }

    private func write(_ bytes: [UInt8]) throws {
        bytes.withUnsafeBytes { whole.update($0) }
        try file.write(bytes)
    }
}
