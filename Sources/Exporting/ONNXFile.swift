import Basics
import Graphs
import Tensors

/// The file of an exported network: ONNX, intermediate representation 8, operators of set 13.
///
/// **Source:** onnx.proto of ONNX 1.12; the fields' numbers stand beside what is written.
struct ONNXFile {
    /// An input or output, float32; its first axis is the batch, of any size.
    struct Port {
        let name: String
        let dimensions: [Int]
    }

    static let intermediateRepresentation = 8
    static let operatorSet = 13
    /// What the format allows a message: its readers count bytes in 32 bits.
    static let byteLimit = 1 << 31

    let name: String
    let producerVersion: String
    let inputs: [Port]
    let outputs: [Port]
    let description: ONNXDescription
    let metadata: [(key: String, value: String)]

    private enum ElementType { static let (float, int64) = (1, 7) }

    /// - Parameter memory: values of a parameter or buffer.
    /// - Throws: `Failure` (usage) if the network is too large for the format; `FileError`.
    func write(path: String, memory: (Graph.ValueID) -> UnsafePointer<Float>) throws {
        var graph = ProtobufWriter()
        for node in description.nodes { graph.put(1) { Self.write(node, to: &$0) } }
        graph.put(2, name)
        for port in inputs { graph.put(11) { Self.write(port, to: &$0) } }
        for port in outputs { graph.put(12) { Self.write(port, to: &$0) } }
        // Weights are put in order one at a time when they are written: they may be most of the memory.
        let weights = description.constants.map { (constant: $0, head: Self.head(of: $0)) }
        let heads = weights.map { weight -> [UInt8] in
            var head = ProtobufWriter()
            head.announce(5, byteCount: weight.head.count + Self.byteCount(of: weight.constant))
            return head.bytes + weight.head
        }
        let total = zip(heads, weights).reduce(graph.bytes.count) {
            $0 + $1.0.count + Self.byteCount(of: $1.1.constant)
        }
        var model = ProtobufWriter()
        model.put(1, Self.intermediateRepresentation)
        model.put(2, "vergence")
        model.put(3, producerVersion)
        model.put(8) {
            $0.put(1, "")
            $0.put(2, Self.operatorSet)
        }
        for (key, value) in metadata {
            model.put(14) {
                $0.put(1, key)
                $0.put(2, value)
            }
        }
        model.announce(7, byteCount: total)
        guard model.bytes.count + total < Self.byteLimit else {
            throw Failure(
                .usage,
                "\(path): would take \(total) bytes, more than an ONNX file may have; choose --format safetensors")
        }
        let writer = try AtomicFileWriter(path: path)
        try writer.write(model.bytes)
        try writer.write(graph.bytes)
        for (head, weight) in zip(heads, weights) {
            try writer.write(head)
            if case .integers(let values) = weight.constant.contents {
                try values.map(Int64.init).withUnsafeBytes { try writer.write($0) }
            } else {
                try weight.constant.floats(memory).withUnsafeBytes { try writer.write($0) }
            }
        }
        try writer.publish()
    }

    private static func byteCount(of constant: ONNXConstant) -> Int {
        if case .integers = constant.contents { return 8 * constant.count }
        return 4 * constant.count
    }

    /// A TensorProto up to its bytes.
    private static func head(of constant: ONNXConstant) -> [UInt8] {
        var writer = ProtobufWriter()
        for extent in constant.dimensions { writer.put(1, extent) }
        if case .integers = constant.contents {
            writer.put(2, ElementType.int64)
        } else {
            writer.put(2, ElementType.float)
        }
        writer.put(8, constant.name)
        writer.announce(9, byteCount: byteCount(of: constant))
        return writer.bytes
    }

    /// A NodeProto.
    private static func write(_ node: ONNXNode, to writer: inout ProtobufWriter) {
        for input in node.inputs { writer.put(1, input) }
        for output in node.outputs { writer.put(2, output) }
        writer.put(3, node.name)
        writer.put(4, node.type)
        for (name, value) in node.attributes {
            writer.put(5) { attribute in
                attribute.put(1, name)
                switch value {
                case .number(let number):
                    attribute.put(2, number)
                    attribute.put(20, 1)
                case .integer(let integer):
                    attribute.put(3, integer)
                    attribute.put(20, 2)
                case .text(let text):
                    attribute.put(4, text)
                    attribute.put(20, 3)
                case .integers(let integers):
                    for integer in integers { attribute.put(8, integer) }
                    attribute.put(20, 7)
                }
            }
        }
    }

    /// A ValueInfoProto.
    private static func write(_ port: Port, to writer: inout ProtobufWriter) {
        writer.put(1, port.name)
        writer.put(2) { type in
            type.put(1) { tensor in
                tensor.put(1, ElementType.float)
                tensor.put(2) { shape in
                    for (axis, extent) in port.dimensions.enumerated() {
                        shape.put(1) {
                            if axis == 0 { $0.put(2, "batch") } else { $0.put(1, extent) }
                        }
                    }
                }
            }
        }
    }
}
