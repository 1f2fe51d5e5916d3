import Tensors

/// An operation that other programs can run: as one node of ONNX (opset 13), or as a few.
///
/// Exported networks are channel first: a value of four axes, here [N, H, W, C], is [N, C, H, W] there. All others keep
/// their axes. `ONNXSite.channelAxis` says where channels are; weights are stored in the order in which they are needed,
/// so that nothing is transposed when the network runs.
public protocol ONNXExpressible: Operation {
    /// Emits nodes for the outputs.
    /// - Throws: `ONNXError` if these attributes or shapes have no counterpart.
    func express(_ site: ONNXSite) throws(ONNXError)
}

/// Why something cannot be exported.
public struct ONNXError: Error, Equatable {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
}

/// A node as ONNX has it, by names of values.
public struct ONNXNode: Sendable, Equatable {
    public enum Attribute: Sendable, Equatable {
        case integer(Int)
        case number(Float)
        case text(String)
        case integers([Int])
    }

    public let name: String
    public let type: String
    public let inputs: [String]
    public let outputs: [String]
    /// In order of their names.
    public let attributes: [(name: String, value: Attribute)]

    public static func == (a: Self, b: Self) -> Bool {
        a.name == b.name && a.type == b.type && a.inputs == b.inputs && a.outputs == b.outputs
            && a.attributes.map(\.name) == b.attributes.map(\.name)
            && a.attributes.map(\.value) == b.attributes.map(\.value)
    }
}

/// A constant tensor of an exported network.
public struct ONNXConstant: Sendable {
    public enum Contents: Sendable {
        case floats([Float])
        case integers([Int])
        /// A parameter or buffer of the graph, seen with `axes` dimensions, which are then put in `order`.
        case stored(Graph.ValueID, axes: [Int], order: [Int])
        /// The same, with a normalisation of the first axis of the result folded in.
        case normalizedWeights(Graph.ValueID, axes: [Int], order: [Int], ONNXNormalization)
        /// The bias that such a convolution has then; nil: it had none.
        case normalizedBias(Graph.ValueID?, ONNXNormalization)
    }

    public let name: String
    public let dimensions: [Int]
    public let contents: Contents

    public var count: Int { dimensions.reduce(1, *) }

    /// The values of a float constant.
    /// - Parameter memory: those of a parameter or buffer.
    public func floats(_ memory: (Graph.ValueID) -> UnsafePointer<Float>) -> [Float] {
        switch contents {
        case .floats(let values): return values
        case .integers: preconditionFailure("\(name) holds integers")
        case .stored(let value, let axes, let order): return Self.permuted(memory(value), axes: axes, order: order)
        case .normalizedWeights(let value, let axes, let order, let normalization):
            var values = Self.permuted(memory(value), axes: axes, order: order)
            let channels = dimensions[0]
            let each = values.count / max(1, channels)
            for channel in 0..<channels {
                let factor = normalization.factor(channel, memory)
                for i in (channel * each)..<((channel + 1) * each) { values[i] = Float(Double(values[i]) * factor) }
            }
            return values
        case .normalizedBias(let bias, let normalization):
            let own = bias.map(memory)
            return (0..<count).map { channel in
                let centred = Double(own?[channel] ?? 0) - Double(memory(normalization.mean)[channel])
                return Float(
                    Double(memory(normalization.bias)[channel]) + normalization.factor(channel, memory) * centred)
            }
        }
    }

    /// Values in another order of the axes: element order of the result's memory.
    public static func permuted(_ values: UnsafePointer<Float>, axes: [Int], order: [Int]) -> [Float] {
        var strides = [Int](repeating: 1, count: axes.count)
        for axis in axes.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * axes[axis + 1] }
        let count = axes.reduce(1, *)
        if order == Array(axes.indices) { return Array(UnsafeBufferPointer(start: values, count: count)) }
        let (extents, steps) = (order.map { axes[$0] }, order.map { strides[$0] })
        return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            var index = [Int](repeating: 0, count: extents.count)
            var offset = 0
            for element in 0..<count {
                buffer[element] = values[offset]
                // An odometer: the last axis runs fastest.
                var axis = extents.count - 1
                while axis >= 0 {
                    index[axis] += 1
                    offset += steps[axis]
                    if index[axis] < extents[axis] { break }
                    offset -= extents[axis] * steps[axis]
                    index[axis] = 0
                    axis -= 1
                }
            }
            initialized = count
        }
    }
}

/// Batch normalisation with stored statistics, as a factor and an addend for each channel.
public struct ONNXNormalization: Sendable {
    public let gain: Graph.ValueID
    public let bias: Graph.ValueID
    public let mean: Graph.ValueID
    public let variance: Graph.ValueID
    public let epsilon: Float

    /// - Parameter inputs: picture, gain, bias, mean, variance.
    public init(inputs: [Graph.ValueID], epsilon: Float) {
        (gain, bias, mean, variance) = (inputs[1], inputs[2], inputs[3], inputs[4])
        self.epsilon = epsilon
    }

    func factor(_ channel: Int, _ memory: (Graph.ValueID) -> UnsafePointer<Float>) -> Double {
        Double(memory(gain)[channel]) / (Double(memory(variance)[channel]) + Double(epsilon)).squareRoot()
    }
}
