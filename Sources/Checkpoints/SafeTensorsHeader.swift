import Tensors

/// The JSON header of a safetensors file. A scanner of its own, because foreign headers must not be able to hide a
/// duplicate name or cost more memory than they have bytes; it knows the header's three levels and nothing else.
struct SafeTensorsHeader {
    struct Entry: Equatable {
        let name: String
        let type: String
        let dimensions: [Int]
        let begin: Int
        let end: Int
    }

    struct Malformed: Error, Equatable {
        let byteOffset: Int
        let expected: String
    }

    private(set) var entries: [Entry] = []
    private(set) var metadata: [String: String] = [:]

    init(_ json: UnsafeRawBufferPointer) throws(Malformed) {
        var scanner = Scanner(bytes: json)
        var names: Set<String> = []
        try scanner.object { scanner, name throws(Malformed) in
            guard names.insert(name).inserted else { throw scanner.malformed("each name once, \(name) stands twice") }
            if name == "__metadata__" {
                var metadata: [String: String] = [:]
                try scanner.object { scanner, key throws(Malformed) in
                    guard metadata[key] == nil else { throw scanner.malformed("each key once, \(key) stands twice") }
                    metadata[key] = try scanner.string()
                }
                self.metadata = metadata
            } else {
                entries.append(try Self.entry(name, &scanner))
            }
        }
        try scanner.end()
    }

    private static func entry(_ name: String, _ scanner: inout Scanner) throws(Malformed) -> Entry {
        var type: String?
        var dimensions: [Int]?
        var offsets: [Int]?
        try scanner.object { scanner, key throws(Malformed) in
            switch key {
            case "dtype" where type == nil: type = try scanner.string()
            case "shape" where dimensions == nil: dimensions = try scanner.integers(limit: 16)
            case "data_offsets" where offsets == nil: offsets = try scanner.integers(limit: 2)
            default: throw scanner.malformed("dtype, shape and data_offsets once each in \(name), not \(key)")
            }
        }
        guard let type, let dimensions, let offsets, offsets.count == 2, offsets[0] <= offsets[1] else {
            throw scanner.malformed("dtype, shape and two ascending data_offsets in \(name)")
        }
        return Entry(name: name, type: type, dimensions: dimensions, begin: offsets[0], end: offsets[1])
    }

    private struct Scanner {
        let bytes: UnsafeRawBufferPointer
        var position = 0

        init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        func malformed(_ expected: String) -> Malformed { Malformed(byteOffset: position, expected: expected) }

        mutating func skipSpace() {
            while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
        }

        mutating func take(_ character: Character) throws(Malformed) {
            skipSpace()
            guard position < bytes.count, bytes[position] == character.asciiValue else {
                throw malformed("'\(character)'")
            }
            position += 1
        }

        mutating func isNext(_ character: Character) -> Bool {
            skipSpace()
            guard position < bytes.count, bytes[position] == character.asciiValue else { return false }
            position += 1
            return true
        }

        mutating func object(
            _ member: (inout Scanner, String) throws(Malformed) -> Void
        ) throws(Malformed) {
            try take("{")
            if isNext("}") { return }
            repeat {
                let name = try string()
                try take(":")
                try member(&self, name)
            } while isNext(",")
            try take("}")
        }

        mutating func integers(limit: Int) throws(Malformed) -> [Int] {
            try take("[")
            var result: [Int] = []
            if isNext("]") { return result }
            repeat {
                guard result.count < limit else { throw malformed("at most \(limit) numbers") }
                result.append(try integer())
            } while isNext(",")
            try take("]")
            return result
        }

        mutating func integer() throws(Malformed) -> Int {
            skipSpace()
            var value = 0
            let start = position
            while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(Int(bytes[position]) - 0x30)
                guard !overflow, !carry else { throw malformed("a number below 2^63") }
                value = sum
                position += 1
            }
            guard position > start else { throw malformed("a number") }
            return value
        }

        mutating func string() throws(Malformed) -> String {
            try take("\"")
            var result: [UInt8] = []
            while true {
                guard position < bytes.count else { throw malformed("the end of a string") }
                let byte = bytes[position]
                position += 1
                switch byte {
                case 0x22:
                    guard let text = String(validating: result, as: UTF8.self) else { throw malformed("UTF-8") }
                    return text
                case 0x5C: result += try escape()
                case 0..<0x20: throw malformed("no control characters in a string")
                default: result.append(byte)
                }
            }
        }

        private mutating func escape() throws(Malformed) -> [UInt8] {
            guard position < bytes.count else { throw malformed("an escape") }
            let byte = bytes[position]
            position += 1
            switch byte {
            case 0x22, 0x5C, 0x2F: return [byte]
            case 0x62: return [0x08]
            case 0x66: return [0x0C]
            case 0x6E: return [0x0A]
            case 0x72: return [0x0D]
            case 0x74: return [0x09]
            case 0x75:
                var unit = try hexadecimal()
                if (0xD800..<0xDC00).contains(unit) {
                    guard position + 1 < bytes.count, bytes[position] == 0x5C, bytes[position + 1] == 0x75 else {
                        throw malformed("the second half of a surrogate pair")
                    }
                    position += 2
                    let low = try hexadecimal()
                    guard (0xDC00..<0xE000).contains(low) else { throw malformed("a low surrogate") }
                    unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
                }
                guard let scalar = Unicode.Scalar(unit) else { throw malformed("a character") }
                return Array(String(Character(scalar)).utf8)
            default: throw malformed("a known escape")
            }
        }

        private mutating func hexadecimal() throws(Malformed) -> UInt32 {
            guard position + 4 <= bytes.count else { throw malformed("four hexadecimal digits") }
            var value: UInt32 = 0
            for _ in 0..<4 {
                guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
                    throw malformed("a hexadecimal digit")
                }
                value = value << 4 | UInt32(digit)
                position += 1
            }
            return value
        }

        mutating func end() throws(Malformed) {
            skipSpace()
            guard position == bytes.count else { throw malformed("nothing after the closing brace") }
        }
    }
}
