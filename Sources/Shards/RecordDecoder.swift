import Basics

/// Seconds that the stages of decoding have taken.
public struct DecodeTimes: Sendable {
    /// From the file, or the system's cache of it.
    public var read = 0.0
    /// Checking the hashes of stored bytes and of arrays.
    public var hash = 0.0
    public var decompress = 0.0
    public var unfilter = 0.0

    public init() {}
}

/// Reads and verifies records of shards, keeping its scratch memory from one to the next. One per thread.
public final class RecordDecoder {
    private let engine = FilterEngine()
    private let stored = ScratchBuffer()
    private let headerBytes = ScratchBuffer()
    private let payload = ScratchBuffer()
    private let pixels = ScratchBuffer()
    // The record that was loaded last.
    private var path = ""
    private var number: Int?
    private var entry = ShardReader.Entry()
    private var header = RecordHeader(key: "", fields: [])
    private var headerByteCount = 0

    /// What `load` and the decoding of fields add their time to; nil (at first) measures nothing.
    public var times: DecodeTimes?

    public init() {}

    @inline(__always)
    private func timed<R, E: Error>(
        _ stage: WritableKeyPath<DecodeTimes, Double>, _ body: () throws(E) -> R
    ) throws(E) -> R {
        guard times != nil else { return try body() }
        let start = monotonicSeconds()
        defer { times?[keyPath: stage] += monotonicSeconds() - start }
        return try body()
    }

    /// Key of the loaded record.
    public var key: String { header.key }

    /// Fields of the loaded record, in stored order.
    public var fields: [FieldDescription] {
        header.fields.map(\.description)
    }

    /// Reads record `number`'s stored bytes, verifies them and its header. Fields are decoded on request.
    /// - Throws: `ShardError`, `FileError`.
    public func load(_ shard: ShardReader, _ number: Int) throws {
        try load(shard.file, shard.entries[number], number, key: shard.key(number))
    }

    /// - Parameter key: what the index says; nil if there is none that could be believed. The entry then says where the
    ///   record lies and how long its header is, and the rest is taken from the record.
    func load(_ file: ShardFile, _ place: ShardReader.Entry, _ number: Int?, key: String?) throws {
        path = file.path
        self.number = number
        entry = place
        header = RecordHeader(key: "", fields: [])
        let bytes = stored.bytes(entry.storedByteCount)
        try timed(\.read) { try file.read(bytes, at: entry.byteOffset) }
        let found = timed(\.hash) { Hash.xxh64(UnsafeRawBufferPointer(bytes)) }
        if key == nil { entry.hash = found }
        guard found == entry.hash else {
            throw error(
                "stored bytes hash to \(Hash.hexadecimal(found)), the index says \(Hash.hexadecimal(entry.hash))",
                key: key)
        }
        // The header's own size stands in its LZ4 frame; the limit comes first.
        let frame = UnsafeRawBufferPointer(rebasing: bytes[0..<entry.headerStoredByteCount])
        guard frame.count >= LZ4Frame.minimumByteCount else { throw error("its header frame is cut off") }
        let size = UInt64(littleEndian: frame.loadUnaligned(fromByteOffset: 6, as: UInt64.self))
        guard size <= UInt64(ShardLimits.recordHeaderBytes) else { throw error("its header claims \(size) bytes") }
        headerByteCount = Int(size)
        let target = headerBytes.bytes(headerByteCount)
        try decode(frame, into: target, at: 0)
        do {
            header = try RecordHeader(
                decoding: UnsafeRawBufferPointer(target), fieldsStoredByteCount: entry.storedByteCount - frame.count)
        } catch {
            throw self.error(error.text)
        }
        let decoded = header.decodedByteCount(headerByteCount: headerByteCount)
        if key == nil { entry.decodedByteCount = decoded }
        guard decoded == entry.decodedByteCount, key == nil || header.key == key else {
            let problem = "its header (\(decoded) bytes) and the index (\(entry.decodedByteCount) bytes) disagree"
            throw error(problem)
        }
    }

    /// The loaded record as it stands in the shard, verified: every field decodes to its hash.
    public func encodedRecord() throws -> EncodedRecord {
        try verifyLoaded()
        return EncodedRecord(
            key: header.key, fields: fields, bytes: Array(stored.bytes(entry.storedByteCount)),
            headerStoredByteCount: entry.headerStoredByteCount, decodedByteCount: entry.decodedByteCount,
            hash: entry.hash)
    }

    /// The same under another key: the header is written anew, the fields stay as they are.
    /// - Throws: `ShardError` also if `key` cannot be one.
    public func encodedRecord(key: String, level: Int) throws -> EncodedRecord {
        try verifyLoaded()
        guard RecordHeader.isValid(key, limit: ShardLimits.keyBytes) else {
            throw error("its new key '\(ShardError.printable(key))' is not 1…\(ShardLimits.keyBytes) plain bytes")
        }
        let head = RecordHeader(key: key, fields: header.fields).encoded()
        var bytes = head.withUnsafeBytes { LZ4Frame.encode($0, level: level) }
        let headerStoredByteCount = bytes.count
        bytes += stored.bytes(entry.storedByteCount)[entry.headerStoredByteCount...]
        return EncodedRecord(
            key: key, fields: fields, bytes: bytes, headerStoredByteCount: headerStoredByteCount,
            decodedByteCount: header.decodedByteCount(headerByteCount: head.count), hash: Hash.xxh64(bytes))
    }

    public func index(ofField name: String) -> Int? { header.fields.firstIndex { $0.name == name } }

    /// Decodes field `index` of the loaded record into `target`, which holds exactly its bytes, and verifies the
    /// result.
    public func decodeField(_ index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        try decodeField(index, into: target, checkContent: false)
    }

    func decodeField(_ index: Int, into target: UnsafeMutableRawBufferPointer, checkContent: Bool) throws {
        let field = header.fields[index]
        precondition(target.count == field.shape.byteCount, "field '\(field.name)' into \(target.count) bytes")
        let start = header.fields[..<index].reduce(entry.headerStoredByteCount) { $0 + $1.storedByteCount }
        let all = stored.bytes(entry.storedByteCount)
        let frame = UnsafeRawBufferPointer(rebasing: all[start..<(start + field.storedByteCount)])
        if field.filter == .none {
            try decode(frame, into: target, at: start, checkContent: checkContent)
        } else {
            let filtered = payload.bytes(field.payloadByteCount)
            try decode(frame, into: filtered, at: start, checkContent: checkContent)
            let isWhole = timed(\.unfilter) {
                engine.invert(field.filter, field.shape, from: UnsafeRawBufferPointer(filtered), to: target)
            }
            guard isWhole else {
                throw error("field '\(field.name)' is no stream of \(field.filter.name)", offset: start)
            }
        }
        let found = timed(\.hash) { Hash.xxh64(UnsafeRawBufferPointer(target)) }
        guard found == field.hash else {
            throw error(
                "field '\(field.name)' decodes to hash \(Hash.hexadecimal(found)), "
                    + "its header says \(Hash.hexadecimal(field.hash))", offset: start)
        }
    }

    /// Decodes field `index` into scratch memory that is valid until the next call.
    public func fieldBytes(_ index: Int) throws -> UnsafeRawBufferPointer {
        let target = pixels.bytes(header.fields[index].shape.byteCount)
        try decodeField(index, into: target)
        return UnsafeRawBufferPointer(target)
    }

    /// The loaded record, all fields decoded.
    public func record() throws -> Record {
        var fields: [Record.Field] = []
        for (index, field) in header.fields.enumerated() {
            let shape = field.shape
            let bytes = try [UInt8](unsafeUninitializedCapacity: shape.byteCount) { buffer, count in
                let target = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: shape.byteCount)
                try decodeField(index, into: target)
                count = shape.byteCount
            }
            fields.append(
                Record.Field(
                    field.name,
                    PixelArray(
                        height: shape.height, width: shape.width, channels: shape.channels, element: shape.element,
                        bytes: bytes)))
        }
        return Record(key: header.key, fields: fields)
    }

    /// Decodes everything that the loaded record holds, LZ4's own checksums included.
    func verifyLoaded() throws {
        let bytes = stored.bytes(entry.storedByteCount)
        let frame = UnsafeRawBufferPointer(rebasing: bytes[0..<entry.headerStoredByteCount])
        try decode(frame, into: headerBytes.bytes(headerByteCount), at: 0, checkContent: true)
        for (index, field) in header.fields.enumerated() {
            try decodeField(index, into: pixels.bytes(field.shape.byteCount), checkContent: true)
        }
    }

    private func decode(
        _ frame: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, at offset: Int,
        checkContent: Bool = false
    ) throws {
        do {
            try timed(\.decompress) { () throws(LZ4Frame.Problem) in
                try LZ4Frame.decode(frame, into: target, checkContent: checkContent)
            }
        } catch {
            throw self.error(error.text, offset: offset + error.byteOffset)
        }
    }

    private func error(_ problem: String, offset: Int = 0, key: String? = nil) -> ShardError {
        let name = key ?? (header.key.isEmpty ? nil : header.key)
        return ShardError(
            path: path, record: number, key: name, byteOffset: entry.byteOffset + offset, problem)
    }
}
