import Basics

/// A record as it will stand in a shard. Made by `RecordEncoder`, on any thread.
public struct EncodedRecord: Sendable, Equatable {
    public let key: String
    public let fields: [FieldDescription]
    /// LZ4 frames: one of the header, one of each field.
    public let bytes: [UInt8]
    let headerStoredByteCount: Int
    let decodedByteCount: Int
    /// XXH3-64 of `bytes`.
    let hash: UInt64

    /// Bytes of all arrays.
    public var byteCount: Int { fields.reduce(0) { $0 + $1.byteCount } }
}

/// Filters, compresses and checksums records. A pure function of the record and the settings: give it to as many
/// threads as you like and append the results in order.
public struct RecordEncoder: Sendable {
    /// 3…12: LZ4HC; 0…2: LZ4's fast compressor. 9 keeps within 1 % of 12 in a third of its time.
    public let level: Int

    public init(level: Int = 9) {
        precondition((0...12).contains(level), "LZ4 level \(level), expected 0…12")
        self.level = level
    }

    /// - Throws: `ShardError` (65) if the record has no fields, two of one name, an invalid key or name, or a field
    ///   beyond `ShardLimits`.
    public func encode(_ record: Record) throws -> EncodedRecord {
        func refuse(_ problem: String) -> ShardError {
            ShardError(
                path: record.key.isEmpty ? "record" : ShardError.printable(record.key), problem,
                remedy: "mend this record's source")
        }
        guard RecordHeader.isValid(record.key, limit: ShardLimits.keyBytes) else {
            throw refuse("its key is not 1…\(ShardLimits.keyBytes) bytes of text without control characters")
        }
        guard (1...ShardLimits.fieldsPerRecord).contains(record.fields.count) else {
            throw refuse("\(record.fields.count) fields, expected 1…\(ShardLimits.fieldsPerRecord)")
        }
        let engine = FilterEngine()
        let scratch = ScratchBuffer()
        var headers: [RecordHeader.Field] = []
        var frames: [[UInt8]] = []
        for field in record.fields {
            let array = field.array
            let shape = FieldShape(
                height: array.height, width: array.width, channels: array.channels, element: array.element)
            guard RecordHeader.isValid(field.name, limit: ShardLimits.fieldNameBytes) else {
                throw refuse(
                    "field name '\(ShardError.printable(field.name))' is not 1…\(ShardLimits.fieldNameBytes) plain bytes"
                )
            }
            guard !headers.contains(where: { $0.name == field.name }) else {
                throw refuse("field '\(field.name)' occurs twice")
            }
            guard shape.isWithinLimits else {
                throw refuse(
                    "field '\(field.name)' is \(array.height)x\(array.width)x\(array.channels) \(array.element.name), "
                        + "allowed are sides 1…\(ShardLimits.side), channels 1…\(ShardLimits.channels) and 1 GiB")
            }
            let (filter, payload) = array.bytes.withUnsafeBytes { smallest($0, shape, engine, scratch) }
            let frame = payload.withUnsafeBytes { LZ4Frame.encode($0, level: level) }
            headers.append(
                RecordHeader.Field(
                    name: field.name, shape: shape, filter: filter, storedByteCount: frame.count,
                    payloadByteCount: payload.count, hash: Hash.xxh64(array.bytes)))
            frames.append(frame)
        }
        let header = RecordHeader(key: record.key, fields: headers).encoded()
        var bytes = header.withUnsafeBytes { LZ4Frame.encode($0, level: level) }
        let headerStoredByteCount = bytes.count
        bytes.reserveCapacity(frames.reduce(bytes.count) { $0 + $1.count })
        for frame in frames { bytes += frame }
        return EncodedRecord(
            key: record.key,
            fields: headers.map(\.description),
            bytes: bytes, headerStoredByteCount: headerStoredByteCount,
            decodedByteCount: headers.reduce(header.count) { $0 + $1.payloadByteCount }, hash: Hash.xxh64(bytes))
    }

    /// The filter under which the array is smallest at LZ4's fastest level (the first one of equals), and its payload.
    private func smallest(
        _ bytes: UnsafeRawBufferPointer, _ shape: FieldShape, _ engine: FilterEngine, _ scratch: ScratchBuffer
    ) -> (FieldFilter, [UInt8]) {
        var best: (filter: FieldFilter, payload: [UInt8], byteCount: Int)?
        for filter in FieldFilter.candidates(for: shape.element) {
            let byteCount = shape.payloadByteCount(filter)
            let payload = [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
                // Bit planes end in unused bits only where their last bytes are written whole, so nothing stays unset.
                engine.apply(
                    filter, shape, from: bytes,
                    to: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: byteCount))
                count = byteCount
            }
            let packed = payload.withUnsafeBytes { LZ4Frame.fastByteCount($0, scratch: scratch) }
            if packed < best?.byteCount ?? .max { best = (filter, payload, packed) }
        }
        guard let best else { preconditionFailure("no filter for \(shape.element.name)") }
        return (best.filter, best.payload)
    }
}
