import Basics
import Tensors

/// Writes safetensors files: complete or not at all, the same bytes for the same content.
public enum SafeTensorsWriter {
    /// A tensor to write.
    public struct Tensor {
        public let name: String
        public let shape: Shape
        public let source: Source

        public init(_ name: String, _ shape: Shape, _ source: Source) {
            precondition(
                shape.count == source.count, "tensor \(name) of shape \(shape) has \(source.count) elements")
            self.name = name
            self.shape = shape
            self.source = source
        }

        public init(_ name: String, _ shape: Shape, _ floats: [Float]) { self.init(name, shape, .floats(floats)) }
    }

    /// Where elements come from. They are written from where they lie, without a second copy.
    public enum Source {
        case floats([Float])
        /// Memory that stays as it is until `write` returns.
        case span(UnsafeBufferPointer<Float>)
        case integers([Int64])
        case bytes([UInt8])

        var element: TensorElement {
            switch self {
            case .floats, .span: .float32
            case .integers: .int64
            case .bytes: .uint8
            }
        }

        var count: Int {
            switch self {
            case .floats(let values): values.count
            case .span(let values): values.count
            case .integers(let values): values.count
            case .bytes(let values): values.count
            }
        }

        func withBytes<Value>(_ body: (UnsafeRawBufferPointer) throws -> Value) rethrows -> Value {
            switch self {
            case .floats(let values): try values.withUnsafeBytes(body)
            case .span(let values): try body(UnsafeRawBufferPointer(values))
            case .integers(let values): try values.withUnsafeBytes(body)
            case .bytes(let values): try values.withUnsafeBytes(body)
            }
        }
    }

    /// Writes a file whose tensors stand in the given order, but whole numbers of 8 bytes first and bytes last, so that
    /// every tensor is aligned for readers that map the file.
    ///
    /// - Parameters:
    ///   - metadata: free texts; must hold nothing that differs between equal states (no time, host or path).
    ///   - checksums: whether to add our checksums to the metadata.
    /// - Throws: `FileError`; the old file, if any, then stays.
    public static func write(
        path: String, tensors: [Tensor], metadata: [String: String] = [:], checksums: Bool = true
    ) throws {
        let sizes = [TensorElement.int64, .float32, .uint8]
        let ordered = sizes.flatMap { element in tensors.filter { $0.source.element == element } }
        let writer = try AtomicFileWriter(path: path)
        try writer.write(header(ordered, metadata: metadata, checksums: checksums))
        for tensor in ordered { try tensor.source.withBytes { try writer.write($0) } }
        try writer.publish()
    }

    /// The same for float tensors in arrays.
    public static func write(
        path: String, tensors: [(name: String, shape: Shape, values: [Float])], metadata: [String: String] = [:],
        checksums: Bool = true
    ) throws {
        try write(
            path: path, tensors: tensors.map { Tensor($0.name, $0.shape, $0.values) }, metadata: metadata,
            checksums: checksums)
    }

    /// Length, JSON and padding.
    private static func header(_ tensors: [Tensor], metadata: [String: String], checksums: Bool) -> [UInt8] {
        precondition(
            Set(tensors.map(\.name)).count == tensors.count && !tensors.contains { $0.name == SafeTensors.metadataKey },
            "tensor names must be unique, and none \(SafeTensors.metadataKey)")
        precondition(metadata[SafeTensors.checksumKey] == nil, "\(SafeTensors.checksumKey) is reserved")
        var texts = metadata
        if checksums {
            let layout = SafeTensors.layoutHash(
                tensors.map { ($0.name, $0.source.element, $0.shape.dimensions) }, metadata: metadata)
            texts[SafeTensors.checksumKey] = tensors.reduce(into: layout) { text, tensor in
                text += Hash.hexadecimal(tensor.source.withBytes { Hash.xxh64($0) })
            }
        }
        var members: [String] = []
        if !texts.isEmpty {
            let keys = texts.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            let pairs = keys.map { "\(quoted($0)):\(quoted(texts[$0] ?? ""))" }
            members.append("\(quoted(SafeTensors.metadataKey)):{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for tensor in tensors {
            let end = offset + tensor.source.count * tensor.source.element.byteCount
            let shape = tensor.shape.dimensions.map(String.init).joined(separator: ",")
            members.append(
                "\(quoted(tensor.name)):{\"dtype\":\"\(tensor.source.element.rawValue)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var json = Array("{\(members.joined(separator: ","))}".utf8)
        json.append(contentsOf: [UInt8](repeating: 0x20, count: (8 - json.count % 8) % 8))
        precondition(json.count <= SafeTensors.headerLimit, "a header of \(json.count) bytes")
        var header: [UInt8] = []
        header.appendLittleEndian(UInt64(json.count))
        return header + json
    }

    /// A JSON text, escaped as the reference implementation does.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\u{08}": result += "\\b"
            case "\u{0C}": result += "\\f"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{00}"..<"\u{20}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
