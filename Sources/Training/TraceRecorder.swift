import Basics
import Collectives
import Foundation
import Synchronization

/// Where a rank's time goes, event by event, for a picture of all ranks side by side (Chrome's trace format, which
/// chrome://tracing and Perfetto show).
public final class TraceRecorder: Sendable {
    /// What a stretch of time was spent on; each belongs to one kind of thread.
    public enum Kind: UInt8, Sendable, CaseIterable {
        case dataWait, forward, backward, waitForExchange, update, snapshot, calibrate, validate
        case exchange
        case writeCheckpoint

        var name: String {
            switch self {
            case .dataWait: "wait for data"
            case .forward: "forward"
            case .backward: "backward"
            case .waitForExchange: "wait for exchange"
            case .update: "update"
            case .snapshot: "copy state"
            case .calibrate: "calibrate"
            case .validate: "validate"
            case .exchange: "exchange"
            case .writeCheckpoint: "write checkpoint"
            }
        }

        var thread: (number: Int, name: String) {
            switch self {
            case .exchange: (1, "communication")
            case .writeCheckpoint: (2, "checkpoint")
            default: (0, "compute")
            }
        }
    }

    struct Event: Sendable, Equatable {
        let kind: Kind
        /// Step from 1, and lane, bucket or −1.
        let step: Int
        let detail: Int
        /// Seconds since the ranks' common start.
        let start: Double
        let end: Double
    }

    /// Later events are dropped, and counted: some 40 MB of a rank.
    static let capacity = 1 << 20

    private struct State {
        var events: [Event] = []
        var dropped = 0
    }

    private let origin: Double
    private let state = Mutex(State())

    /// Collective: ranks start their clocks together.
    public init(communication: CommunicationThread) throws {
        try communication.run { try $0.barrier() }
        origin = monotonicSeconds()
    }

    func record(_ kind: Kind, step: Int, detail: Int = -1, from start: Double, to end: Double = monotonicSeconds()) {
        state.withLock {
            guard $0.events.count < Self.capacity else {
                $0.dropped += 1
                return
            }
            $0.events.append(Event(kind: kind, step: step, detail: detail, start: start - origin, end: end - origin))
        }
    }

    /// Collective: gathers all ranks' events; rank 0 writes the file.
    /// - Returns: how many events did not fit, over all ranks.
    func write(to path: String, communication: CommunicationThread) throws -> Int {
        let mine = encoded()
        let host = communication.communicator.hostName
        let hosts = try communication.run { try $0.allGather(Array(host.utf8)) }
        let all = try communication.run { try $0.allGather(mine) }
        guard communication.communicator.rank == 0 else { return 0 }
        let writer = try AtomicFileWriter(path: path)
        try writer.write("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")
        var dropped = 0
        for (rank, bytes) in all.enumerated() {
            let (events, lost) = try Self.decoded(bytes)
            dropped += lost
            let name = "rank \(rank) (\(String(decoding: hosts[rank], as: UTF8.self)))"
            var lines = [
                "\(rank == 0 ? "" : ",")\n{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":\(rank),\"args\":{\"name\":\(try Self.quoted(name))}}"
            ]
            for thread in Set(Kind.allCases.map(\.thread.number)).sorted() {
                let name = Kind.allCases.first { $0.thread.number == thread }?.thread.name ?? ""
                lines.append(
                    "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":\(rank),\"tid\":\(thread),\"args\":{\"name\":\"\(name)\"}}"
                )
            }
            try writer.write(lines.joined(separator: ",\n"))
            for event in events { try writer.write(",\n" + Self.line(event, rank: rank)) }
        }
        try writer.write("\n]}\n")
        try writer.publish()
        return dropped
    }

    private static func line(_ event: Event, rank: Int) -> String {
        // Microseconds, to the nanosecond.
        func micros(_ seconds: Double) -> String { "\((seconds * 1e9).rounded() / 1e3)" }
        let detail = event.detail < 0 ? "" : ",\"\(event.kind == .exchange ? "bucket" : "lane")\":\(event.detail)"
        return "{\"ph\":\"X\",\"name\":\"\(event.kind.name)\",\"pid\":\(rank),\"tid\":\(event.kind.thread.number),"
            + "\"ts\":\(micros(event.start)),\"dur\":\(micros(max(0, event.end - event.start))),"
            + "\"args\":{\"step\":\(event.step)\(detail)}}"
    }

    private static func quoted(_ text: String) throws -> String {
        String(decoding: try JSONSerialization.data(withJSONObject: text, options: .fragmentsAllowed), as: UTF8.self)
    }

    private func encoded() -> [UInt8] {
        let (events, dropped) = state.withLock { ($0.events, $0.dropped) }
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(UInt64(dropped))
        for event in events {
            bytes.append(event.kind.rawValue)
            bytes.appendLittleEndian(Int64(event.step))
            bytes.appendLittleEndian(Int32(event.detail))
            bytes.appendLittleEndian(event.start.bitPattern)
            bytes.appendLittleEndian(event.end.bitPattern)
        }
        return bytes
    }

    private static func decoded(_ bytes: [UInt8]) throws -> (events: [Event], dropped: Int) {
        try bytes.withUnsafeBytes { bytes in
            var cursor = ByteCursor(bytes)
            let dropped = Int(try cursor.integer(UInt64.self))
            var events: [Event] = []
            while cursor.remaining > 0 {
                guard let kind = Kind(rawValue: try cursor.integer()) else {
                    throw Failure(.internalFault, "a rank sent a trace of another version")
                }
                events.append(
                    Event(
                        kind: kind, step: Int(try cursor.integer(Int64.self)),
                        detail: Int(try cursor.integer(Int32.self)),
                        start: Double(bitPattern: try cursor.integer()), end: Double(bitPattern: try cursor.integer())))
            }
            return (events, dropped)
        }
    }
}
