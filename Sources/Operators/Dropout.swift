import Basics
import Execution
import Graphs
import Kernels
import Tensors

/// Sets each element to 0 with probability `rate` and scales the others by 1 / (1 − rate).
///
/// The mask is a pure function of (seed, `key`, step, global sample index, element), so the same sample meets the same
/// mask in any lane and on any rank, and the gradient draws it again instead of keeping it.
public struct Dropout: Runnable {
    public static let name = "Dropout"
    public let rate: Float
    /// Path of the layer, which names its stream of random numbers.
    public let key: String

    public init(rate: Float, key: String) {
        self.rate = rate
        self.key = key
    }

    public var attributes: [(name: String, value: String)] { [("rate", "\(rate)")] }

    public func outputShapes(for inputs: [Shape]) throws(ShapeError) -> [Shape] {
        try ShapeRules.count(inputs, 1...1)
        try ShapeRules.require(rate >= 0 && rate < 1, "rate \(rate) is not in 0 ..< 1")
        try ShapeRules.require(inputs[0].rank >= 2, "needs a batch axis")
        try ShapeRules.require(inputs[0].count / max(1, inputs[0][0]) < 1 << 32, "samples of 2^32 elements or more")
        return inputs
    }

    public func inputGradients(_ site: GradientSite) -> [Value?] {
        [site.outputGradient.apply(Dropout(rate: rate, key: key))]
    }

    public var inPlaceCandidates: [(output: Int, input: Int)] { [(0, 0)] }

    public func workspaceCount(inputs: [Shape], outputs: [Shape], kernels: KernelContext) -> Int {
        inputs[0][0] * MemoryLayout<UInt64>.size / MemoryLayout<Float>.size
    }

    public func bind(_ site: BindingSite) -> BoundStep {
        let stream = Hash.xxh64("dropout:" + key)
        let batch = site.input.shape[0]
        // The planner's blocks are 64-byte aligned.
        let keys = UnsafeMutableRawPointer(site.workspace).bindMemory(to: UInt64.self, capacity: batch)
        return { [rate] state in
            let stepKey = CounterRandom.derive(CounterRandom.mix(state.seed ^ stream), state.step)
            for sample in 0..<batch { keys[sample] = CounterRandom.derive(stepKey, state.sampleIndices[sample]) }
            site.kernels.dropout(site.input, output: site.output, keys: keys, rate: rate)
        }
    }
}
