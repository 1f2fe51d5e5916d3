import Tensors

/// A tensor as it stands in a file: PyTorch's name and order.
public struct NamedTensor: Sendable {
    public let name: String
    public let shape: Shape
    public let values: [Float]

    public init(_ name: String, _ shape: Shape, _ values: [Float]) {
        precondition(values.count == shape.count, "\(name): \(values.count) values for \(shape)")
        self.name = name
        self.shape = shape
        self.values = values
    }
}

/// Pictures between our order, channels last, and PyTorch's, channels first.
public enum PictureOrder {
    /// [N, C, H, W] → [N, H, W, C]
    public static func channelsLast(
        _ source: UnsafePointer<Float>, _ batch: Int, _ channels: Int, _ height: Int, _ width: Int,
        into target: UnsafeMutablePointer<Float>
    ) {
        let plane = height * width
        for n in 0..<batch {
            for c in 0..<channels {
                let from = source + (n * channels + c) * plane
                let to = target + n * plane * channels + c
                for i in 0..<plane { to[i * channels] = from[i] }
            }
        }
    }

    /// [N, H, W, C] → [N, C, H, W], and [N, H, W, 1] → [N, H, W]; other ranks are copied.
    public static func channelsFirst(_ name: String, _ view: TensorView) -> NamedTensor {
        guard view.shape.rank == 4 else { return NamedTensor(name, view.shape, Array(view.buffer)) }
        let d = view.shape.dimensions
        let (batch, plane, channels) = (d[0], d[1] * d[2], d[3])
        if channels == 1 { return NamedTensor(name, [batch, d[1], d[2]], Array(view.buffer)) }
        let values = [Float](unsafeUninitializedCapacity: view.count) { buffer, count in
            for n in 0..<batch {
                for c in 0..<channels {
                    let from = view.base + n * plane * channels + c
                    let start = (n * channels + c) * plane
                    for i in 0..<plane { buffer[start + i] = from[i * channels] }
                }
            }
            count = view.count
        }
        return NamedTensor(name, [batch, channels, d[1], d[2]], values)
    }
}
