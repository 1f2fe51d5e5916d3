import CKernels
import Tensors

// The selection layer: a picture seen through a distribution over horizontal shifts. **Source:** J. Xie, R. Girshick,
// A. Farhadi, "Deep3D", ECCV 2016, section 3.2; shifts as in LouisFoucard/w-net.

/// What a selection finds outside a row of the picture.
public enum SelectionBorder: Int32, Sendable, CaseIterable {
    case zero
    /// The row's first or last pixel.
    case edge
    /// The row mirrored at its first or last pixel, which is not doubled. Shifts must be smaller than the width.
    case reflect
}

extension KernelContext {
    /// out(y, x, c) = Σ_k P(y, x, k)·image(y, x + firstShift + k·shiftStep, c), outside the picture as `border` says.
    /// image `[N, H, W, C]`, probability `[N, H, W, S]` → `[N, H, W, C]`; shiftStep is +1 or −1, S ≤ 4096.
    public func selection(
        image: TensorView, probability: TensorView, firstShift: Int, shiftStep: Int, border: SelectionBorder,
        output: TensorView
    ) {
        let (rows, width, channels, levels) = checkSelection(
            image.shape, probability.shape, output.shape, firstShift, shiftStep, border)
        let kernels = kernels
        forEach(.rows(rows, of: width * levels)) { begin, count in
            kernels.pointee.selection(
                image.base + begin * width * channels, probability.base + begin * width * levels,
                output.base + begin * width * channels, count, width, channels, levels, firstShift, shiftStep,
                border.rawValue)
        }
    }

    /// dP(y, x, k) = Σ_c dOut(y, x, c)·image(y, x + firstShift + k·shiftStep, c)
    public func selectionProbabilityGradient(
        image: TensorView, outputGradient: TensorView, firstShift: Int, shiftStep: Int, border: SelectionBorder,
        probabilityGradient: TensorView
    ) {
        let (rows, width, channels, levels) = checkSelection(
            image.shape, probabilityGradient.shape, outputGradient.shape, firstShift, shiftStep, border)
        let kernels = kernels
        forEach(.rows(rows, of: width * levels)) { begin, count in
            kernels.pointee.selection_probability_gradient(
                image.base + begin * width * channels, outputGradient.base + begin * width * channels,
                probabilityGradient.base + begin * width * levels, count, width, channels, levels, firstShift,
                shiftStep,
                border.rawValue)
        }
    }

    /// dImage(y, u, c) = Σ over (x, k) with x + firstShift + k·shiftStep = u of P(y, x, k)·dOut(y, x, c)
    public func selectionImageGradient(
        probability: TensorView, outputGradient: TensorView, firstShift: Int, shiftStep: Int,
        border: SelectionBorder, imageGradient: TensorView
    ) {
        let (rows, width, channels, levels) = checkSelection(
            imageGradient.shape, probability.shape, outputGradient.shape, firstShift, shiftStep, border)
        let kernels = kernels
        forEach(.rows(rows, of: width * levels)) { begin, count in
            kernels.pointee.selection_image_gradient(
                probability.base + begin * width * levels, outputGradient.base + begin * width * channels,
                imageGradient.base + begin * width * channels, count, width, channels, levels, firstShift, shiftStep,
                border.rawValue)
        }
    }

    private func checkSelection(
        _ image: Shape, _ probability: Shape, _ output: Shape, _ firstShift: Int, _ shiftStep: Int,
        _ border: SelectionBorder
    ) -> (rows: Int, width: Int, channels: Int, levels: Int) {
        precondition(
            image.rank == 4 && probability.rank == 4 && image == output && image[0] == probability[0]
                && image[1] == probability[1] && image[2] == probability[2] && (1...4096).contains(probability[3]),
            "selection from \(image) by \(probability) into \(output)")
        precondition(shiftStep == 1 || shiftStep == -1, "shift step \(shiftStep)")
        let last = firstShift + (probability[3] - 1) * shiftStep
        precondition(
            border != .reflect || max(abs(firstShift), abs(last)) < image[2],
            "shifts \(firstShift) … \(last) of \(image)")
        return (image[0] * image[1], image[2], image[3], probability[3])
    }
}
