import Basics
import Execution
import Kernels
import Models
import Tensors

/// Compares each parameter's gradient with central differences of the loss along a random direction.
public enum GradientCheck {
    public struct Row: Sendable {
        public let parameter: String
        /// ⟨gradient, direction⟩
        public let analytic: Double
        /// (loss(p + h·direction) − loss(p − h·direction)) / 2h
        public let measured: Double
        /// |analytic − measured| over the largest of the two and the noise floor of float32 losses.
        public let relativeDifference: Double
    }

    public struct Report: Sendable { public let rows: [Row] }

    /// Directions have the scale of the parameter itself (its root mean square, at least 0.01), so that a step means the
    /// same for every layer. Float32 losses carry noise of about 1e-7 / h; a network of ReLUs and max-pools has kinks,
    /// which is why the step is small and the check is a screen, not the proof (operations are checked one by one).
    public static func run(
        network: any Network, batch: Int, height: Int, width: Int, seed: UInt64, kernels: KernelContext
    ) throws -> Report {
        let graph = try NetworkGraph(
            network, .training, batch: batch, height: height, width: width, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: seed)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        for (index, input) in network.inputs.enumerated() {
            let view = engine.input(input.field)
            let random = CounterRandom(seed, "gradcheck input", UInt64(index))
            // Smooth pictures: neighbours share most of their value, as in photographs.
            for i in 0..<view.count {
                let coarse = random.uniform(UInt64(i / (input.channels * 4)))
                view.base[i] = Float(0.8 * coarse + 0.2 * random.uniform(UInt64(view.count + i)))
            }
        }
        func loss() throws -> Double {
            try engine.run(.deterministic)
            return Double(engine.loss("loss"))
        }
        _ = try loss()
        let gradients = Array(engine.result.buffer.prefix(state.parameterArena.count))
        let h = 0x1p-7
        var rows: [Row] = []
        for (index, parameter) in state.parameters.enumerated() {
            let span = parameter.offset..<(parameter.offset + parameter.shape.count)
            let original = Array(state.parameterArena[span])
            let meanSquare = original.reduce(0) { $0 + Double($1) * Double($1) } / Double(original.count)
            let scale = max(0.01, meanSquare.squareRoot())
            let random = CounterRandom(seed, "gradcheck direction", UInt64(index))
            let direction = original.indices.map { scale * random.uniform(UInt64($0), in: -1..<1) }
            func value(at step: Double) throws -> Double {
                for (i, value) in original.enumerated() {
                    state.parameterArena.base[span.lowerBound + i] = Float(Double(value) + step * direction[i])
                }
                return try loss()
            }
            let measured = (try value(at: h) - value(at: -h)) / (2 * h)
            for (i, value) in original.enumerated() { state.parameterArena.base[span.lowerBound + i] = value }
            let analytic = direction.indices.reduce(0.0) {
                $0 + Double(gradients[span.lowerBound + $1]) * direction[$1]
            }
            let floor = 2e-5
            rows.append(
                Row(
                    parameter: parameter.name, analytic: analytic, measured: measured,
                    relativeDifference: abs(analytic - measured) / max(abs(analytic), abs(measured), floor)))
        }
        return Report(rows: rows)
    }
}
