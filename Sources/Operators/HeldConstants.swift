import Execution
import Kernels
import Tensors

// What the gradients of W-net's later losses take for constants, held for gradient checks.

/// What a step keeps for the next ones.
private final class Kept<Value> {
    var values: [Value] = []
}

extension Coverage: ConstantHolding {
    /// No gradient goes through it: all of it is held.
    public func bind(_ site: BindingSite, holding constants: HeldConstants) -> BoundStep {
        let (step, kept) = (bind(site), Kept<Float>())
        return { state in
            if constants.isHeld {
                for (i, value) in kept.values.enumerated() { site.output.base[i] = value }
            } else {
                step(state)
                kept.values = Array(site.output.buffer)
            }
        }
    }
}

/// The levels around each pixel's peak.
private struct PeakWindows {
    let levels: Int
    let radius: Int
    let kept = Kept<Range<Int>>()

    /// Calls `body(pixel, window)` with the windows of these probabilities, or with those that are held.
    func forEach(of probability: TensorView, isHeld: Bool, _ body: (_ pixel: Int, _ window: Range<Int>) -> Void) {
        if !isHeld {
            kept.values = (0..<probability.count / levels).map { pixel in
                let row = probability.base + pixel * levels
                // The first of several, as the kernel.
                let best = (1..<levels).reduce(0) { row[$1] > row[$0] ? $1 : $0 }
                return max(0, best - radius)..<min(levels, best + radius + 1)
            }
        }
        for (pixel, window) in kept.values.enumerated() { body(pixel, window) }
    }
}

extension PeakDot: ConstantHolding {
    /// The gradient knows nothing of another level becoming the most probable one: the window is held.
    public func bind(_ site: BindingSite, holding constants: HeldConstants) -> BoundStep {
        let (values, levels) = (Constants(coefficients), coefficients.count)
        let windows = PeakWindows(levels: levels, radius: radius)
        return { _ in
            windows.forEach(of: site.input, isHeld: constants.isHeld) { pixel, window in
                site.kernels.peakDot(
                    TensorView(site.input.base + pixel * levels + window.lowerBound, [1, window.count]),
                    coefficients: values.pointer + window.lowerBound, radius: levels,
                    output: TensorView(site.output.base + pixel, [1, 1]))
            }
        }
    }
}

extension PeakDotGradient: ConstantHolding {
    public func bind(_ site: BindingSite, holding constants: HeldConstants) -> BoundStep {
        let (values, levels) = (Constants(coefficients), coefficients.count)
        let windows = PeakWindows(levels: levels, radius: radius)
        return { _ in
            let (probability, gradient) = (site.inputs[0], site.output)
            windows.forEach(of: probability, isHeld: constants.isHeld) { pixel, window in
                let row = pixel * levels
                site.kernels.peakDotGradient(
                    TensorView(probability.base + row + window.lowerBound, [1, window.count]),
                    coefficients: values.pointer + window.lowerBound, radius: levels,
                    outputGradient: TensorView(site.inputs[1].base + pixel, [1, 1]),
                    probabilityGradient: TensorView(gradient.base + row + window.lowerBound, [1, window.count]))
                for level in 0..<levels where !window.contains(level) { gradient.base[row + level] = 0 }
            }
        }
    }
}
