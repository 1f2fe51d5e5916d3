import Basics

/// What a field is, without its bytes.
public struct FieldDescription: Sendable, Equatable {
    public let name: String
    public let height: Int
    public let width: Int
    public let channels: Int
    public let element: ElementType
    public let filter: FieldFilter
    /// Bytes in the shard.
    public let storedByteCount: Int
    /// What these decode to before the filter is undone.
    public let payloadByteCount: Int
    /// Bytes of the array.
    public let byteCount: Int
}

/// The first frame of a record, decoded: key and the description of every field.
struct RecordHeader: Equatable {
    struct Field: Equatable {
        let name: String
        let shape: FieldShape
        let filter: FieldFilter
        /// Bytes of the field's LZ4 frame, and what the frame decodes to.
        let storedByteCount: Int
        let payloadByteCount: Int
        /// XXH3-64 of the field's array, filters undone.
        let hash: UInt64

        var description: FieldDescription {
            FieldDescription(
                name: name, height: shape.height, width: shape.width, channels: shape.channels, element: shape.element,
                filter: filter, storedByteCount: storedByteCount, payloadByteCount: payloadByteCount,
                byteCount: shape.byteCount)
        }
    }

    struct Problem: Error, Equatable {
        let text: String
        init(_ text: String) { self.text = text }
    }

    let key: String
    let fields: [Field]

    /// Bytes that the header and all payloads decode to: what `lz4 -d` yields for this record.
    func decodedByteCount(headerByteCount: Int) -> Int {
        fields.reduce(headerByteCount) { $0 + $1.payloadByteCount }
    }

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        let nameByteCount = fields.reduce(0) { $0 + $1.name.utf8.count }
        let used =
            ShardLayout.recordHeaderByteCount + fields.count * ShardLayout.fieldHeaderByteCount + key.utf8.count
            + nameByteCount
        let byteCount = (used + 7) / 8 * 8
        bytes.reserveCapacity(byteCount)
        bytes += ShardLayout.recordMark
        bytes.appendLittleEndian(UInt32(byteCount))
        bytes.appendLittleEndian(UInt16(fields.count))
        bytes.appendLittleEndian(UInt16(key.utf8.count))
        bytes.appendLittleEndian(UInt32(0))
        for field in fields {
            bytes.appendLittleEndian(UInt32(field.shape.height))
            bytes.appendLittleEndian(UInt32(field.shape.width))
            bytes.appendLittleEndian(UInt16(field.shape.channels))
            bytes.append(field.shape.element.rawValue)
            bytes.append(field.filter.rawValue)
            bytes.appendLittleEndian(UInt16(field.name.utf8.count))
            bytes.appendLittleEndian(UInt16(0))
            bytes.appendLittleEndian(UInt64(field.storedByteCount))
            bytes.appendLittleEndian(UInt64(field.payloadByteCount))
            bytes.appendLittleEndian(field.hash)
        }
        bytes += key.utf8
        for field in fields { bytes += field.name.utf8 }
        bytes += [UInt8](repeating: 0, count: byteCount - bytes.count)
        return bytes
    }

    /// Reads a header that somebody else wrote. `fieldsStoredByteCount`: what is left for the fields' frames, which must
    /// fill it, unless `isWhole` is false.
    init(decoding bytes: UnsafeRawBufferPointer, fieldsStoredByteCount: Int, isWhole: Bool = true) throws(Problem) {
        do {
            var cursor = ByteCursor(bytes)
            guard try cursor.take(4).elementsEqual(ShardLayout.recordMark) else {
                throw Problem("record mark VREC is missing")
            }
            let byteCount: UInt32 = try cursor.integer()
            guard Int(byteCount) == bytes.count, bytes.count % 8 == 0 else {
                throw Problem("record header says \(byteCount) bytes, found \(bytes.count)")
            }
            let fieldCount: UInt16 = try cursor.integer()
            guard (1...ShardLimits.fieldsPerRecord).contains(Int(fieldCount)) else {
                throw Problem("\(fieldCount) fields, expected 1…\(ShardLimits.fieldsPerRecord)")
            }
            let keyByteCount: UInt16 = try cursor.integer()
            try Self.requireZero(UInt64(try cursor.integer(UInt32.self)))
            var names = ByteCursor(
                bytes, at: ShardLayout.recordHeaderByteCount + Int(fieldCount) * ShardLayout.fieldHeaderByteCount)
            guard names.remaining >= 0 else { throw Problem("record header is cut off") }
            let key = try Self.text(try names.take(Int(keyByteCount)), limit: ShardLimits.keyBytes, what: "key")
            var fields: [Field] = []
            var left = fieldsStoredByteCount
            for number in 0..<Int(fieldCount) {
                let field = try Self.field(&cursor, &names, number: number, storedLeft: left)
                left -= field.storedByteCount
                if fields.contains(where: { $0.name == field.name }) {
                    throw Problem("field '\(ShardError.printable(field.name))' occurs twice")
                }
                fields.append(field)
            }
            guard left == 0 || !isWhole else { throw Problem("\(left) stored bytes belong to no field") }
            guard names.remaining < 8, try names.take(names.remaining).allSatisfy({ $0 == 0 }) else {
                throw Problem("padding of the record header is not zero")
            }
            self.key = key
            self.fields = fields
        } catch let problem as Problem {
            throw problem
        } catch {
            throw Problem("record header is cut off")
        }
    }

    init(key: String, fields: [Field]) {
        self.key = key
        self.fields = fields
    }

    private static func field(
        _ cursor: inout ByteCursor, _ names: inout ByteCursor, number: Int, storedLeft: Int
    ) throws -> Field {
        let height: UInt32 = try cursor.integer()
        let width: UInt32 = try cursor.integer()
        let channels: UInt16 = try cursor.integer()
        let elementCode: UInt8 = try cursor.integer()
        let filterCode: UInt8 = try cursor.integer()
        let nameByteCount: UInt16 = try cursor.integer()
        try requireZero(UInt64(try cursor.integer(UInt16.self)))
        let stored: UInt64 = try cursor.integer()
        let payload: UInt64 = try cursor.integer()
        let hash: UInt64 = try cursor.integer()
        guard let element = ElementType(rawValue: elementCode) else {
            throw Problem("field \(number) has the unknown element type \(elementCode)")
        }
        guard let filter = FieldFilter(rawValue: filterCode),
            FieldFilter.candidates(for: element).contains(filter)
        else { throw Problem("field \(number) has the unknown filter \(filterCode) for \(element.name)") }
        let shape = FieldShape(height: Int(height), width: Int(width), channels: Int(channels), element: element)
        guard shape.isWithinLimits else {
            throw Problem("field \(number) is \(height)x\(width)x\(channels) \(element.name), beyond the limits")
        }
        guard stored >= UInt64(LZ4Frame.minimumByteCount), stored <= UInt64(storedLeft) else {
            throw Problem("field \(number) claims \(stored) stored bytes of \(storedLeft)")
        }
        guard shape.allows(payloadByteCount: payload, filter) else {
            let expected = shape.payloadByteCount(filter)
            throw Problem("field \(number) says \(payload) payload bytes, its shape says \(expected)")
        }
        // The sides are bounded above, so a shape alone can ask for 1 GiB: the stored bytes must justify it.
        let claimed = max(Int(payload), shape.byteCount)
        guard claimed <= Int(stored) * ShardLimits.expansion else {
            throw Problem("field \(number) claims \(claimed) bytes from \(stored) stored ones, more than LZ4 can hold")
        }
        let name = try text(try names.take(Int(nameByteCount)), limit: ShardLimits.fieldNameBytes, what: "field name")
        return Field(
            name: name, shape: shape, filter: filter, storedByteCount: Int(stored), payloadByteCount: Int(payload),
            hash: hash)
    }

    private static func requireZero(_ reserved: UInt64) throws(Problem) {
        if reserved != 0 { throw Problem("reserved bits are not zero") }
    }

    private static func text(
        _ bytes: UnsafeRawBufferPointer, limit: Int, what: String
    ) throws(Problem) -> String {
        guard let text = String(validating: bytes, as: UTF8.self), isValid(text, limit: limit) else {
            throw Problem("\(what) is not 1…\(limit) bytes of text without control characters")
        }
        return text
    }

    /// Keys and field names: UTF-8, not empty, no control characters (they end up in terminals and file names).
    static func isValid(_ text: String, limit: Int) -> Bool {
        (1...limit).contains(text.utf8.count)
            && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
    }
}
