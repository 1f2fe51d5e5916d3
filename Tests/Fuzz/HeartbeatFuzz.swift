// Compiled together with the sources of Heartbeats that read messages (see `heartbeat` in this folder), not by SwiftPM.

private let token = HeartbeatToken(hexadecimal: "000102030405060708090a0b0c0d0e0f")

/// Feeds bytes to both decoders: as they are, and with a signature that is right, which gets past the first check.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHeartbeat(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard let token else { return 0 }
    var bytes = Array(UnsafeBufferPointer(start: data, count: count))
    decode(bytes, token)
    let signed = count - 16
    guard signed >= 0 else { return 0 }
    bytes.withUnsafeMutableBytes { buffer in
        let signature = token.sign(UnsafeRawBufferPointer(rebasing: buffer[..<signed]))
        buffer.storeBytes(of: signature.0.littleEndian, toByteOffset: signed, as: UInt64.self)
        buffer.storeBytes(of: signature.1.littleEndian, toByteOffset: signed + 8, as: UInt64.self)
    }
    decode(bytes, token)
    return 0
}

private func decode(_ bytes: [UInt8], _ token: HeartbeatToken) {
    bytes.withUnsafeBytes { bytes in
        _ = HeartbeatRequest(decoding: bytes, token: token)
        guard let beat = try? Heartbeat(decoding: bytes, token: token) else { return }
        // What was accepted can be written, and is the same again.
        let again = try? Heartbeat(decoding: beat.encoded(token: token), token: token)
        precondition(again == beat && beat.rank < beat.worldSize && !beat.status.place.isEmpty)
    }
}
