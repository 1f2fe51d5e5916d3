import Foundation

/// An ONNX file, read back without the code that wrote it.
///
/// **Source:** onnx.proto; numbers of fields stand beside their names.
struct ONNXModel {
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    enum Attribute: Equatable {
        case integer(Int)
        case number(Float)
        case text(String)
        case integers([Int])
    }

    struct Node {
        var name = ""
        var type = ""
        var inputs: [String] = []
        var outputs: [String] = []
        var attributes: [String: Attribute] = [:]
    }

    struct Tensor: Equatable {
        var shape: [Int]
        var floats: [Float] = []
        /// Of int64 tensors, which have no floats.
        var integers: [Int]?

        var count: Int { shape.reduce(1, *) }
    }

    /// Nil: the batch, of any size.
    struct Port {
        var name = ""
        var shape: [Int?] = []
        var elementType = 0
    }

    var intermediateRepresentation = 0
    var operatorSets: [String: Int] = [:]
    var producer = ""
    var metadata: [String: String] = [:]
    var graphName = ""
    var nodes: [Node] = []
    var constants: [String: Tensor] = [:]
    var inputs: [Port] = []
    var outputs: [Port] = []

    init(path: String) throws {
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        for field in try Self.fields(Array(bytes)) {
            switch field.number {
            case 1: intermediateRepresentation = try field.integer
            case 2: producer = try field.text
            case 7: try readGraph(field.bytes)
            case 8:
                var (domain, version) = ("", 0)
                for inner in try Self.fields(field.bytes) {
                    if inner.number == 1 { domain = try inner.text }
                    if inner.number == 2 { version = try inner.integer }
                }
                operatorSets[domain] = version
            case 14:
                var (key, value) = ("", "")
                for inner in try Self.fields(field.bytes) {
                    if inner.number == 1 { key = try inner.text }
                    if inner.number == 2 { value = try inner.text }
                }
                guard metadata.updateValue(value, forKey: key) == nil else {
                    throw Problem(description: "\(key) twice")
                }
            case 3: break
            default: throw Problem(description: "model: field \(field.number)")
            }
        }
    }

    private mutating func readGraph(_ bytes: [UInt8]) throws {
        for field in try Self.fields(bytes) {
            switch field.number {
            case 1: nodes.append(try Self.node(field.bytes))
            case 2: graphName = try field.text
            case 5:
                let (name, tensor) = try Self.tensor(field.bytes)
                guard constants.updateValue(tensor, forKey: name) == nil else {
                    throw Problem(description: "constant \(name) twice")
                }
            case 11: inputs.append(try Self.port(field.bytes))
            case 12: outputs.append(try Self.port(field.bytes))
            default: throw Problem(description: "graph: field \(field.number)")
            }
        }
    }

    private static func node(_ bytes: [UInt8]) throws -> Node {
        var node = Node()
        for field in try fields(bytes) {
            switch field.number {
            case 1: node.inputs.append(try field.text)
            case 2: node.outputs.append(try field.text)
            case 3: node.name = try field.text
            case 4: node.type = try field.text
            case 5:
                var (name, type) = ("", 0)
                var (integer, number, text, integers) = (0, Float.nan, "", [Int]())
                for inner in try fields(field.bytes) {
                    switch inner.number {
                    case 1: name = try inner.text
                    case 2: number = try inner.number32
                    case 3: integer = try inner.integer
                    case 4: text = try inner.text
                    case 8: integers.append(try inner.integer)
                    case 20: type = try inner.integer
                    default: throw Problem(description: "attribute: field \(inner.number)")
                    }
                }
                switch type {
                case 1: node.attributes[name] = .number(number)
                case 2: node.attributes[name] = .integer(integer)
                case 3: node.attributes[name] = .text(text)
                case 7: node.attributes[name] = .integers(integers)
                default: throw Problem(description: "attribute \(name): type \(type)")
                }
            default: throw Problem(description: "node: field \(field.number)")
            }
        }
        return node
    }

    private static func tensor(_ bytes: [UInt8]) throws -> (String, Tensor) {
        var (name, type, raw) = ("", 0, [UInt8]())
        var shape: [Int] = []
        for field in try fields(bytes) {
            switch field.number {
            case 1: shape.append(try field.integer)
            case 2: type = try field.integer
            case 8: name = try field.text
            case 9: raw = field.bytes
            default: throw Problem(description: "tensor: field \(field.number)")
            }
        }
        var tensor = Tensor(shape: shape)
        let width = type == 1 ? 4 : 8
        guard [1, 7].contains(type), raw.count == width * tensor.count else {
            throw Problem(description: "\(name): \(raw.count) bytes of type \(type) for \(shape)")
        }
        raw.withUnsafeBytes { raw in
            if type == 1 {
                tensor.floats = (0..<tensor.count).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            } else {
                tensor.integers = (0..<tensor.count).map {
                    Int(raw.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self))
                }
            }
        }
        return (name, tensor)
    }

    private static func port(_ bytes: [UInt8]) throws -> Port {
        var port = Port()
        for field in try fields(bytes) {
            if field.number == 1 { port.name = try field.text }
            guard field.number == 2 else { continue }
            for type in try fields(field.bytes) where type.number == 1 {
                for tensor in try fields(type.bytes) {
                    if tensor.number == 1 { port.elementType = try tensor.integer }
                    guard tensor.number == 2 else { continue }
                    for dimension in try fields(tensor.bytes) {
                        let entry = try fields(dimension.bytes)
                        guard entry.count == 1 else {
                            throw Problem(description: "a dimension of \(entry.count) fields")
                        }
                        port.shape.append(entry[0].number == 1 ? try entry[0].integer : nil)
                    }
                }
            }
        }
        return port
    }

    /// A field of a message.
    private struct Field {
        let number: Int
        let varint: UInt64?
        let bytes: [UInt8]

        var integer: Int {
            get throws {
                guard let varint else { throw Problem(description: "field \(number) is no integer") }
                return Int(Int64(bitPattern: varint))
            }
        }
        var number32: Float {
            get throws {
                guard bytes.count == 4 else { throw Problem(description: "field \(number) is no float") }
                return bytes.withUnsafeBytes { $0.loadUnaligned(as: Float.self) }
            }
        }
        var text: String {
            get throws {
                guard varint == nil, let text = String(validating: bytes, as: UTF8.self) else {
                    throw Problem(description: "field \(number) is no text")
                }
                return text
            }
        }
    }

    private static func fields(_ bytes: [UInt8]) throws -> [Field] {
        var fields: [Field] = []
        var position = 0
        func varint() throws -> UInt64 {
            var (value, shift) = (UInt64(0), UInt64(0))
            while position < bytes.count, shift < 64 {
                let byte = bytes[position]
                position += 1
                value |= UInt64(byte & 0x7f) << shift
                if byte & 0x80 == 0 { return value }
                shift += 7
            }
            throw Problem(description: "a number that does not end, at byte \(position)")
        }
        func take(_ count: Int) throws -> [UInt8] {
            guard count >= 0, count <= bytes.count - position else {
                throw Problem(description: "\(count) bytes wanted, \(bytes.count - position) left")
            }
            defer { position += count }
            return Array(bytes[position..<(position + count)])
        }
        while position < bytes.count {
            let key = try varint()
            let number = Int(key >> 3)
            switch key & 7 {
            case 0: fields.append(Field(number: number, varint: try varint(), bytes: []))
            case 2: fields.append(Field(number: number, varint: nil, bytes: try take(Int(try varint()))))
            case 5: fields.append(Field(number: number, varint: nil, bytes: try take(4)))
            default: throw Problem(description: "field \(number) has wire type \(key & 7)")
            }
        }
        return fields
    }
}
