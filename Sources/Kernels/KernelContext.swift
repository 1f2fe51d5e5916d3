import CKernels
import Threads

/// What kernels run on: the threads that share the work and the instruction set of the C code. Kernels are methods of it.
///
/// Work is split into chunks that depend on shapes only, and partial results are combined in index order: the same bits
/// for any number of threads. Kernels allocate nothing; scratch memory comes in as `workspace`, whose size in floats the
/// matching `…WorkspaceCount` function gives.
public struct KernelContext: Sendable {
    public let pool: ForkJoinPool
    public let level: InstructionLevel

    public init(pool: ForkJoinPool, level: InstructionLevel = .best) {
        self.pool = pool
        self.level = level
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
