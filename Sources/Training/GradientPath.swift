import Basics
import Graphs
import Tensors

/// One parameter of a gradient check, and what the loss and its gradient are along paths through its value.
final class GradientPath {
    private let engine: LaneEngine
    private let values: UnsafeMutablePointer<Float>
    private let parameter: Parameter
    private let gradient: UnsafeBufferPointer<Float>
    private let tolerance: Double
    /// Two float32 losses differ by an ulp for the last rounding; as much again for those before it.
    private let rounding: Double
    private let spoiling: (String, UnsafeMutableBufferPointer<Float>) -> Void
    private let original: [Float]
    /// Length of the gradient, and how far the parameter may go.
    private let length: Double
    private let size: Double
    private var direction: [Float] = []

    /// - Parameters:
    ///   - gradient: of the loss at the parameter's value.
    ///   - level: the loss there.
    init(
        engine: LaneEngine, state: ModelState, parameter: Parameter, gradient: UnsafeBufferPointer<Float>,
        level: Double, tolerance: Double,
        spoiling: @escaping (String, UnsafeMutableBufferPointer<Float>) -> Void
    ) {
        (self.engine, self.parameter, self.gradient) = (engine, parameter, gradient)
        (self.tolerance, self.spoiling) = (tolerance, spoiling)
        rounding = 2.4e-7 * abs(level)
        values = state.parameterArena.base + parameter.offset
        let original = Array(UnsafeBufferPointer(start: values, count: parameter.shape.count))
        self.original = original
        func norm(_ values: some Sequence<Float>) -> Double {
            values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        }
        length = norm(gradient)
        // A tensor of weights may go as far as it is long, a bias or a gain as far as twos.
        var isConstant = false
        if case .constant = parameter.initializer { isConstant = true }
        size = max(norm(original), isConstant ? 2 * Double(original.count).squareRoot() : 0)
    }

    /// A path's ends and what happened between.
    private struct Attempt {
        let step: Double
        let change: Double
        var integral: Double
        var intervals = 2
        /// How far this integral is from that of half as many intervals, and from that of the trapezium rule.
        var doubt = Double.infinity

        var scale: Double { max(abs(integral), abs(change)) }

        func isSure(_ tolerance: Double) -> Bool { doubt <= 0.25 * tolerance * scale }
        func agrees(_ tolerance: Double) -> Bool { abs(integral - change) <= tolerance * scale }
    }

    func row(_ random: CounterRandom) throws -> GradientCheck.Row {
        let slope = choose(random)
        defer { move(by: 0) }
        // A change in which rounding is a fifth of the tolerance: the shorter, the fewer kinks.
        let first = min(size, rounding / (0.2 * tolerance) / max(2 * abs(slope), 1e-30))
        var (last, wrong): (Attempt?, Attempt?) = (nil, nil)
        for step in [first, min(size, 4 * first), 0.5 * first] {
            let attempt = try integrate(step, slope)
            if rounding > 0.5 * tolerance * attempt.scale {
                last = last ?? attempt
                continue
            }
            last = attempt
            guard attempt.isSure(tolerance) else { continue }
            if attempt.agrees(tolerance) {
                let note = attempt.intervals > 8 ? "kinks: \(attempt.intervals) intervals" : ""
                return row(attempt, .agrees, note)
            }
            wrong = wrong ?? attempt
        }
        if let wrong { return row(wrong, .disagrees, "") }
        let attempt = try last ?? integrate(first, slope)
        let isRough = rounding <= 0.5 * tolerance * attempt.scale
        return row(attempt, .hidden, isRough ? "too rough for \(attempt.intervals) intervals" : "")
    }

    private func row(
        _ attempt: Attempt, _ verdict: GradientCheck.Verdict, _ note: String
    ) -> GradientCheck.Row {
        let length = 2 * attempt.step
        return GradientCheck.Row(
            parameter: parameter.name, analytic: attempt.integral / length, measured: attempt.change / length,
            noise: rounding / length, verdict: verdict, note: note)
    }

    /// Sets the direction, of length 1. A gradient of zero is looked at along chance alone: if the loss changes there, it is
    /// wrong.
    /// - Returns: ⟨gradient, direction⟩
    private func choose(_ random: CounterRandom) -> Double {
        let count = Double(original.count).squareRoot()
        let chance = length < 1e-12 ? 1 : 0.3 * length / count
        let most = length < 1e-12 ? 0.0 : 1.0
        direction = gradient.enumerated().map { index, value in
            Float(most * Double(value) + chance * random.uniform(UInt64(index), in: -1..<1))
        }
        let norm = max(direction.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot(), 1e-30)
        for index in direction.indices { direction[index] = Float(Double(direction[index]) / norm) }
        return dot(gradient)
    }

    private func dot(_ gradient: UnsafeBufferPointer<Float>) -> Double {
        direction.withUnsafeBufferPointer { direction in
            var sum = 0.0
            for index in 0..<direction.count { sum += Double(gradient[index]) * Double(direction[index]) }
            return sum
        }
    }

    private func move(by distance: Double) {
        for index in original.indices {
            values[index] =
                distance == 0 ? original[index] : Float(Double(original[index]) + distance * Double(direction[index]))
        }
    }

    /// Loss and slope at a place of the path.
    private func look(at distance: Double) throws -> (loss: Double, slope: Double) {
        move(by: distance)
        try engine.run(.deterministic)
        let found = UnsafeMutableBufferPointer(start: engine.result.base + parameter.offset, count: original.count)
        spoiling(parameter.name, found)
        return (Double(engine.loss("loss")), dot(UnsafeBufferPointer(found)))
    }

    /// The change of the loss from −step to step, and the integral of its slope: finer and finer until it is sure and agrees, or
    /// the finest.
    private func integrate(_ step: Double, _ slope: Double) throws -> Attempt {
        let (first, last) = (try look(at: -step), try look(at: step))
        // Sums of slopes: at the ends, at the inner places of the coarser rule, and at those that are new.
        let ends = first.slope + last.slope
        var (inner, fresh) = (0.0, slope)
        var found = Attempt(step: step, change: last.loss - first.loss, integral: step / 3 * (ends + 4 * fresh))
        while found.intervals < 64, !(found.isSure(tolerance) && found.agrees(tolerance)) {
            // What rounding hides needs no better integral.
            if found.intervals > 2, rounding > 0.5 * tolerance * found.scale { break }
            // Nor does what is plainly wrong.
            if found.intervals >= 16, found.isSure(tolerance), !found.agrees(2 * tolerance) { break }
            found.intervals *= 2
            inner += fresh
            let width = 2 * step / Double(found.intervals)
            fresh = try stride(from: 1, to: found.intervals, by: 2).reduce(0.0) {
                $0 + (try look(at: -step + Double($1) * width).slope)
            }
            let finer = width / 3 * (ends + 4 * fresh + 2 * inner)
            let trapezium = width / 2 * (ends + 2 * fresh + 2 * inner)
            found.doubt = max(abs(finer - found.integral), abs(finer - trapezium))
            found.integral = finer
        }
        return found
    }
}
