/// What a rank says about itself twice a second, as a message of `Heartbeat.byteCount` bytes. ARCHITECTURE.md has the layout.
public struct Heartbeat: Sendable, Equatable {
    /// Counts the messages of a process from 1: an older one that comes later, or again, is dropped.
    public var number: UInt64
    public var rank: Int
    public var worldSize: Int
    public var pid: Int
    /// At most 64 bytes of printable ASCII without spaces; longer names are cut, other characters become `?`.
    public var host: String
    public var status: RankStatus

    public static let version: UInt16 = 1
    public static let byteCount = 160
    public static let largestWorld = 1 << 20
    /// Nothing longer is ever looked at.
    public static let longestMessage = 512
    static let magic: UInt32 = 0x4248_4756  // "VGHB"
    static let hostByteCount = 64
    private static let signedByteCount = byteCount - 16
    /// Stands for a number that is not known.
    private static let none = UInt32.max
    private static let longestPhaseMilliseconds: UInt64 = 1 << 40

    public init(number: UInt64, rank: Int, worldSize: Int, pid: Int, host: String, status: RankStatus) {
        self.number = number
        self.rank = rank
        self.worldSize = worldSize
        self.pid = pid
        self.host = Self.printable(host)
        self.status = status
    }

    private static func printable(_ host: String) -> String {
        let bytes = host.utf8.prefix(hostByteCount).map { isPrintable($0) ? $0 : UInt8(ascii: "?") }
        return bytes.isEmpty ? "?" : String(decoding: bytes, as: UTF8.self)
    }

    private static func isPrintable(_ byte: UInt8) -> Bool { byte > 0x20 && byte < 0x7f }

    /// Why a message was not taken.
    public enum Refusal: Error, Equatable, Sendable {
        case size, magic, version, signature
        /// Signed, but a value is out of range.
        case value
    }

    /// Writes the message; `buffer` holds at least `byteCount` bytes.
    func encode(into buffer: UnsafeMutableRawBufferPointer, token: HeartbeatToken) {
        var writer = MessageWriter(buffer)
        writer.put(Self.magic)
        writer.put(Self.version)
        writer.put(UInt16(Self.byteCount))
        writer.put(number)
        writer.put(UInt32(clamping: rank))
        writer.put(UInt32(clamping: worldSize))
        writer.put(UInt32(clamping: pid))
        writer.put(status.phase.rawValue)
        let host = Array(host.utf8.prefix(Self.hostByteCount))
        writer.put(UInt8(host.count))
        writer.put(UInt16(status.isWritingCheckpoint ? 1 : 0))
        writer.put(UInt64(clamping: status.step))
        let milliseconds = max(0, status.secondsInPhase * 1000)
        writer.put(
            milliseconds < Double(Self.longestPhaseMilliseconds)
                ? UInt64(milliseconds) : Self.longestPhaseMilliseconds)
        writer.put(status.progress)
        writer.put(status.exchanges)
        for value in [status.lane, status.bucket, status.shard, status.record] {
            writer.put(value.map { UInt32(clamping: $0) } ?? Self.none)
        }
        for index in 0..<Self.hostByteCount { writer.put(index < host.count ? host[index] : 0) }
        let signature = token.sign(UnsafeRawBufferPointer(rebasing: buffer[..<Self.signedByteCount]))
        writer.put(signature.0)
        writer.put(signature.1)
    }

    public func encoded(token: HeartbeatToken) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        bytes.withUnsafeMutableBytes { encode(into: $0, token: token) }
        return bytes
    }

    /// Reads a message of anybody: never traps, allocates nothing before the signature is known to be right.
    public init(decoding bytes: UnsafeRawBufferPointer, token: HeartbeatToken) throws(Refusal) {
        guard bytes.count == Self.byteCount else { throw .size }
        var reader = MessageReader(bytes)
        guard reader.take(UInt32.self) == Self.magic else { throw .magic }
        guard reader.take(UInt16.self) == Self.version, reader.take(UInt16.self) == UInt16(Self.byteCount) else {
            throw .version
        }
        var trailer = MessageReader(UnsafeRawBufferPointer(rebasing: bytes[Self.signedByteCount...]))
        let signature = (trailer.take(UInt64.self), trailer.take(UInt64.self))
        guard token.verifies(signature, of: UnsafeRawBufferPointer(rebasing: bytes[..<Self.signedByteCount])) else {
            throw .signature
        }
        let number = reader.take(UInt64.self)
        let (rank, world, pid) = (reader.take(UInt32.self), reader.take(UInt32.self), reader.take(UInt32.self))
        let phase = RankPhase(rawValue: reader.take(UInt8.self))
        let hostCount = Int(reader.take(UInt8.self))
        let flags = reader.take(UInt16.self)
        let (step, milliseconds) = (reader.take(UInt64.self), reader.take(UInt64.self))
        let (progress, exchanges) = (reader.take(UInt64.self), reader.take(UInt64.self))
        func optional(upTo largest: Int) throws(Refusal) -> Int? {
            let value = reader.take(UInt32.self)
            if value == Self.none { return nil }
            guard Int(value) <= largest else { throw .value }
            return Int(value)
        }
        let lane = try optional(upTo: StatusBoard.largestLane)
        let bucket = try optional(upTo: StatusBoard.largestLane)
        let shard = try optional(upTo: StatusBoard.largestShard)
        let record = try optional(upTo: StatusBoard.largestRecord)
        let hostBytes = UnsafeRawBufferPointer(
            rebasing: bytes[(Self.signedByteCount - Self.hostByteCount)..<Self.signedByteCount])
        guard number > 0, world > 0, world <= UInt32(Self.largestWorld), rank < world, pid > 0,
            pid <= UInt32(Int32.max),
            let phase, flags <= 1, step <= UInt64(StatusBoard.largestStep),
            milliseconds <= Self.longestPhaseMilliseconds,
            (1...Self.hostByteCount).contains(hostCount), hostBytes[..<hostCount].allSatisfy(Self.isPrintable),
            hostBytes[hostCount...].allSatisfy({ $0 == 0 })
        else { throw .value }
        self.number = number
        (self.rank, worldSize, self.pid) = (Int(rank), Int(world), Int(pid))
        host = String(decoding: hostBytes[..<hostCount], as: UTF8.self)
        status = RankStatus(
            phase: phase, step: Int(step), secondsInPhase: Double(milliseconds) / 1000, progress: progress,
            exchanges: exchanges, lane: lane, shard: shard, record: record, bucket: bucket,
            isWritingCheckpoint: flags & 1 != 0)
    }

    public init(decoding bytes: [UInt8], token: HeartbeatToken) throws(Refusal) {
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(Refusal) in try Heartbeat(decoding: bytes, token: token) }
        }
        self = try result.get()
    }

    /// `rank 2 (node7, pid 4711)`
    public var name: String { "rank \(rank) (\(host), pid \(pid))" }
}

/// What whoever watches may ask of a rank.
struct HeartbeatRequest: Equatable {
    enum Kind: UInt32 { case dumpStacks = 1 }
    let kind: Kind
    /// Counts the requests: what comes again, or late, is not done again.
    let number: UInt64
    let rank: Int

    static let byteCount = 40
    private static let magic: UInt32 = 0x5248_4756  // "VGHR"

    init(_ kind: Kind, number: UInt64, rank: Int) {
        (self.kind, self.number, self.rank) = (kind, number, rank)
    }

    func encoded(token: HeartbeatToken) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.byteCount)
        bytes.withUnsafeMutableBytes { buffer in
            var writer = MessageWriter(buffer)
            writer.put(Self.magic)
            writer.put(Heartbeat.version)
            writer.put(UInt16(Self.byteCount))
            writer.put(number)
            writer.put(UInt32(clamping: rank))
            writer.put(kind.rawValue)
            let signature = token.sign(UnsafeRawBufferPointer(rebasing: buffer[..<(Self.byteCount - 16)]))
            writer.put(signature.0)
            writer.put(signature.1)
        }
        return bytes
    }

    /// Nil for everything that is not a request signed with this token.
    init?(decoding bytes: UnsafeRawBufferPointer, token: HeartbeatToken) {
        guard bytes.count == Self.byteCount else { return nil }
        var reader = MessageReader(bytes)
        guard reader.take(UInt32.self) == Self.magic, reader.take(UInt16.self) == Heartbeat.version,
            reader.take(UInt16.self) == UInt16(Self.byteCount)
        else { return nil }
        let (number, rank, kind) = (reader.take(UInt64.self), reader.take(UInt32.self), reader.take(UInt32.self))
        let signature = (reader.take(UInt64.self), reader.take(UInt64.self))
        guard token.verifies(signature, of: UnsafeRawBufferPointer(rebasing: bytes[..<(Self.byteCount - 16)])),
            let kind = Kind(rawValue: kind), number > 0
        else { return nil }
        self.init(kind, number: number, rank: Int(rank))
    }
}

/// Puts little-endian values into memory that is large enough.
private struct MessageWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    private var byteOffset = 0

    init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

    mutating func put<T: FixedWidthInteger>(_ value: T) {
        buffer.storeBytes(of: value.littleEndian, toByteOffset: byteOffset, as: T.self)
        byteOffset += MemoryLayout<T>.size
    }
}

/// Takes little-endian values out of a message whose length has been checked.
private struct MessageReader {
    private let bytes: UnsafeRawBufferPointer
    private var byteOffset = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func take<T: FixedWidthInteger>(_: T.Type) -> T {
        defer { byteOffset += MemoryLayout<T>.size }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: byteOffset, as: T.self))
    }
}
