import Graphs
import Tensors

/// Between our memory order of a parameter and PyTorch's, which checkpoints and exports use.
extension Parameter {
    /// Shape in PyTorch's order.
    public var externalShape: Shape {
        let d = shape.dimensions
        return switch layout {
        case .plain: shape
        case .convolution: [d[3], d[2], d[0], d[1]]
        case .depthwise: [d[2], 1, d[0], d[1]]
        case .transposedConvolution: [d[0], d[3], d[1], d[2]]
        case .linear: [d[1], d[0]]
        case .flattened: shape
        }
    }

    /// Calls `body(internal, external)` with the two offsets of every element, in PyTorch's order.
    func forEachElement(_ body: (_ internalOffset: Int, _ externalOffset: Int) -> Void) {
        let d = shape.dimensions
        var external = 0
        switch layout {
        case .plain:
            for offset in 0..<shape.count { body(offset, offset) }
        case .convolution:
            let (kh, kw, input, output) = (d[0], d[1], d[2], d[3])
            for o in 0..<output {
                for i in 0..<input {
                    for y in 0..<kh {
                        for x in 0..<kw {
                            body(((y * kw + x) * input + i) * output + o, external)
                            external += 1
                        }
                    }
                }
            }
        case .depthwise:
            let (kh, kw, channels) = (d[0], d[1], d[2])
            for c in 0..<channels {
                for tap in 0..<(kh * kw) {
                    body(tap * channels + c, external)
                    external += 1
                }
            }
        case .transposedConvolution:
            let (input, taps, output) = (d[0], d[1] * d[2], d[3])
            for i in 0..<input {
                for o in 0..<output {
                    for tap in 0..<taps {
                        body((i * taps + tap) * output + o, external)
                        external += 1
                    }
                }
            }
        case .linear(let input, let output):
            let (rows, columns) = (Self.channelFirst(input), Self.channelFirst(output))
            for column in columns {
                for row in rows {
                    body(row * d[1] + column, external)
                    external += 1
                }
            }
        case .flattened(let picture):
            for (index, offset) in Self.channelFirst(picture).enumerated() { body(offset, index) }
        }
    }

    /// Our offsets of a sample's values in PyTorch's order: channel by channel if it is a picture.
    private static func channelFirst(_ shape: Shape) -> [Int] {
        guard shape.rank == 3 else { return Array(0..<shape.count) }
        return (0..<shape[2]).flatMap { channel in
            (0..<(shape[0] * shape[1])).map { $0 * shape[2] + channel }
        }
    }

    /// A copy in PyTorch's order of the values at `base + offset`.
    public func exported(from base: UnsafePointer<Float>) -> [Float] {
        let values = base + offset
        return [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
            forEachElement { buffer[$1] = values[$0] }
            count = shape.count
        }
    }

    /// Stores values in PyTorch's order at `base + offset`.
    public func `import`(_ values: [Float], to base: UnsafeMutablePointer<Float>) {
        precondition(values.count == shape.count, "\(name): \(values.count) values for \(shape)")
        let target = base + offset
        forEachElement { target[$0] = values[$1] }
    }
}
