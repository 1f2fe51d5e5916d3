import CKernels
import Tensors

/// Every `step`-th pixel of a rectangle of pictures, beginning at (top, left).
public struct CropWindow: Sendable, Hashable {
    public let top: Int
    public let left: Int
    /// Of the result.
    public let height: Int
    public let width: Int
    public let step: Int

    public init(top: Int, left: Int, height: Int, width: Int, step: Int) {
        (self.top, self.left, self.height, self.width, self.step) = (top, left, height, width, step)
    }

    /// Whether all of it lies inside a picture of this shape.
    public func fits(_ picture: Shape) -> Bool {
        picture.rank == 4 && top >= 0 && left >= 0 && height > 0 && width > 0 && step > 0
            && top + (height - 1) * step < picture[1] && left + (width - 1) * step < picture[2]
    }
}

extension KernelContext {
    /// `[N, H, W, C]` → `[N, height, width, C]`
    public func crop(_ input: TensorView, to output: TensorView, _ window: CropWindow) {
        check(input.shape, output.shape, window)
        let (height, width, channels) = (input.shape[1], input.shape[2], input.shape[3])
        let kernels = kernels
        forEach(.rows(output.shape[0] * window.height, of: window.width * channels)) { begin, count in
            for row in begin..<begin + count {
                let y = row / window.height * height + window.top + row % window.height * window.step
                kernels.pointee.copy_channels(
                    input.base + (y * width + window.left) * channels, window.step * channels,
                    output.base + row * window.width * channels, channels, window.width, channels, 0)
            }
        }
    }

    /// The gradient at the pixels that were taken, 0 elsewhere.
    public func cropGradient(outputGradient: TensorView, inputGradient: TensorView, _ window: CropWindow) {
        check(inputGradient.shape, outputGradient.shape, window)
        let (height, width, channels) = (inputGradient.shape[1], inputGradient.shape[2], inputGradient.shape[3])
        let kernels = kernels
        forEach(.rows(inputGradient.shape[0] * height, of: width * channels)) { begin, count in
            for row in begin..<begin + count {
                let to = inputGradient.base + row * width * channels
                kernels.pointee.fill(to, 0, width * channels)
                let y = row % height - window.top
                guard y >= 0, y % window.step == 0, y / window.step < window.height else { continue }
                let source = row / height * window.height + y / window.step
                kernels.pointee.copy_channels(
                    outputGradient.base + source * window.width * channels, channels, to + window.left * channels,
                    window.step * channels, window.width, channels, 0)
            }
        }
    }

    private func check(_ input: Shape, _ output: Shape, _ window: CropWindow) {
        precondition(
            window.fits(input) && output == [input[0], window.height, window.width, input[3]],
            "\(window) of \(input) into \(output)")
    }
}
