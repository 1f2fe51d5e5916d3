/// The secret that the ranks of one run share with whoever watches them: 128 random bits. It never travels with messages;
/// they carry a checksum that cannot be made without it.
public struct HeartbeatToken: Sendable, Equatable {
    private let words: (UInt64, UInt64)

    /// A new one, from the system's source of randomness.
    public static func random() -> HeartbeatToken {
        var generator = SystemRandomNumberGenerator()
        return HeartbeatToken(words: (generator.next(), generator.next()))
    }

    private init(words: (UInt64, UInt64)) { self.words = words }

    /// - Parameter hexadecimal: 32 digits. Nil for anything else.
    public init?(hexadecimal: String) {
        let digits = Array(hexadecimal.utf8)
        guard digits.count == 32, digits.allSatisfy({ Self.isHexadecimal($0) }),
            let high = UInt64(hexadecimal.prefix(16), radix: 16), let low = UInt64(hexadecimal.suffix(16), radix: 16)
        else { return nil }
        words = (high, low)
    }

    private static func isHexadecimal(_ digit: UInt8) -> Bool {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }

    /// 32 digits, for the environment of ranks; not for logs or command lines.
    public var hexadecimal: String {
        func digits(_ word: UInt64) -> String {
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return digits(words.0) + digits(words.1)
    }

    /// The 16 bytes that prove that a message comes from somebody who has the token.
    func sign(_ bytes: UnsafeRawBufferPointer) -> (UInt64, UInt64) { SipHash.hash(bytes, key: words) }

    /// Takes the same time whatever differs, so that nobody can guess byte by byte.
    func verifies(_ signature: (UInt64, UInt64), of bytes: UnsafeRawBufferPointer) -> Bool {
        let expected = sign(bytes)
        return (expected.0 ^ signature.0) | (expected.1 ^ signature.1) == 0
    }

    public static func == (a: Self, b: Self) -> Bool { (a.words.0 ^ b.words.0) | (a.words.1 ^ b.words.1) == 0 }
}

extension HeartbeatToken: CustomStringConvertible, CustomReflectable {
    /// Says nothing: what is printed by mistake stays secret.
    public var description: String { "a token" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
