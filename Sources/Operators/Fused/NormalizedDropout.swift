import Basics
import Execution
import Graphs
import Kernels
import Tensors

/// Dropout of a normalised picture in one pass. x [N, H, W, C], mean, variance, gain, shift [C] → [N, H, W, C]
public struct NormalizedDropout: Runnable {
    public static let name = "NormalizedDropout"
    public let epsilon: Float
    public let dropout: Dropout

    public init(epsilon: Float, dropout: Dropout) {
        self.epsilon = epsilon
        self.dropout = dropout
    }

    public var attributes: [(name: String, value: String)] { [("epsilon", "\(epsilon)")] + dropout.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 5...5)
        try ShapeRules.picture(inputs[0])
        for shape in inputs[1...] { try ShapeRules.vector(shape, inputs[0][3], "normalisation") }
        return try dropout.outputShapes(for: [inputs[0]])
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        roundUpToLine(2 * inputs[0][0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let keys = DropoutKeys(dropout, samples: site.input.shape[0], memory: site.workspace)
        let normalization = InputNormalization(site.inputs[1...], epsilon: epsilon)
        return { state in
            keys.draw(state)
            site.kernels.normalizedDropout(
                site.input, normalization: normalization, mask: keys.mask, output: site.output)
        }
    }

    public func floatOperationCount(inputs: [Shape], outputs: [Shape]) -> Int { 4 * inputs[0].count }
}

/// Dropout of two pictures side by side, times `factor`: the gradient of a dropout whose result was cut in two.
/// first [N, H, W, C1], second [N, H, W, C2] → [N, H, W, C1 + C2]
public struct PairDropout: Runnable {
    public static let name = "PairDropout"
    public let factor: Float
    public let dropout: Dropout

    public init(factor: Float, dropout: Dropout) {
        self.factor = factor
        self.dropout = dropout
    }

    public var attributes: [(name: String, value: String)] { [("factor", "\(factor)")] + dropout.attributes }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 2...2)
        try ShapeRules.picture(inputs[0])
        return try dropout.outputShapes(for: Concat().outputShapes(for: inputs))
    }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        roundUpToLine(2 * inputs[0][0])
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let keys = DropoutKeys(dropout, samples: site.output.shape[0], memory: site.workspace)
        let pair = PictureParts(site.inputs[0], site.inputs[1])
        return { [factor] state in
            keys.draw(state)
            site.kernels.dropoutOfPair(pair, factor: factor, mask: keys.mask, output: site.output)
        }
    }
}

/// The keys of one dropout's mask, one for each sample, drawn anew for every run.
struct DropoutKeys {
    let mask: DropoutMask
    private let keys: UnsafeMutablePointer<UInt64>
    private let samples: Int
    private let stream: UInt64

    /// - Parameter memory: room for 2 · samples floats, 8-byte aligned as the planner's blocks are.
    init(_ dropout: Dropout, samples: Int, memory: UnsafeMutablePointer<Float>) {
        stream = Hash.xxh64("dropout:" + dropout.key)
        keys = UnsafeMutableRawPointer(memory).bindMemory(to: UInt64.self, capacity: samples)
        mask = DropoutMask(keys: keys, rate: dropout.rate)
        self.samples = samples
    }

    func draw(_ state: borrowing RunState) {
        let stepKey = CounterRandom.derive(CounterRandom.mix(state.seed ^ stream), state.step)
        for sample in 0..<samples { keys[sample] = CounterRandom.derive(stepKey, state.sampleIndices[sample]) }
    }
}

/// Floats up to a whole line of 64 bytes.
func roundUpToLine(_ count: Int) -> Int { (count + 15) / 16 * 16 }
