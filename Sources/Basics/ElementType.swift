/// Type of one element of an array on disk or in a frame. Values are the codes of the shard format: never renumber.
public enum ElementType: UInt8, Sendable, CaseIterable, Hashable {
    case uint8 = 1
    case uint16 = 2
    case float32 = 3

    public var byteCount: Int {
        switch self {
        case .uint8: 1
        case .uint16: 2
        case .float32: 4
        }
    }

    public var name: String {
        switch self {
        case .uint8: "uint8"
        case .uint16: "uint16"
        case .float32: "float32"
        }
    }
}
