import Threads

/// What every kernel runs with: the threads that share its chunks and the instruction level.
public struct KernelContext: Sendable {
    public let pool: ForkJoinPool
    public let level: InstructionLevel

    public init(pool: ForkJoinPool, level: InstructionLevel = .best) {
        self.pool = pool
        self.level = level
    }
}
