/// Writes the wire format of Protocol Buffers: the little of it that event files and exported networks need.
///
/// **Source:** protobuf.dev/programming-guides/encoding.
public struct ProtobufWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    private enum WireType: UInt64 {
        case varint = 0
        case fixed64 = 1
        case lengthDelimited = 2
        case fixed32 = 5
    }

    /// Integers, enumerations, booleans. Negative numbers take ten bytes, as the format wants it.
    public mutating func put(_ field: Int, _ value: Int) {
        key(field, .varint)
        varint(UInt64(bitPattern: Int64(value)))
    }

    public mutating func put(_ field: Int, _ value: Float) {
        key(field, .fixed32)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func put(_ field: Int, _ value: Double) {
        key(field, .fixed64)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func put(_ field: Int, _ text: String) { put(field, bytes: Array(text.utf8)) }

    public mutating func put(_ field: Int, bytes content: [UInt8]) {
        key(field, .lengthDelimited)
        varint(UInt64(content.count))
        bytes.append(contentsOf: content)
    }

    /// A message within this one.
    public mutating func put(_ field: Int, message body: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        body(&inner)
        put(field, bytes: inner.bytes)
    }

    /// The key and length of a message whose bytes follow elsewhere: for what is too large to be held twice.
    public mutating func announce(_ field: Int, byteCount: Int) {
        precondition(byteCount >= 0, "\(byteCount) bytes")
        key(field, .lengthDelimited)
        varint(UInt64(byteCount))
    }

    private mutating func key(_ field: Int, _ type: WireType) {
        precondition(field > 0, "field \(field)")
        varint(UInt64(field) << 3 | type.rawValue)
    }

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
