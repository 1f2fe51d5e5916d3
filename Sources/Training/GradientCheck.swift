import Basics
import Execution
import Kernels
import Models
import Tensors

/// Compares each parameter's gradient with central differences of the loss along a random direction.
public enum GradientCheck {
    public enum Verdict: String, Sendable {
        case agrees
        case disagrees
        /// The gradient is so small that the rounding of float32 losses hides it.
        case hidden
    }

    public struct Row: Sendable {
        public let parameter: String
        /// ⟨gradient, direction⟩
        public let analytic: Double
        /// (loss(p + h·direction) − loss(p − h·direction)) / 2h
        public let measured: Double
        /// What rounding alone can make of the measured value.
        public let noise: Double
        public let verdict: Verdict
    }

    public struct Report: Sendable { public let rows: [Row] }

    /// The direction is that of the gradient itself, with a bit of chance mixed in: there the loss changes most, so that
    /// the change stands out of the rounding (two nearby float32 losses carry about 2e-7 of it), and a wrong factor
    /// or a wrong component shows all the same. The step changes the loss by about a thousandth, but no parameter tensor by
    /// more than 1/200 of its size. ReLU, max-pool and L1 have kinks, so this is a screen; operations are checked
    /// sharply one by one in the tests.
    /// - Parameter tolerance: largest relative difference that agrees.
    public static func run(
        network: any Network, batch: Int, height: Int, width: Int, seed: UInt64, tolerance: Double,
        kernels: KernelContext
    ) throws -> Report {
        let graph = try NetworkGraph(
            network, .training, batch: batch, height: height, width: width, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: seed)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        for (index, field) in network.graphFields.enumerated() {
            if let view = engine.executor.input(field.name) {
                fill(view, seed: seed, shift: index)
                // Pictures of the range that the layers know.
                if case .standardized = field.encoding {
                    for i in 0..<view.count {
                        view.base[i] = field.encoding.encoded(view.base[i], channel: i % field.channels)
                    }
                }
            }
            // Some places are unknown.
            if field.hasMask, let known = engine.executor.input(field.knownName) {
                for i in 0..<known.count { known.base[i] = i % 7 == 0 ? 0 : 1 }
            }
        }
        func loss() throws -> Double {
            try engine.run(.deterministic)
            return Double(engine.loss("loss"))
        }
        let level = try loss()
        let gradients = Array(engine.result.buffer.prefix(state.parameterArena.count))
        let rows = try state.parameters.filter(\.isTrained).enumerated().map { index, parameter in
            let span = parameter.offset..<(parameter.offset + parameter.shape.count)
            let original = Array(state.parameterArena[span])
            let gradient = gradients[span].map(Double.init)
            let length = norm(gradient)
            let random = CounterRandom(seed, "gradcheck direction", UInt64(index))
            let chance = length / Double(gradient.count).squareRoot()
            // A gradient of zero is looked at along a direction of chance alone: if the loss changes there, it is wrong.
            let isZero = length < 1e-12
            let direction = gradient.enumerated().map {
                isZero
                    ? random.uniform(UInt64($0.offset), in: -1..<1) / Double(gradient.count).squareRoot()
                    : ($0.element + 0.3 * chance * random.uniform(UInt64($0.offset), in: -1..<1)) / max(length, 1e-30)
            }
            let analytic = zip(gradient, direction).reduce(0.0) { $0 + $1.0 * $1.1 }
            let size = max(norm(original.map(Double.init)), 0.1 * Double(original.count).squareRoot())
            func value(at step: Double) throws -> Double {
                for (i, value) in original.enumerated() {
                    state.parameterArena.base[span.lowerBound + i] = Float(Double(value) + step * direction[i])
                }
                return try loss()
            }
            var h = min(0.005 * size, 0.001 * abs(level) / max(analytic, 1e-30))
            var (measured, noise) = (0.0, 0.0)
            var verdict = Verdict.hidden
            // Curvature and kinks fade with the step, rounding grows: the step shrinks until one of them decides.
            while true {
                let difference = (try value(at: h) - value(at: -h)) / (2 * h)
                let rounding = 2e-7 * abs(level) / h
                let scale = max(abs(analytic), abs(difference))
                // A smaller step could only be worse once rounding is a fifth of the gradient.
                if rounding > 0.2 * scale && noise > 0 { break }
                (measured, noise) = (difference, rounding)
                if rounding > 0.2 * scale { break }
                verdict = abs(analytic - difference) <= tolerance * scale + rounding ? .agrees : .disagrees
                if verdict == .agrees { break }
                h /= 4
            }
            for (i, value) in original.enumerated() { state.parameterArena.base[span.lowerBound + i] = value }
            return Row(
                parameter: parameter.name, analytic: analytic, measured: measured, noise: noise, verdict: verdict)
        }
        return Report(rows: rows)
    }

    private static func norm(_ values: [Double]) -> Double {
        values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }

    /// A texture of soft blobs, shifted by a few pixels per view, as a stereo pair is.
    private static func fill(_ view: TensorView, seed: UInt64, shift: Int) {
        let (height, width, channels) = (view.shape[1], view.shape[2], view.shape[3])
        for n in 0..<view.shape[0] {
            for y in 0..<height {
                for x in 0..<width {
                    for c in 0..<channels {
                        let random = CounterRandom(seed, "gradcheck", UInt64(n), UInt64(c))
                        let u = Double(x + 2 * shift) / 5
                        let (column, row, v) = (Int(u), y / 5, Double(y % 5) / 5)
                        func corner(_ i: Int, _ j: Int) -> Double {
                            random.uniform(UInt64((row + j) * 4096 + column + i))
                        }
                        let t = u - Double(column)
                        let top = corner(0, 0) * (1 - t) + corner(1, 0) * t
                        let bottom = corner(0, 1) * (1 - t) + corner(1, 1) * t
                        view.base[((n * height + y) * width + x) * channels + c] = Float(top * (1 - v) + bottom * v)
                    }
                }
            }
        }
    }
}
