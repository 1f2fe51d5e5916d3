import CKernels

/// A set of instructions that the kernels are compiled for. Levels that fuse multiply-add give each other's bits in all
/// kernels; others differ from them in products, Winograd transforms and depthwise convolutions only.
public enum InstructionLevel: Int, CaseIterable, Comparable, Sendable, CustomStringConvertible {
    /// The baseline: SSE2 on x86-64, whatever the compiler assumes elsewhere.
    case sse = 0
    case avx2 = 1
    case avx512 = 2
    case neon = 3

    /// The levels that this processor can run, ascending; never empty.
    public static let supported: [InstructionLevel] = allCases.filter { ck_kernels_for(Int32($0.rawValue)) != nil }

    public static let best: InstructionLevel = supported.last ?? .sse

    public var name: String {
        switch self {
        case .sse: "sse"
        case .avx2: "avx2"
        case .avx512: "avx512"
        case .neon: "neon"
        }
    }

    /// Whether products are added without rounding them first.
    public var fusesMultiplyAdd: Bool { self != .sse }

    public init?(name: String) {
        guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }

    public var description: String { name }

    public static func < (left: InstructionLevel, right: InstructionLevel) -> Bool { left.rawValue < right.rawValue }
}
