import Tensors

/// A layer as a network's author sees it: one row of its summary.
public struct GraphLayer: Sendable, Hashable {
    /// PyTorch's name of its kind, or that of a block of layers.
    public let type: String
    public let path: String
    /// What it returns, [N, H, W, C] or [N, C].
    public let shapes: [Shape]
    /// Scalars of its own, without those of layers inside.
    public let parameterCount: Int

    /// `Conv2d-1 [-1, 32, 224, 224] 896`: as `torchsummary` prints rows, sizes in PyTorch's order, −1 for the batch.
    public func row(_ number: Int) -> String {
        let sizes = shapes.map { shape -> String in
            let d = shape.dimensions
            let rest = d.count == 4 ? [d[3], d[1], d[2]] : Array(d.dropFirst())
            return "[" + ([-1] + rest).map(String.init).joined(separator: ", ") + "]"
        }
        return "\(type)-\(number) \(sizes.count == 1 ? sizes[0] : "[" + sizes.joined(separator: ", ") + "]") "
            + Self.grouped(parameterCount)
    }

    /// `36928` → `36,928`
    public static func grouped(_ count: Int) -> String {
        var groups: [Substring] = []
        var rest = Substring(String(count))
        while rest.count > 3 {
            groups.append(rest.suffix(3))
            rest = rest.dropLast(3)
        }
        return ([rest] + groups.reversed()).joined(separator: ",")
    }
}
