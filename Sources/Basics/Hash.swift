import CXXHash

/// Non-cryptographic hashes of bytes (XXH3 by libxxhash): they detect damage, not forgery.
public enum Hash {
    /// 64-bit XXH3 of `bytes`.
    public static func xxh64(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
        cxxhash_xxh3_64(bytes.baseAddress, bytes.count, seed)
    }

    public static func xxh64(_ bytes: [UInt8]) -> UInt64 {
        bytes.withUnsafeBytes { xxh64($0) }
    }

    public static func xxh64(_ text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { xxh64(UnsafeRawBufferPointer($0)) }
    }

    /// 128-bit XXH3 as 32 hexadecimal digits, as `xxh128sum` prints it.
    public static func xxh128(_ bytes: UnsafeRawBufferPointer) -> String {
        let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
        return hexadecimal(hash.high64) + hexadecimal(hash.low64)
    }

    /// FNV-1a, 32 bits, of UTF-8: the hash that names the tensors of the hashing fixtures.
    public static func fnv1a32(_ text: String) -> UInt32 {
        var hash: UInt32 = 0x811C_9DC5
        for byte in text.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        return hash
    }

    public static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
