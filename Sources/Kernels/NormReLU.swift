import CKernels
import Tensors

// Batch normalisation and ReLU of pictures that lie side by side, into one wide picture: a dense block grows by
// concatenation without copying what it has.

/// Pictures of one size whose channels follow one another, and what normalises them: a mean and a variance for each
/// picture, gain and bias of all.
public struct NormReLUParts: Sendable {
    let pictures: [TensorView]
    let means: [TensorView]
    let variances: [TensorView]
    let gain: TensorView
    let bias: TensorView
    let epsilon: Float
    let offsets: [Int]
    /// Channels of all pictures.
    let channels: Int
    let rows: Int

    public init(
        pictures: [TensorView], means: [TensorView], variances: [TensorView], gain: TensorView, bias: TensorView,
        epsilon: Float
    ) {
        precondition(
            !pictures.isEmpty && means.count == pictures.count && variances.count == pictures.count,
            "\(pictures.count) pictures, \(means.count) means, \(variances.count) variances")
        (self.pictures, self.means, self.variances) = (pictures, means, variances)
        (self.gain, self.bias, self.epsilon) = (gain, bias, epsilon)
        rows = pictures[0].rowCount
        var offsets: [Int] = []
        var channels = 0
        for (index, picture) in pictures.enumerated() {
            precondition(
                picture.rowCount == rows && means[index].count == picture.lastDimension
                    && variances[index].count == picture.lastDimension,
                "\(picture.shape) beside \(pictures[0].shape), mean \(means[index].shape)")
            offsets.append(channels)
            channels += picture.lastDimension
        }
        precondition(gain.count == channels && bias.count == channels, "gain \(gain.shape) of \(channels) channels")
        self.offsets = offsets
        self.channels = channels
    }
}

extension KernelContext {
    private static func normReLUChunks(_ rows: Int, _ channels: Int) -> Chunks {
        .partials(rows, of: channels, floats: 1 << 16)
    }

    public static func normReLUGradientWorkspaceCount(rows: Int, channels: Int) -> Int {
        4 * channels * max(1, normReLUChunks(rows, channels).count)
    }

    /// output [.., C] = max(normalised, 0) of all parts.
    public func normReLU(_ parts: NormReLUParts, output: TensorView) {
        precondition(
            output.lastDimension == parts.channels && output.rowCount == parts.rows,
            "\(parts.channels) channels into \(output.shape)")
        let kernels = kernels
        let wide = parts.channels
        forEach(.rows(parts.rows, of: wide)) { begin, count in
            for index in parts.pictures.indices {
                let channels = parts.pictures[index].lastDimension
                let offset = parts.offsets[index]
                kernels.pointee.norm_relu(
                    parts.pictures[index].base + begin * channels, output.base + begin * wide + offset, wide, count,
                    channels, parts.means[index].base, parts.variances[index].base, parts.gain.base + offset,
                    parts.bias.base + offset, parts.epsilon)
            }
        }
    }

    /// The gradients where means and variances are those of the parts themselves.
    public func normReLUGradient(
        _ parts: NormReLUParts, outputGradient: TensorView, partGradients: [TensorView], gainGradient: TensorView,
        biasGradient: TensorView, workspace: UnsafeMutablePointer<Float>
    ) {
        let wide = parts.channels
        precondition(
            outputGradient.lastDimension == wide && outputGradient.rowCount == parts.rows
                && partGradients.count == parts.pictures.count && gainGradient.count == wide
                && biasGradient.count == wide,
            "gradient \(outputGradient.shape) of \(wide) channels")
        let kernels = kernels
        let chunks = Self.normReLUChunks(parts.rows, wide)
        let partials = doubles(workspace, count: 2 * wide * chunks.count)
        pool.forEachChunk(chunks.count) { chunk, _ in
            let sums = partials + chunk * 2 * wide
            sums.update(repeating: 0, count: 2 * wide)
            // Blocks whose lines stay in cache between the parts of a picture.
            let block = max(32, (1 << 15) / wide / 32 * 32)
            let end = chunks.begin(chunk) + chunks.length(chunk)
            for row in stride(from: chunks.begin(chunk), to: end, by: block) {
                for index in parts.pictures.indices {
                    let channels = parts.pictures[index].lastDimension
                    let offset = parts.offsets[index]
                    kernels.pointee.norm_relu_sums(
                        parts.pictures[index].base + row * channels, outputGradient.base + row * wide + offset, wide,
                        min(block, end - row), channels, parts.means[index].base, parts.variances[index].base,
                        parts.gain.base + offset, parts.bias.base + offset, parts.epsilon, sums + offset,
                        sums + wide + offset)
                }
            }
        }
        for chunk in 1..<max(1, chunks.count) {
            for i in 0..<2 * wide { partials[i] += partials[chunk * 2 * wide + i] }
        }
        for index in parts.pictures.indices {
            let offset = parts.offsets[index]
            for c in 0..<parts.pictures[index].lastDimension {
                let deviation = (Double(parts.variances[index].base[c]) + Double(parts.epsilon)).squareRoot()
                biasGradient.base[offset + c] = Float(partials[offset + c])
                gainGradient.base[offset + c] = Float(partials[wide + offset + c] / deviation)
            }
        }
        forEach(.rows(parts.rows, of: wide)) { begin, count in
            for index in parts.pictures.indices {
                let channels = parts.pictures[index].lastDimension
                let offset = parts.offsets[index]
                kernels.pointee.norm_relu_input_gradient(
                    parts.pictures[index].base + begin * channels, outputGradient.base + begin * wide + offset, wide,
                    partGradients[index].base + begin * channels, count, channels, parts.means[index].base,
                    parts.variances[index].base, parts.gain.base + offset, parts.bias.base + offset, parts.epsilon,
                    partials + offset, partials + wide + offset, parts.rows)
            }
        }
    }
}
