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
    /// 3…12: LZ4HC; 0…2: LZ4's fast compressor, and no field is entropy-coded. 9 keeps within 1 % of 12 in a third of its
    /// time.
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
            let packed = array.bytes.withUnsafeBytes { smallest($0, shape, engine, scratch) }
            headers.append(
                RecordHeader.Field(
                    name: field.name, shape: shape, filter: packed.filter, storedByteCount: packed.frame.count,
                    payloadByteCount: packed.payloadByteCount, hash: Hash.xxh64(array.bytes)))
            frames.append(packed.frame)
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

    private struct Packed {
        let filter: FieldFilter
        let frame: [UInt8]
        let payloadByteCount: Int
    }

    /// The array in a frame. Of the filters with payloads for LZ4 that which is smallest at its fastest level (the first
    /// one of equals); or coded residuals, if their frame is smaller than that one's.
    private func smallest(
        _ bytes: UnsafeRawBufferPointer, _ shape: FieldShape, _ engine: FilterEngine, _ scratch: ScratchBuffer
    ) -> Packed {
        func payload(_ filter: FieldFilter) -> [UInt8] {
            let room = shape.payloadByteCount(filter)
            return [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
                // Bit planes end in unused bits only where their last bytes are written whole, so nothing stays unset.
                count = engine.apply(
                    filter, shape, from: bytes,
                    to: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: room))
            }
        }
        func packed(_ filter: FieldFilter, _ payload: [UInt8]) -> Packed {
            let frame = payload.withUnsafeBytes { LZ4Frame.encode($0, level: level) }
            return Packed(filter: filter, frame: frame, payloadByteCount: payload.count)
        }
        var best: (filter: FieldFilter, payload: [UInt8], byteCount: Int)?
        let candidates = FieldFilter.candidates(for: shape.element)
        for filter in candidates where filter != .codedResiduals {
            let candidate = payload(filter)
            let byteCount = candidate.withUnsafeBytes { LZ4Frame.fastByteCount($0, scratch: scratch) }
            if byteCount < best?.byteCount ?? .max { best = (filter, candidate, byteCount) }
        }
        guard let best else { preconditionFailure("no filter for \(shape.element.name)") }
        let first = packed(best.filter, best.payload)
        guard level >= 3, candidates.contains(.codedResiduals) else { return first }
        let coded = payload(.codedResiduals)
        // Readers allocate what stored bytes can justify, so a field must not shrink further.
        guard shape.allows(payloadByteCount: UInt64(coded.count), .codedResiduals) else { return first }
        let second = packed(.codedResiduals, coded)
        let isJustified = shape.byteCount <= second.frame.count * ShardLimits.expansion
        return isJustified && second.frame.count < first.frame.count ? second : first
    }
}
