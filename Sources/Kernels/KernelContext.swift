import CKernels
import Threads

/// What the operands of convolutions' products are rounded to. Sums, weights, everything between convolutions and the
/// optimizer are float32 in both cases.
public enum Precision: String, Sendable, CaseIterable {
    case float32
    /// bfloat16: 8 significant bits, the range of float32.
    case bf16
}

/// What kernels run on: the threads that share the work and the instruction set of the C code. Kernels are methods of it.
///
/// Work is split into chunks that depend on shapes only, and partial results are combined in index order: the same bits
/// for any number of threads. Kernels allocate nothing; scratch memory comes in as `workspace`, whose size in floats the
/// matching `…WorkspaceCount` function gives.
public struct KernelContext: Sendable {
    public let pool: ForkJoinPool
    public let level: InstructionLevel
    public let precision: Precision
    /// How bfloat16 products are computed; unused in float32.
    let bfloat16Way: Int32

    public init(pool: ForkJoinPool, level: InstructionLevel = .best, precision: Precision = .float32) {
        self.pool = pool
        self.level = level
        self.precision = precision
        bfloat16Way = precision == .bf16 ? ck_bf16_best(Int32(level.rawValue)) : 0
    }

    /// The matrix product of convolutions, in cache.
    func multiply(_ product: inout ck_product) {
        switch precision {
        case .float32: kernels.pointee.product(&product)
        case .bf16: ck_product_bf16(bfloat16Way, kernels, &product)
        }
    }

    /// The C functions that move data around the matrix products, for this level.
    var patches: patches_kernels {
        switch level {
        case .avx512: patches_kernels(2).pointee
        case .avx2: patches_kernels(1).pointee
        default: patches_kernels(0).pointee
        }
    }
}
