import Graphs
import Kernels
import Tensors

/// An operation that can be executed.
public protocol Runnable: Operation {
    /// Floats of scratch memory that one run needs. May depend on the number of threads (one piece per thread).
    func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int
    /// Floats of memory for weights in the form that the kernels want: a function of the inputs numbered `packedInputs`
    /// alone. Where these are parameters that never change, they are packed in the first run and kept.
    func packedCount(inputs: [Shape], outputs: [Shape]) -> Int
    var packedInputs: [Int] { get }
    /// Pairs (output, input) where the output may take over the input's memory, in order of preference. The planner does
    /// so only where nobody reads the input afterwards.
    var inPlaceCandidates: [(output: Int, input: Int)] { get }
    /// Resolves memory and sizes once; the returned closure is the step that runs every time and allocates nothing.
    func bind(_ site: BindingSite) -> BoundStep
    /// Floating-point operations of one run (a multiply-add counts as two), for profiles.
    func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int
    /// Multiply-adds of one run as they are executed, for cost models: half the operations, except where an algorithm
    /// needs fewer products than the direct way.
    func executedMultiplyAdds(inputs: [Shape], outputs: [Shape]) -> Int
    /// Bytes that one run reads and writes at least, for profiles: each input and output once, unless overridden.
    func byteCount(inputs: [Shape], outputs: [Shape]) -> Int
}

extension Runnable {
    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int { 0 }
    public func packedCount(inputs: [Shape], outputs: [Shape]) -> Int { 0 }
    public var packedInputs: [Int] { [] }
    public var inPlaceCandidates: [(output: Int, input: Int)] { [] }
    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int {
        outputs.reduce(0) { $0 + $1.count }
    }
    public func executedMultiplyAdds(inputs: [Shape], outputs: [Shape]) -> Int {
        floatOperationCount(inputs: inputs, outputs: outputs) / 2
    }
    public func byteCount(inputs: [Shape], outputs: [Shape]) -> Int {
        (inputs + outputs).reduce(0) { $0 + $1.count } * MemoryLayout<Float>.stride
    }
}

public typealias BoundStep = (borrowing RunState) -> Void

/// Whether what gradients take for constants stays what it was in the last run, however parameters change. Finite
/// differences must hold it, or they measure what no gradient claims.
public final class HeldConstants {
    public var isHeld = false

    public init() {}
}

/// An operation that depends on its input in a way that its gradient leaves out: a choice, or a whole value.
public protocol ConstantHolding: Runnable {
    /// As `bind`; while `constants` are held, a step repeats the choice of the last one that was free.
    func bind(_ site: BindingSite, holding constants: HeldConstants) -> BoundStep
}

/// The memory that the planner gave to one node.
public struct BindingSite {
    public let inputs: [TensorView]
    public let outputs: [TensorView]
    public let workspace: UnsafeMutablePointer<Float>
    public let packed: PackedWeights
    public let kernels: KernelContext
    public let path: String

    /// - Parameter workspace: as many floats as the operation's `workspaceCount` says, on a 64-byte line.
    public init(
        inputs: [TensorView], outputs: [TensorView], workspace: UnsafeMutablePointer<Float>, packed: PackedWeights,
        kernels: KernelContext, path: String
    ) {
        self.inputs = inputs
        self.outputs = outputs
        self.workspace = workspace
        self.packed = packed
        self.kernels = kernels
        self.path = path
    }

    public var input: TensorView { inputs[0] }
    public var output: TensorView { outputs[0] }
}

/// Memory for one node's packed weights, and whether they are there already.
public final class PackedWeights {
    public let base: UnsafeMutablePointer<Float>
    private let isKept: Bool
    private var isThere = false

    /// - Parameters:
    ///   - base: as many floats as the operation's `packedCount` says, on a 64-byte line.
    ///   - isKept: whether the weights never change and nobody else uses the memory.
    public init(_ base: UnsafeMutablePointer<Float>, isKept: Bool) {
        self.base = base
        self.isKept = isKept
    }

    /// The weights, packed by `pack` unless they were kept since an earlier run.
    public func weights(
        pack: (UnsafeMutablePointer<Float>) -> Void
    ) -> UnsafeMutablePointer<Float> {
        if !isThere {
            pack(base)
            isThere = isKept
        }
        return base
    }
}

/// What differs from run to run: the keys of random masks. Masks depend on (seed, operation path, step, global sample
/// index, element), never on lane, rank or thread.
public struct RunState: Sendable {
    public let seed: UInt64
    public let step: UInt64
    /// Global index of each sample of the batch within the step, `batch` of them. The memory belongs to the caller.
    public let sampleIndices: SampleIndices

    public init(seed: UInt64, step: UInt64, sampleIndices: SampleIndices) {
        self.seed = seed
        self.step = step
        self.sampleIndices = sampleIndices
    }

    /// For runs that draw no random numbers, or that number their samples from 0.
    public static let deterministic = RunState(seed: 0, step: 0, sampleIndices: .init(base: nil, count: 0))
}

/// A borrowed list of sample indices.
public struct SampleIndices: @unchecked Sendable {
    public let base: UnsafePointer<UInt64>?
    public let count: Int

    public init(base: UnsafePointer<UInt64>?, count: Int) {
        self.base = base
        self.count = count
    }

    /// Index of sample `n`; numbers from 0 where no list was given.
    public subscript(_ n: Int) -> UInt64 { base.map { $0[n] } ?? UInt64(n) }
}
