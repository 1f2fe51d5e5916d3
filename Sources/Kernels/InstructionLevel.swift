import CKernels

/// Instruction sets that the C kernels are compiled for, slowest first.
public enum InstructionLevel: Int, CaseIterable, Comparable, Sendable {
    /// The portable baseline.
    case sse
    case avx2
    case avx512

    /// The highest level that this processor supports.
    public static var best: InstructionLevel { InstructionLevel(rawValue: Int(patches_processor_level())) ?? .sse }

    public static func < (a: InstructionLevel, b: InstructionLevel) -> Bool { a.rawValue < b.rawValue }
}
