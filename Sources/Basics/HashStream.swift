import CXXHash

/// XXH3-128 of bytes that come in pieces, e.g. of a file while it is written.
public final class HashStream {
    private let state: OpaquePointer

    public init() {
        guard let state = XXH3_createState() else { preconditionFailure("out of memory: hash state") }
        self.state = state
        XXH3_128bits_reset(state)
    }

    deinit { XXH3_freeState(state) }

    public func update(_ bytes: UnsafeRawBufferPointer) { XXH3_128bits_update(state, bytes.baseAddress, bytes.count) }

    /// 32 hexadecimal digits for everything given so far, equal to `Hash.xxh128` of the whole.
    public var digest: String {
        let hash = XXH3_128bits_digest(state)
        return Hash.hexadecimal(hash.high64) + Hash.hexadecimal(hash.low64)
    }
}

extension Hash {
    /// 32-bit XXH32, the checksum inside LZ4 frames.
    public static func xxh32(_ bytes: UnsafeRawBufferPointer) -> UInt32 { XXH32(bytes.baseAddress, bytes.count, 0) }
}
