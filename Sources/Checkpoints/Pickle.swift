import Basics

/// Reads the part of Python's pickle format that files of tensors use. Nothing is ever called or built but what is listed
/// here: a file cannot make this program do anything.
///
/// **Source:** CPython's `pickletools.py`.
struct Pickle {
    /// A value that was pickled. Collections are numbers of `collections`: they may be filled after they have been put
    /// somewhere, and no nesting can exhaust the stack.
    enum Value {
        case none
        case integer(Int)
        case text(String)
        case tuple(Int)
        case list(Int)
        /// Keys and values in turn.
        case dictionary(Int)
        /// `module name` of a class or function.
        case global(String)
        /// What a function of that name would have made of these arguments.
        case call(String, Int)
        /// A reference to something outside of the pickle.
        case persistent(Int)
        case other
    }

    struct Malformed: Error { let byteOffset: Int }

    private(set) var root = Value.none
    private(set) var collections: [[Value]] = []
    private var cursor: ByteCursor
    private var stack: [Value] = []
    private var marks: [Int] = []
    private var memo: [Int: Value] = [:]

    /// Reads the value that is pickled at the cursor, which moves behind it.
    /// - Throws: `Malformed`, or `ByteCursor.Truncated`.
    init(_ cursor: inout ByteCursor) throws {
        self.cursor = cursor
        root = try run()
        cursor = self.cursor
    }

    private var malformed: Malformed { Malformed(byteOffset: cursor.byteOffset) }

    private mutating func pop() throws -> Value {
        guard stack.count > (marks.last ?? 0), let value = stack.popLast() else { throw malformed }
        return value
    }

    private mutating func popToMark() throws -> [Value] {
        guard let mark = marks.popLast() else { throw malformed }
        defer { stack.removeLast(stack.count - mark) }
        return Array(stack[mark...])
    }

    private mutating func popTuple() throws -> Int {
        guard case .tuple(let number) = try pop() else { throw malformed }
        return number
    }

    /// A new collection's number.
    private mutating func collection(_ values: [Value]) -> Int {
        collections.append(values)
        return collections.count - 1
    }

    private mutating func text(_ count: Int) throws -> String {
        String(decoding: try cursor.take(count), as: UTF8.self)
    }

    private mutating func line() throws -> String {
        var bytes: [UInt8] = []
        while true {
            let byte = try cursor.integer(UInt8.self)
            if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
    }

    private mutating func remember(_ key: Int) throws {
        guard let value = stack.last else { throw malformed }
        memo[key] = value
    }

    private mutating func recall(_ key: Int) throws {
        guard let value = memo[key] else { throw malformed }
        stack.append(value)
    }

    /// Adds to the collection at the top of the stack.
    private mutating func extend(_ values: [Value]) throws {
        switch stack.last {
        case .list(let number), .dictionary(let number): collections[number] += values
        // Objects of other classes take entries that nobody here asks for.
        case .call, .other: break
        default: throw malformed
        }
    }

    private mutating func run() throws -> Value {
        while true {
            switch try cursor.integer(UInt8.self) {
            case 0x80: _ = try cursor.take(1)  // PROTO
            case 0x95: _ = try cursor.take(8)  // FRAME
            case UInt8(ascii: "."): return try pop()
            case UInt8(ascii: "("): marks.append(stack.count)
            case UInt8(ascii: "0"): _ = try pop()
            case UInt8(ascii: "1"): _ = try popToMark()
            case UInt8(ascii: "N"): stack.append(.none)
            case 0x88: stack.append(.integer(1))  // NEWTRUE
            case 0x89: stack.append(.integer(0))  // NEWFALSE
            case UInt8(ascii: "K"): stack.append(.integer(Int(try cursor.integer(UInt8.self))))
            case UInt8(ascii: "M"): stack.append(.integer(Int(try cursor.integer(UInt16.self))))
            case UInt8(ascii: "J"): stack.append(.integer(Int(try cursor.integer(Int32.self))))
            case 0x8a: stack.append(try long())  // LONG1
            case UInt8(ascii: "G"):
                _ = try cursor.take(8)
                stack.append(.other)
            case UInt8(ascii: "X"): stack.append(.text(try text(Int(try cursor.integer(UInt32.self)))))
            case 0x8c, UInt8(ascii: "U"), UInt8(ascii: "C"):
                stack.append(.text(try text(Int(try cursor.integer(UInt8.self)))))
            case UInt8(ascii: "T"), UInt8(ascii: "B"):
                stack.append(.text(try text(Int(try cursor.integer(UInt32.self)))))
            case UInt8(ascii: ")"): stack.append(.tuple(collection([])))
            case UInt8(ascii: "t"): stack.append(.tuple(collection(try popToMark())))
            case 0x85: stack.append(.tuple(collection([try pop()])))
            case 0x86:
                let second = try pop()
                stack.append(.tuple(collection([try pop(), second])))
            case 0x87:
                let (third, second) = (try pop(), try pop())
                stack.append(.tuple(collection([try pop(), second, third])))
            case UInt8(ascii: "]"): stack.append(.list(collection([])))
            case UInt8(ascii: "}"): stack.append(.dictionary(collection([])))
            case UInt8(ascii: "a"):
                let value = try pop()
                try extend([value])
            case UInt8(ascii: "s"):
                let (value, key) = (try pop(), try pop())
                try extend([key, value])
            case UInt8(ascii: "e"), UInt8(ascii: "u"):
                let values = try popToMark()
                try extend(values)
            case UInt8(ascii: "q"): try remember(Int(try cursor.integer(UInt8.self)))
            case UInt8(ascii: "r"): try remember(Int(try cursor.integer(UInt32.self)))
            case 0x94: try remember(memo.count)  // MEMOIZE
            case UInt8(ascii: "h"): try recall(Int(try cursor.integer(UInt8.self)))
            case UInt8(ascii: "j"): try recall(Int(try cursor.integer(UInt32.self)))
            case UInt8(ascii: "c"): stack.append(.global("\(try line()) \(try line())"))
            case 0x93:  // STACK_GLOBAL
                guard case .text(let name) = try pop(), case .text(let module) = try pop() else { throw malformed }
                stack.append(.global("\(module) \(name)"))
            case UInt8(ascii: "R"), 0x81:  // REDUCE, NEWOBJ
                let arguments = try popTuple()
                guard case .global(let name) = try pop() else { throw malformed }
                stack.append(
                    name == "collections OrderedDict" ? .dictionary(collection([])) : .call(name, arguments))
            case UInt8(ascii: "b"): _ = try pop()  // BUILD: attributes
            case UInt8(ascii: "Q"): stack.append(.persistent(try popTuple()))
            default: throw malformed
            }
        }
    }

    /// A whole number of up to 255 bytes; those beyond 8 are nothing that a size could be.
    private mutating func long() throws -> Value {
        let bytes = try cursor.take(Int(try cursor.integer(UInt8.self)))
        guard bytes.count <= 8 else { return .other }
        var value: UInt64 = 0
        for (place, byte) in bytes.enumerated() { value |= UInt64(byte) << (8 * UInt64(place)) }
        if let last = bytes.last, last >= 0x80, bytes.count < 8 { value |= ~0 << (8 * UInt64(bytes.count)) }
        return .integer(Int(Int64(bitPattern: value)))
    }
}
