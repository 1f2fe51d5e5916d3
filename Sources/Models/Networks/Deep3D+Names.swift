extension Deep3D {
    /// The convolutions, under the names that torchvision gives those of VGG (`features.0.weight`). What is fully connected
    /// there saw pictures of another size.
    ///
    /// `mxnet` takes the layers of VGG-16 whose names (conv1_1, conv2_1, conv3_1, conv3_2, …) it has.
    public var nameMaps: [NameMap] {
        [("torchvision's VGG-16", [2, 2, 3, 3, 3]), ("torchvision's VGG-19", [2, 2, 4, 4, 4])].map { name, stages in
            NameMap(
                name, Self.vggNames(stages), pictureLayer: .init("convs.0.0", encoding: fields[0].encoding))
        }
    }

    /// `convs.STAGE.NUMBER.` and `features.INDEX.`: each convolution is followed by a ReLU there, each stage by a pooling.
    private static func vggNames(_ stages: [Int]) -> [(own: String, other: String)] {
        var index = 0
        var pairs: [(own: String, other: String)] = []
        for (stage, count) in stages.enumerated() {
            for number in 0..<count {
                pairs.append(("convs.\(stage).\(number).", "features.\(index)."))
                index += 2
            }
            index += 1
        }
        return pairs
    }
}
