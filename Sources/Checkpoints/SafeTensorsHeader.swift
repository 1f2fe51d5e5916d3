import Basics

/// The parsed header of a safetensors file: what it says, checked for sense, before any tensor is read.
struct SafeTensorsHeader {
    struct Entry {
        let name: String
        let element: TensorElement
        let dimensions: [Int]
        /// Within the data section.
        let byteRange: Range<Int>
    }

    /// In file order.
    var entries: [Entry] = []
    var metadata: [String: String] = [:]

    /// - Parameter json: the header with its padding.
    /// - Throws: `SafeTensorsError`.
    init(json: [UInt8], path: String) throws {
        var scanner = HeaderScanner(json, path: path)
        var names: Set<String> = []
        try scanner.object { name, byteOffset, scanner in
            guard names.insert(name).inserted else {
                throw SafeTensorsError.duplicate(path: path, name: name, byteOffset: byteOffset)
            }
            if name == SafeTensors.metadataKey {
                try scanner.object { key, byteOffset, scanner in
                    let value = try scanner.string("a text (metadata are texts)")
                    guard metadata.updateValue(value, forKey: key) == nil else {
                        throw SafeTensorsError.duplicate(path: path, name: key, byteOffset: byteOffset)
                    }
                }
            } else {
                entries.append(try Self.entry(name, &scanner, path))
            }
        }
        try scanner.padding()
        // Empty tensors share their offset with the next one and go first; of several, as the header has them.
        entries = entries.enumerated()
            .sorted {
                ($0.element.byteRange.lowerBound, $0.element.byteRange.upperBound, $0.offset)
                    < ($1.element.byteRange.lowerBound, $1.element.byteRange.upperBound, $1.offset)
            }
            .map(\.element)
    }

    private static func entry(_ name: String, _ scanner: inout HeaderScanner, _ path: String) throws -> Entry {
        var (elementName, dimensions, offsets): (String?, [Int]?, [Int]?)
        let start = scanner.byteOffset
        try scanner.object { key, byteOffset, scanner in
            let isNew: Bool
            switch key {
            case "dtype":
                isNew = elementName == nil
                elementName = try scanner.string("an element type")
            case "shape":
                isNew = dimensions == nil
                dimensions = try scanner.integers(limit: SafeTensors.dimensionLimit)
            case "data_offsets":
                isNew = offsets == nil
                offsets = try scanner.integers(limit: 2)
            default:
                throw SafeTensorsError.malformed(
                    path: path, byteOffset: byteOffset, expected: "dtype, shape or data_offsets")
            }
            if !isNew { throw SafeTensorsError.duplicate(path: path, name: key, byteOffset: byteOffset) }
        }
        guard let elementName, let dimensions, let offsets, offsets.count == 2, offsets[0] <= offsets[1] else {
            throw SafeTensorsError.malformed(
                path: path, byteOffset: start, expected: "dtype, shape and two data_offsets in order")
        }
        guard let element = TensorElement(rawValue: elementName) else {
            throw SafeTensorsError.unknownElementType(path: path, tensor: name, name: elementName)
        }
        var byteCount = element.byteCount
        for dimension in dimensions {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: dimension)
            guard !overflow else {
                throw SafeTensorsError.malformed(path: path, byteOffset: start, expected: "a shape below 2^63 bytes")
            }
            byteCount = product
        }
        guard byteCount == offsets[1] - offsets[0] else {
            throw SafeTensorsError.sizeMismatch(
                path: path, tensor: name, expectedByteCount: byteCount, foundByteCount: offsets[1] - offsets[0])
        }
        return Entry(name: name, element: element, dimensions: dimensions, byteRange: offsets[0]..<offsets[1])
    }
}

/// Reads the JSON that a safetensors header may hold: objects, texts, arrays of whole numbers. The grammar has a fixed
/// depth, so hostile nesting cannot exhaust the stack; anything else is an error with its place.
struct HeaderScanner {
    private let bytes: [UInt8]
    private let path: String
    private var position = 0

    /// Texts in a header are names: no need to be longer.
    private static let textLimit = 1 << 20

    init(_ bytes: [UInt8], path: String) {
        self.bytes = bytes
        self.path = path
    }

    /// Place in the file: the header follows its 8-byte length.
    var byteOffset: Int { position + 8 }

    private func unexpected(_ expected: String) -> SafeTensorsError {
        .malformed(path: path, byteOffset: byteOffset, expected: expected)
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    /// Takes `character` if it comes next, after white space.
    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// `{"key": value, …}`; `member` reads the value.
    mutating func object(
        _ member: (_ key: String, _ keyOffset: Int, _ scanner: inout HeaderScanner) throws -> Void
    ) throws {
        // A header must begin with the brace itself.
        if position == 0 && next != UInt8(ascii: "{") { throw unexpected("{") }
        guard take("{") else { throw unexpected("{") }
        if take("}") { return }
        repeat {
            skipSpace()
            let offset = byteOffset
            let key = try string("a name in quotes")
            guard take(":") else { throw unexpected(":") }
            try member(key, offset, &self)
        } while take(",")
        guard take("}") else { throw unexpected(", or }") }
    }

    /// `[1, 2, …]` of whole numbers that are not negative.
    mutating func integers(limit: Int) throws -> [Int] {
        guard take("[") else { throw unexpected("[") }
        var values: [Int] = []
        if take("]") { return values }
        repeat {
            guard values.count < limit else { throw unexpected("at most \(limit) numbers") }
            values.append(try integer())
        } while take(",")
        guard take("]") else { throw unexpected(", or ]") }
        return values
    }

    private mutating func integer() throws -> Int {
        skipSpace()
        let start = position
        var value = 0
        while let byte = next, byte >= 0x30 && byte <= 0x39 {
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, secondOverflow) = tens.addingReportingOverflow(Int(byte - 0x30))
            if overflow || secondOverflow { throw unexpected("a number below 2^63") }
            value = sum
            position += 1
        }
        guard position > start, position == start + 1 || bytes[start] != 0x30 else {
            throw unexpected("a whole number without sign or leading zero")
        }
        return value
    }

    mutating func string(_ expected: String) throws -> String {
        guard take("\"") else { throw unexpected(expected) }
        var text: [UInt8] = []
        while true {
            guard let byte = next, text.count < Self.textLimit else { throw unexpected("the end of a text") }
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let result = String(validating: text, as: UTF8.self) else {
                    throw unexpected("UTF-8 before here")
                }
                return result
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw unexpected("no control character before here")
            default: text.append(byte)
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws {
        guard let byte = next else { throw unexpected("an escape") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var units = [try hexadecimal()]
            if UTF16.isLeadSurrogate(units[0]) {
                guard take("\\"), take("u") else { throw unexpected("the second half of a surrogate pair") }
                units.append(try hexadecimal())
            }
            guard let character = String(validating: units, as: UTF16.self) else {
                throw unexpected("a character before here")
            }
            text += character.utf8
        default: throw unexpected("an escape of JSON before here")
        }
    }

    private mutating func hexadecimal() throws -> UInt16 {
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw unexpected("four hexadecimal digits")
            }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }

    /// Spaces up to the end: padding for alignment.
    mutating func padding() throws {
        while let byte = next {
            guard byte == 0x20 else { throw unexpected("only spaces after the header") }
            position += 1
        }
    }
}
