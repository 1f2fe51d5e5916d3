import Threads
public struct KernelContext: Sendable { public let pool: ForkJoinPool; public let level: InstructionLevel; public init(pool: ForkJoinPool, level: InstructionLevel) { self.pool = pool; self.level = level } }
public enum InstructionLevel: Sendable { case best }
