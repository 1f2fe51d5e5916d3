import Basics
import Glibc

/// An open shard: its index in memory, its records read on request. Reads with `pread`, never through a mapping: a file
/// that is cut short under a running program is then an error, not a signal. Any thread may use it.
public final class ShardReader: Sendable {
    struct Entry: Sendable {
        var byteOffset = 0
        var storedByteCount = 0
        var decodedByteCount = 0
        var hash: UInt64 = 0
        var headerStoredByteCount = 0
        var keyByteOffset = 0
        var keyByteCount = 0
    }

    public let path: String
    public let byteCount: Int
    /// XXH3-64 of the index frame.
    public let indexHash: String
    let entries: [Entry]
    private let keyBytes: [UInt8]
    private let descriptor: Int32

    public var recordCount: Int { entries.count }

    /// Key of record `number`.
    public func key(_ number: Int) -> String {
        let entry = entries[number]
        return String(
            decoding: keyBytes[entry.keyByteOffset..<(entry.keyByteOffset + entry.keyByteCount)], as: UTF8.self)
    }

    /// Opens a shard: footer, header and index are read and verified.
    /// - Throws: `FileError` (66 if missing, 74), `ShardError` (65).
    public init(path: String) throws {
        self.path = path
        // O_NONBLOCK: a pipe in the place of a file must not stop the program.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 { throw FileError(path: path, action: "open", code: errno) }
        self.descriptor = descriptor
        do {
            var status = stat()
            if fstat(descriptor, &status) != 0 { throw FileError(path: path, action: "read", code: errno) }
            guard status.st_mode & S_IFMT == S_IFREG else {
                throw ShardError(path: path, "is not a regular file", remedy: "give the path of a shard")
            }
            let file = ShardFile(path: path, descriptor: descriptor, byteCount: Int(status.st_size))
            let footer = try file.footer()
            try file.checkHeader(footer)
            (entries, keyBytes) = try file.index(footer)
            byteCount = file.byteCount
            indexHash = Hash.hexadecimal(footer.indexHash)
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    /// Must not be used longer than this reader lives.
    var file: ShardFile { ShardFile(path: path, descriptor: descriptor, byteCount: byteCount) }

    /// Where record `number` lies.
    public func byteRange(_ number: Int) -> Range<Int> {
        let entry = entries[number]
        return entry.byteOffset..<(entry.byteOffset + entry.storedByteCount)
    }

    /// Tells the system that these bytes are needed soon.
    func prepare(_ bytes: Range<Int>) {
        _ = posix_fadvise(descriptor, off_t(bytes.lowerBound), off_t(bytes.count), POSIX_FADV_WILLNEED)
    }

    /// Record `number`, verified. For many records keep a `RecordDecoder`.
    public func record(_ number: Int) throws -> Record {
        let decoder = RecordDecoder()
        try decoder.load(self, number)
        return try decoder.record()
    }

    /// Decodes every record and recomputes every checksum of the open shard.
    /// - Returns: One line per problem; empty if the shard is whole.
    public func verify() -> [ShardError] { verify(0..<recordCount, RecordDecoder()) }

    func verify(_ records: Range<Int>, _ decoder: RecordDecoder) -> [ShardError] {
        var problems: [ShardError] = []
        for number in records {
            do {
                try decoder.load(self, number)
                try decoder.verifyLoaded()
            } catch {
                problems.append(ShardError.wrapping(error, path: path))
            }
        }
        return problems
    }

    /// XXH3-128 of the whole file.
    func hashOfFile() throws -> String {
        let stream = HashStream()
        let scratch = ScratchBuffer()
        var offset = 0
        while offset < byteCount {
            let piece = scratch.bytes(min(1 << 20, byteCount - offset))
            try file.read(piece, at: offset)
            stream.update(UnsafeRawBufferPointer(piece))
            offset += piece.count
        }
        return stream.digest
    }

    /// Opens and verifies the shard at `path`.
    /// - Returns: One line per problem; empty if the shard is whole.
    public static func verify(path: String) -> [ShardError] {
        do {
            return try ShardReader(path: path).verify()
        } catch {
            return [ShardError.wrapping(error, path: path)]
        }
    }
}
