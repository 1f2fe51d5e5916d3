import Basics
import Tensors

/// Writes safetensors files. The same tensors and metadata give the same bytes.
public enum SafeTensorsWriter {
    /// What a tensor's elements are written as.
    public enum Content {
        case floats([Float])
        case integers([Int64])

        var typeName: String {
            switch self {
            case .floats: "F32"
            case .integers: "I64"
            }
        }
        var count: Int {
            switch self {
            case .floats(let values): values.count
            case .integers(let values): values.count
            }
        }
        var byteCount: Int {
            switch self {
            case .floats(let values): values.count * 4
            case .integers(let values): values.count * 8
            }
        }
    }

    /// Publishes the file atomically.
    /// - Throws: `FileError`.
    public static func write(
        path: String, tensors: [(name: String, shape: Shape, content: Content)], metadata: [String: String]
    ) throws {
        var header = "{"
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
            header += "\"__metadata__\":{\(pairs.joined(separator: ","))},"
        }
        var offset = 0
        var names: Set<String> = []
        for (name, shape, content) in tensors {
            precondition(names.insert(name).inserted, "two tensors are called \(name)")
            precondition(shape.count == content.count, "\(name): \(content.count) values for \(shape)")
            let dimensions = shape.dimensions.map(String.init).joined(separator: ",")
            header += "\(quoted(name)):{\"dtype\":\"\(content.typeName)\",\"shape\":[\(dimensions)],"
            header += "\"data_offsets\":[\(offset),\(offset + content.byteCount)]},"
            offset += content.byteCount
        }
        if header.hasSuffix(",") { header.removeLast() }
        header += "}"
        // Data starts on a multiple of eight, as readers that map the file like it.
        header += String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)

        let writer = try AtomicFileWriter(path: path)
        var length: [UInt8] = []
        length.appendLittleEndian(UInt64(header.utf8.count))
        try writer.write(length)
        try writer.write(header)
        for (_, _, content) in tensors {
            switch content {
            case .floats(let values): try values.withUnsafeBytes { try writer.write($0) }
            case .integers(let values): try values.withUnsafeBytes { try writer.write($0) }
            }
        }
        try writer.publish()
    }

    /// A JSON string.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
