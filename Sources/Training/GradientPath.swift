import Basics
import Graphs
import Tensors

/// One parameter of a gradient check, and what the loss and its gradient are along paths through its value.
final class GradientPath {
    private let engine: LaneEngine
    private let values: UnsafeMutablePointer<Float>
    private let parameter: Parameter
    private let gradient: UnsafeBufferPointer<Float>
    private let level: Double
    private let tolerance: Double
    private let spoiling: (String, UnsafeMutableBufferPointer<Float>) -> Void
    private let original: [Float]
    /// Length of the gradient, and of the parameter (constants count as a tenth).
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
        (self.level, self.tolerance, self.spoiling) = (level, tolerance, spoiling)
        values = state.parameterArena.base + parameter.offset
        let original = Array(UnsafeBufferPointer(start: values, count: parameter.shape.count))
        self.original = original
        func norm(_ values: some Sequence<Float>) -> Double {
            values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        }
        length = norm(gradient)
        size = max(norm(original), 0.1 * Double(original.count).squareRoot())
    }

    /// A path's ends and what happened between.
    private struct Attempt {
        let step: Double
        let integral: Double
        let change: Double
        let intervals: Int
        /// How far the last two integrals are apart.
        let doubt: Double

        var scale: Double { max(abs(integral), abs(change)) }
    }

    /// - Parameter isHalf: along a random half of the numbers only.
    func row(_ random: CounterRandom, isHalf: Bool) throws -> GradientCheck.Row {
        let slope = choose(random, isHalf: isHalf)
        defer { move(by: 0) }
        // Two float32 losses differ by an ulp for the last rounding; as much again for those before it.
        let rounding = 2.4e-7 * abs(level)
        // A change in which rounding is a twentieth of the tolerance, but no longer than a tenth of the parameter.
        var step = min(0.1 * size, rounding / (0.05 * tolerance) / max(2 * abs(slope), 1e-30))
        var (found, note): (Attempt?, String) = (nil, "")
        func isSharp(_ attempt: Attempt) -> Bool { rounding <= 0.5 * tolerance * attempt.scale }
        while true {
            let attempt = try integrate(step, slope)
            if !isSharp(attempt) {
                // Too short a path, once longer if it has not been shortened before.
                if found == nil, step < 0.5 * size {
                    step = min(0.5 * size, 5 * step)
                    if step == 0.5 * size { found = attempt }
                    continue
                }
                break
            }
            found = attempt
            if attempt.doubt > 0.25 * tolerance * attempt.scale {
                note = "too rough for \(attempt.intervals) intervals"
            } else if abs(attempt.integral - attempt.change) <= tolerance * attempt.scale {
                note = attempt.intervals > 8 ? "kinks: \(attempt.intervals) intervals" : ""
                return row(attempt, rounding, .agrees, note)
            } else {
                note = ""
            }
            step /= 4
        }
        guard let found else { return row(try integrate(step, slope), rounding, .hidden, "") }
        if !isSharp(found) { return row(found, rounding, .hidden, "") }
        return row(found, rounding, note.isEmpty ? .disagrees : .hidden, note)
    }

    private func row(
        _ attempt: Attempt, _ rounding: Double, _ verdict: GradientCheck.Verdict, _ note: String
    ) -> GradientCheck.Row {
        let length = 2 * attempt.step
        return GradientCheck.Row(
            parameter: parameter.name, analytic: attempt.integral / length, measured: attempt.change / length,
            noise: rounding / length, verdict: verdict, note: note)
    }

    /// Sets the direction, of length 1. A gradient of zero is looked at along chance alone: if the loss changes there, it is
    /// wrong.
    /// - Returns: ⟨gradient, direction⟩
    private func choose(_ random: CounterRandom, isHalf: Bool) -> Double {
        let count = Double(original.count).squareRoot()
        let chance = length < 1e-12 ? 1 : 0.3 * length / count
        let most = length < 1e-12 ? 0.0 : 1.0
        direction = gradient.enumerated().map { index, value in
            let draw = random.uniform(UInt64(index), in: -1..<1)
            // The same draw chooses the half and, stretched again, the chance.
            if isHalf, draw < 0 { return 0 }
            return Float(most * Double(value) + chance * (isHalf ? 2 * draw - 1 : draw))
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

    /// The change of the loss from −step to step, and the integral of its slope.
    private func integrate(_ step: Double, _ slope: Double) throws -> Attempt {
        let (first, last) = (try look(at: -step), try look(at: step))
        // Sums of slopes: at the ends, at the inner places of the coarser rule, and at those that are new.
        let ends = first.slope + last.slope
        var (inner, fresh) = (0.0, slope)
        var integral = step / 3 * (ends + 4 * fresh)
        var (intervals, doubt) = (2, Double.infinity)
        let change = last.loss - first.loss
        while intervals < 32, doubt > 0.25 * tolerance * max(abs(integral), abs(change)) {
            intervals *= 2
            inner += fresh
            let width = 2 * step / Double(intervals)
            fresh = try stride(from: 1, to: intervals, by: 2).reduce(0.0) {
                $0 + (try look(at: -step + Double($1) * width).slope)
            }
            let finer = width / 3 * (ends + 4 * fresh + 2 * inner)
            (doubt, integral) = (abs(finer - integral), finer)
        }
        return Attempt(step: step, integral: integral, change: change, intervals: intervals, doubt: doubt)
    }
}
