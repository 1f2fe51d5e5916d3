import Basics
import Tensors

/// The tensors of a file that `torch.save` wrote: a dictionary by name, as torchvision publishes weights; in the form of a ZIP
/// archive, and in the one before it.
///
/// **Source:** `torch/serialization.py`.
public struct TorchFile {
    /// A tensor of floating-point numbers, in order.
    public struct Tensor {
        public let name: String
        public let shape: Shape
        public let values: [Float]
    }

    /// In the order of the file.
    public let tensors: [Tensor]
    /// Names of what holds other numbers, such as counters.
    public let skipped: [String]

    /// - Throws: `FileError`, `Failure` (bad data).
    public init(path: String) throws { try self.init(bytes: Files.read(path, limit: 1 << 32), path: path) }

    init(bytes: [UInt8], path: String) throws {
        (tensors, skipped) = try bytes.withUnsafeBytes { buffer in
            do {
                let content = try buffer.starts(with: "PK".utf8) ? Content(archive: buffer) : Content(legacy: buffer)
                return try content.tensors()
            } catch is ByteCursor.Truncated {
                throw Failure(.badData, "\(path): ends early, or is no file of torch.save; copy it again")
            } catch let error as Pickle.Malformed {
                throw Failure(
                    .badData,
                    "\(path): no dictionary of tensors by torch.save, as of byte \(error.byteOffset); check the path")
            }
        }
    }
}

/// A pickled dictionary and the memory that its tensors refer to.
private struct Content {
    let pickle: Pickle
    /// Storages by key.
    var storages: [String: UnsafeRawBufferPointer] = [:]

    /// Pickles of a magic number, a version and a machine; of the dictionary; of the storages' keys; then the storages.
    init(legacy bytes: UnsafeRawBufferPointer) throws {
        var cursor = ByteCursor(bytes)
        for _ in 0..<3 { _ = try Pickle(&cursor) }
        pickle = try Pickle(&cursor)
        let index = try Pickle(&cursor)
        guard case .list(let keys) = index.root else { throw Pickle.Malformed(byteOffset: cursor.byteOffset) }
        let sizes = Self.elementSizes(in: pickle)
        for case .text(let key) in index.collections[keys] {
            let count = Int(truncatingIfNeeded: try cursor.integer(UInt64.self))
            let (byteCount, overflow) = count.multipliedReportingOverflow(by: sizes[key] ?? 1)
            guard !overflow else { throw Pickle.Malformed(byteOffset: cursor.byteOffset) }
            storages[key] = try cursor.take(byteCount)
        }
    }

    /// A ZIP archive of files that are not compressed: `NAME/data.pkl` and `NAME/data/KEY`.
    init(archive bytes: UnsafeRawBufferPointer) throws {
        var files: [(name: String, bytes: UnsafeRawBufferPointer)] = []
        var cursor = ByteCursor(bytes, at: try Self.directory(bytes))
        while cursor.remaining >= 46, try cursor.integer(UInt32.self) == 0x0201_4b50 {
            _ = try cursor.take(6)
            guard try cursor.integer(UInt16.self) == 0 else {
                throw Pickle.Malformed(byteOffset: cursor.byteOffset)
            }
            _ = try cursor.take(8)
            var size = UInt64(try cursor.integer(UInt32.self))
            _ = try cursor.take(4)
            let (nameCount, extraCount, commentCount) = (
                Int(try cursor.integer(UInt16.self)), Int(try cursor.integer(UInt16.self)),
                Int(try cursor.integer(UInt16.self))
            )
            _ = try cursor.take(8)
            var start = UInt64(try cursor.integer(UInt32.self))
            let name = String(decoding: try cursor.take(nameCount), as: UTF8.self)
            var extra = ByteCursor(try cursor.take(extraCount))
            while extra.remaining >= 4 {
                let (kind, count) = (try extra.integer(UInt16.self), Int(try extra.integer(UInt16.self)))
                var field = ByteCursor(try extra.take(min(count, extra.remaining)))
                if kind == 1 {
                    // Sizes of 64 bits, of those only that do not fit elsewhere: whole, packed, start.
                    if size == 0xffff_ffff {
                        _ = try field.take(8)
                        size = try field.integer()
                    }
                    if start == 0xffff_ffff { start = try field.integer() }
                }
            }
            _ = try cursor.take(commentCount)
            var local = ByteCursor(bytes, at: min(Int(clamping: start), bytes.count))
            _ = try local.take(26)
            let skip = Int(try local.integer(UInt16.self)) + Int(try local.integer(UInt16.self))
            _ = try local.take(skip)
            files.append((name, try local.take(Int(clamping: size))))
        }
        guard let pickled = files.first(where: { $0.name.hasSuffix("/data.pkl") }) else {
            throw Pickle.Malformed(byteOffset: 0)
        }
        let folder = pickled.name.dropLast("data.pkl".count) + "data/"
        for file in files where file.name.hasPrefix(folder) {
            storages[String(file.name.dropFirst(folder.count))] = file.bytes
        }
        var body = ByteCursor(pickled.bytes)
        pickle = try Pickle(&body)
    }

    /// Where the list of an archive's files begins.
    private static func directory(_ bytes: UnsafeRawBufferPointer) throws -> Int {
        for end in stride(from: bytes.count - 22, through: max(0, bytes.count - 65_557), by: -1) {
            var cursor = ByteCursor(bytes, at: end)
            guard try cursor.integer(UInt32.self) == 0x0605_4b50 else { continue }
            _ = try cursor.take(12)
            let start = try cursor.integer(UInt32.self)
            if start < 0xffff_ffff { return min(Int(start), bytes.count) }
            // A locator before it says where the record with 64 bits is.
            guard end >= 20 else { break }
            var locator = ByteCursor(bytes, at: end - 20)
            _ = try locator.take(8)
            var record = ByteCursor(bytes, at: min(Int(clamping: try locator.integer(UInt64.self)), bytes.count))
            _ = try record.take(48)
            return min(Int(clamping: try record.integer(UInt64.self)), bytes.count)
        }
        throw Pickle.Malformed(byteOffset: bytes.count)
    }

    private enum Element: String {
        case float = "torch FloatStorage"
        case double = "torch DoubleStorage"
        case half = "torch HalfStorage"
        case bfloat16 = "torch BFloat16Storage"

        var byteCount: Int {
            switch self {
            case .double: 8
            case .float: 4
            case .half, .bfloat16: 2
            }
        }

        func value(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Float {
            let offset = index * byteCount
            return switch self {
            case .float: bytes.loadUnaligned(fromByteOffset: offset, as: Float.self)
            case .double: Float(bytes.loadUnaligned(fromByteOffset: offset, as: Double.self))
            case .half: Float(Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
            case .bfloat16:
                Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)) << 16)
            }
        }
    }

    /// A tensor's view of a storage; nil if the value is no tensor.
    private struct View {
        let storage: String
        let kind: String
        let offset: Int
        let sizes: [Int]
        let strides: [Int]

        init?(_ value: Pickle.Value, in pickle: Pickle) {
            guard case .call(var name, let number) = value else { return nil }
            var arguments = pickle.collections[number]
            if name == "torch._utils _rebuild_parameter", case .call(let inner, let number)? = arguments.first {
                (name, arguments) = (inner, pickle.collections[number])
            }
            guard name.hasPrefix("torch._utils _rebuild_tensor"), arguments.count >= 4,
                case .persistent(let place) = arguments[0], case .integer(let offset) = arguments[1],
                case .tuple(let sizes) = arguments[2], case .tuple(let strides) = arguments[3]
            else { return nil }
            let reference = pickle.collections[place]
            guard reference.count >= 5, case .global(let kind) = reference[1], case .text(let storage) = reference[2]
            else { return nil }
            func numbers(_ collection: Int) -> [Int] {
                pickle.collections[collection].compactMap {
                    if case .integer(let value) = $0, value >= 0 { value } else { nil }
                }
            }
            self.storage = storage
            self.kind = kind
            self.offset = offset
            self.sizes = numbers(sizes)
            self.strides = numbers(strides)
            let rank = pickle.collections[sizes].count
            guard offset >= 0, rank <= 8, self.sizes.count == rank, self.strides.count == rank,
                pickle.collections[strides].count == rank
            else { return nil }
        }
    }

    /// Bytes of an element of each storage, by key: the old form counts elements.
    private static func elementSizes(in pickle: Pickle) -> [String: Int] {
        var sizes: [String: Int] = [:]
        for (_, value) in entries(pickle, pickle.root) {
            guard let view = View(value, in: pickle) else { continue }
            sizes[view.storage] =
                Element(rawValue: view.kind)?.byteCount
                ?? ["torch LongStorage": 8, "torch IntStorage": 4, "torch ShortStorage": 2][view.kind] ?? 1
        }
        return sizes
    }

    /// Names and values of a dictionary.
    private static func entries(
        _ pickle: Pickle, _ value: Pickle.Value
    ) -> [(name: String, value: Pickle.Value)] {
        guard case .dictionary(let number) = value else { return [] }
        let values = pickle.collections[number]
        return stride(from: 0, to: values.count - 1, by: 2).compactMap {
            guard case .text(let name) = values[$0] else { return nil }
            return (name, values[$0 + 1])
        }
    }

    func tensors() throws -> (tensors: [TorchFile.Tensor], skipped: [String]) {
        var tensors: [TorchFile.Tensor] = []
        var skipped: [String] = []
        for (name, value) in Self.entries(pickle, pickle.root) {
            guard let view = View(value, in: pickle) else { continue }
            guard let element = Element(rawValue: view.kind) else {
                skipped.append(name)
                continue
            }
            guard let bytes = storages[view.storage],
                let count = Self.count(view, limit: bytes.count / element.byteCount)
            else { throw Pickle.Malformed(byteOffset: 0) }
            var values = [Float](repeating: 0, count: count)
            for index in 0..<count {
                var (rest, offset) = (index, view.offset)
                for axis in view.sizes.indices.reversed() {
                    offset += rest % view.sizes[axis] * view.strides[axis]
                    rest /= view.sizes[axis]
                }
                values[index] = element.value(bytes, offset)
            }
            tensors.append(.init(name: name, shape: Shape(view.sizes), values: values))
        }
        guard !tensors.isEmpty else { throw Pickle.Malformed(byteOffset: 0) }
        return (tensors, skipped)
    }

    /// Elements of a tensor all of which lie in its storage; nil if they do not, or are more than it has.
    private static func count(_ view: View, limit: Int) -> Int? {
        var (count, last) = (1, view.offset)
        for (size, stride) in zip(view.sizes, view.strides) {
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            guard !overflow, size > 0, product <= limit else { return nil }
            count = product
            let (step, tooFar) = (size - 1).multipliedReportingOverflow(by: stride)
            guard !tooFar, step <= limit, last <= limit else { return nil }
            last += step
        }
        return last < limit ? count : nil
    }
}
