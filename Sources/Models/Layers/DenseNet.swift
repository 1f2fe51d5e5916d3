import Graphs
import Operators

/// A densely connected encoder: each layer of a block reads all that came before it in the block.
///
/// **Source:** Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", CVPR 2017, table 1
/// (DenseNet-BC with compression ½); epsilon and momentum of Keras' version, which DenseDepth trains.
struct DenseNet: Sendable {
    /// Layers of each block; between blocks sides and channels are halved.
    let blocks: [Int]
    /// Channels that a layer adds; the stem has twice as many.
    let growth: Int

    /// Encoders by name.
    static let blocks: [(name: String, blocks: [Int])] = [
        ("densenet169", [6, 12, 32, 32]), ("densenet121", [6, 12, 24, 16]), ("small", [2, 4, 6, 4]),
    ]
    private static let bottleneck = 4

    /// Features of a picture [N, H, W, 3] at 1/2 (stem), 1/4 (pooled stem), 1/8, 1/16, … (behind the transitions), and at last
    /// those of the last block, normalised.
    ///
    /// Parameters are `conv0`, `norm0`, `blocks.B.L.{norm1,conv1,norm2,conv2}`, `transitions.B.{norm,conv}`, and `norm5`.
    func features(of picture: Value) -> [Value] {
        let builder = picture.builder
        let stem = picture.convolution("conv0", to: 2 * growth, kernel: 7, stride: 2).normalized("norm0")
        var x = stem.maxPool2D(3, stride: 2, padding: 1)
        var features = [stem, x]
        for (number, layers) in blocks.enumerated() {
            var list = FeatureList(x)
            builder.scope("blocks.\(number)") {
                for layer in 0..<layers {
                    builder.scope("\(layer)") {
                        list.append(
                            list.normalized("norm1").convolution("conv1", to: Self.bottleneck * growth, kernel: 1)
                                .normalized("norm2").convolution("conv2", to: growth, kernel: 3))
                    }
                }
            }
            if number == blocks.count - 1 {
                x = list.normalized("norm5")
            } else {
                x = builder.scope("transitions.\(number)") {
                    list.normalized("norm").convolution("conv", to: list.channels / 2, kernel: 1).averagePool2D(2)
                }
            }
            features.append(x)
        }
        return features
    }

    /// What torchvision calls the tensors of an encoder in this scope; in the files of weights that it downloads, the layers
    /// of blocks have other names.
    func nameMaps(scope: String) -> [NameMap] {
        [("torchvision's DenseNet", ""), ("torchvision's DenseNet, as its files have it", ".")].map { source, dot in
            var prefixes = ["conv0.", "norm0.", "norm5."].map { (own: scope + $0, other: "features." + $0) }
            for (block, layers) in blocks.enumerated() {
                for layer in 0..<layers {
                    prefixes += ["norm", "conv"].flatMap { kind in
                        (1...2).map {
                            (
                                own: "\(scope)blocks.\(block).\(layer).\(kind)\($0).",
                                other: "features.denseblock\(block + 1).denselayer\(layer + 1).\(kind)\(dot)\($0)."
                            )
                        }
                    }
                }
                if block < blocks.count - 1 {
                    prefixes.append(
                        (own: "\(scope)transitions.\(block).", other: "features.transition\(block + 1)."))
                }
            }
            return NameMap(source, prefixes)
        }
    }
}

extension Value {
    /// Without bias, as normalisation follows.
    fileprivate func convolution(_ name: String, to channels: Int, kernel: Int, stride: Int = 1) -> Value {
        conv2D(
            name, to: channels, kernel: kernel, stride: stride, padding: kernel / 2, activation: .none,
            hasBias: false)
    }

    fileprivate func normalized(_ name: String) -> Value {
        batchNormReLU(name, epsilon: DenseNetNormalization.epsilon, momentum: DenseNetNormalization.momentum)
    }
}

extension FeatureList {
    fileprivate func normalized(_ name: String) -> Value {
        batchNormReLU(name, epsilon: DenseNetNormalization.epsilon, momentum: DenseNetNormalization.momentum)
    }
}

private enum DenseNetNormalization {
    static let epsilon: Float = 1.001e-5
    static let momentum: Float = 0.01
}
