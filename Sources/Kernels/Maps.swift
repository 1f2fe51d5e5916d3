import CKernels
import Tensors

/// A function of one number.
public enum NumberMap: Sendable, Hashable {
    /// scale · x + offset
    case affine(scale: Float, offset: Float)
    /// x within lower … upper; the gradient is 0 outside.
    case clip(lower: Float, upper: Float)
    /// numerator / x
    case reciprocal(numerator: Float)
    /// factor · ln x; NaN (unknown) for 0 and below.
    case logarithm(factor: Float)
    /// exp(factor · x); arguments above 88 count as 88.
    case exponential(factor: Float)

    fileprivate var code: (kind: Int32, a: Float, b: Float) {
        switch self {
        case .affine(let scale, let offset): (Int32(CK_MAP_AFFINE), scale, offset)
        case .clip(let lower, let upper): (Int32(CK_MAP_CLIP), lower, upper)
        case .reciprocal(let numerator): (Int32(CK_MAP_RECIPROCAL), numerator, 0)
        case .logarithm(let factor): (Int32(CK_MAP_LOGARITHM), factor, 0)
        case .exponential(let factor): (Int32(CK_MAP_EXPONENTIAL), factor, 0)
        }
    }
}

extension KernelContext {
    /// y = f(x), element by element; NaN stays NaN. `output` may alias `input`.
    public func map(_ function: NumberMap, _ input: TensorView, output: TensorView) {
        precondition(input.count == output.count, "\(function) of \(input.shape) into \(output.shape)")
        let (code, kernels) = (function.code, kernels)
        forEach(.elements(input.count)) { begin, count in
            kernels.pointee.map(code.kind, input.base + begin, output.base + begin, code.a, code.b, count)
        }
    }

    /// dx = dy · f'(x). `inputGradient` may alias `outputGradient`.
    public func mapGradient(
        _ function: NumberMap, _ input: TensorView, outputGradient: TensorView, inputGradient: TensorView
    ) {
        precondition(
            input.count == outputGradient.count && input.count == inputGradient.count,
            "gradient of \(function) of \(input.shape), \(outputGradient.shape) into \(inputGradient.shape)")
        let (code, kernels) = (function.code, kernels)
        forEach(.elements(input.count)) { begin, count in
            kernels.pointee.map_gradient(
                code.kind, input.base + begin, outputGradient.base + begin, inputGradient.base + begin, code.a, code.b,
                count)
        }
    }

    /// y = x where x > 0, else slope · x; slope in 0 … 1. `output` may alias `input`.
    public func leakyReLU(_ input: TensorView, slope: Float, output: TensorView) {
        precondition(input.count == output.count, "leaky relu of \(input.shape) into \(output.shape)")
        let kernels = kernels
        forEach(.elements(input.count)) { begin, count in
            kernels.pointee.leaky_relu(input.base + begin, output.base + begin, slope, count)
        }
    }

    /// dx = dy where the *output* y > 0, else slope · dy. `inputGradient` may alias `outputGradient`.
    public func leakyReLUGradient(
        output: TensorView, outputGradient: TensorView, slope: Float, inputGradient: TensorView
    ) {
        precondition(
            output.count == outputGradient.count && output.count == inputGradient.count,
            "leaky relu gradient of \(output.shape), \(outputGradient.shape) into \(inputGradient.shape)")
        let kernels = kernels
        forEach(.elements(output.count)) { begin, count in
            kernels.pointee.leaky_relu_gradient(
                output.base + begin, outputGradient.base + begin, inputGradient.base + begin, slope, count)
        }
    }
}
