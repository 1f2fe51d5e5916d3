import Basics
import Execution
import Graphs
import Kernels
import Models
import Tensors

/// Compares each parameter's gradient with how much the loss changes.
///
/// Along any path, the loss changes by the integral of its slope: L(p + h·d) − L(p − h·d) = ∫ ⟨∇L(p + t·d), d⟩ dt, t from −h
/// to h. That holds whatever the curvature, and across the kinks of ReLU, max-pool and L1, so the step may be so large that
/// the change stands out of the rounding of a float32 loss, where a difference quotient would have to choose between
/// rounding and kinks. The integral is Simpson's rule on 4, 8, … 64 intervals, refined until it is within a quarter of the
/// tolerance of the one before and of the trapezium rule; where it disagrees with the change, or is never sure, longer and
/// shorter paths are tried.
///
/// The direction is that of the gradient with a bit of chance mixed in: there the loss changes most, and a wrong factor, a wrong
/// sign, or numbers that have changed places show. What gradients take for constants (occlusion masks, the choice of a
/// peak) is held at its value at p.
///
/// Parameters lie in general position: initial values, but weights that start so small that signals die away are enlarged
/// to Glorot's size, and constants (biases of 0, on whose account whole areas would lie on a kink) get some chance.
public enum GradientCheck {
    public enum Verdict: String, Sendable {
        case agrees
        case disagrees
        /// The loss changes too little for its rounding, however long the step, or too roughly for 64 intervals.
        case hidden
    }

    public struct Row: Sendable {
        public let parameter: String
        /// The gradient's mean along the path, times the direction.
        public let analytic: Double
        /// (loss(p + h·direction) − loss(p − h·direction)) / 2h
        public let measured: Double
        /// What rounding alone can make of the measured value.
        public let noise: Double
        public let verdict: Verdict
        /// What a reader should know besides; empty mostly.
        public let note: String
    }

    public struct Report: Sendable { public let rows: [Row] }

    /// - Parameter tolerance: largest relative difference that agrees.
    public static func run(
        network: any Network, batch: Int, height: Int, width: Int, seed: UInt64, tolerance: Double,
        kernels: KernelContext
    ) throws -> Report {
        try run(
            network: network, batch: batch, height: height, width: width, seed: seed, tolerance: tolerance,
            kernels: kernels, only: { _ in true }, spoiling: { _, _ in })
    }

    /// - Parameters:
    ///   - only: names of the parameters to look at.
    ///   - spoiling: changes a parameter's gradient after each pass: so tests know that errors are found.
    static func run(
        network: any Network, batch: Int, height: Int, width: Int, seed: UInt64, tolerance: Double,
        kernels: KernelContext, only: (String) -> Bool,
        spoiling: @escaping (_ parameter: String, _ gradient: UnsafeMutableBufferPointer<Float>) -> Void
    ) throws -> Report {
        let graph = try NetworkGraph(
            network, .training, batch: batch, height: height, width: width, keepOutputs: false)
        let state = try ModelState.empty(for: network)
        state.initialize(seed: seed)
        for parameter in state.parameters { generalize(parameter, of: state, seed: seed) }
        let constants = HeldConstants()
        let engine = LaneEngine(network: graph, state: state, kernels: kernels, holding: constants)
        for (index, field) in network.graphFields.enumerated() {
            if let view = engine.executor.input(field.name) {
                GradientCheckInput.fill(view, seed: seed, shift: index)
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
        try engine.run(.deterministic)
        constants.isHeld = true
        let level = Double(engine.loss("loss"))
        let trained = state.parameters.filter(\.isTrained)
        let gradients = FloatArena(count: state.parameterArena.count)
        gradients.base.update(from: engine.result.base, count: state.parameterArena.count)
        let rows = try trained.enumerated().filter { only($1.name) }.map { index, parameter in
            let gradient = UnsafeMutableBufferPointer(
                start: gradients.base + parameter.offset, count: parameter.shape.count)
            spoiling(parameter.name, gradient)
            let path = GradientPath(
                engine: engine, state: state, parameter: parameter, gradient: UnsafeBufferPointer(gradient),
                level: level, tolerance: tolerance, spoiling: spoiling)
            return try path.row(CounterRandom(seed, "gradcheck direction", UInt64(index)))
        }
        return Report(rows: rows)
    }

    private static func generalize(_ parameter: Parameter, of state: ModelState, seed: UInt64) {
        let count = parameter.shape.count
        let values = state.parameterArena.base + parameter.offset
        if case .constant = parameter.initializer {
            let random = CounterRandom(seed, "gradcheck constant:" + parameter.name)
            for i in 0..<count { values[i] += Float(random.uniform(UInt64(i), in: -0.1..<0.1)) }
            return
        }
        guard let outputs = parameter.shape.dimensions.last, parameter.shape.rank > 1 else { return }
        var squares = 0.0
        for i in 0..<count { squares += Double(values[i]) * Double(values[i]) }
        let size = (squares / Double(count)).squareRoot()
        let usual = 1 / Double(count / outputs).squareRoot()
        guard size > 0, size < 0.5 * usual else { return }
        let factor = Float(usual / size)
        for i in 0..<count { values[i] *= factor }
    }
}

private enum GradientCheckInput {
    /// A texture of soft blobs, shifted by a few pixels per view, as a stereo pair is.
    static func fill(_ view: TensorView, seed: UInt64, shift: Int) {
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
