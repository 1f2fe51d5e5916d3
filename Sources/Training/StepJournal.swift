import Basics
import Collectives
import Kernels
import Streaming

/// What a rank tells the others about a step: that its state is theirs, what its lanes gave, where its time went.
public struct RankStep: Sendable, Equatable {
    public let rank: Int
    public let host: String
    /// Seconds of computing, of waiting for data, and of waiting for the exchange after the last lane was done.
    public let computeSeconds: Double
    public let dataWaitSeconds: Double
    public let communicationSeconds: Double
    /// First lane of the rank, and a checksum of each lane's gradients, batch statistics and losses.
    public let firstLane: Int
    public let laneHashes: [UInt64]
    /// Damaged records that the rank came upon.
    public var replaced: [ReplacedRecord] = []

    /// What the other ranks would have waited for.
    public var busySeconds: Double { computeSeconds + dataWaitSeconds }
}

/// One step of all ranks.
public struct RanksReport: Sendable, Equatable {
    public let step: Int
    public let ranks: [RankStep]

    /// The rank that the others waited for.
    public var slowest: RankStep {
        ranks.reduce(ranks[0]) { $1.busySeconds > $0.busySeconds ? $1 : $0 }
    }
}

/// The replica check and the record of steps: after each step every rank's state must be the same, and after each step every
/// rank says what it did. A message of some dozen bytes a rank goes ahead of the next step's buckets, so nobody waits for it.
public final class StepJournal {
    private let communication: CommunicationThread
    private let digest: StateDigest
    private let firstLane: Int
    private let hosts: [String]
    private var pending: [UInt8] = []
    private let arrived = Arrived()

    private final class Arrived: @unchecked Sendable { var messages: [[UInt8]] = [] }

    /// Collective.
    public init(communication: CommunicationThread, digest: StateDigest, firstLane: Int) throws {
        self.communication = communication
        self.digest = digest
        self.firstLane = firstLane
        let host = Array(communication.communicator.hostName.utf8.prefix(255))
        hosts = try communication.run { try $0.allGather(host) }.map { String(decoding: $0, as: UTF8.self) }
    }

    /// Keeps what this rank has to say about a step (counted from 1) until the next one begins.
    public func record(
        step: Int, computeSeconds: Double, dataWaitSeconds: Double, communicationSeconds: Double, laneHashes: [UInt64],
        replaced: [ReplacedRecord] = []
    ) {
        pending.removeAll(keepingCapacity: true)
        pending.appendLittleEndian(UInt64(step))
        pending.appendLittleEndian(digest.total)
        for seconds in [computeSeconds, dataWaitSeconds, communicationSeconds] {
            pending.appendLittleEndian(seconds.bitPattern)
        }
        pending.appendLittleEndian(UInt32(firstLane))
        pending.appendLittleEndian(UInt32(laneHashes.count))
        for hash in laneHashes { pending.appendLittleEndian(hash) }
        for record in replaced {
            let problem = record.problem.utf8.prefix(ReplacedRecord.problemByteLimit)
            for number in [record.epoch, record.record, record.replacement, problem.count] {
                pending.appendLittleEndian(UInt64(number))
            }
            pending += problem
        }
    }

    /// Sends it, if there is something to say. All ranks do so at the same place.
    public func send() {
        guard !pending.isEmpty else { return }
        let (message, arrived) = (pending, arrived)
        communication.submit { arrived.messages = try $0.allGather(message) }
        pending.removeAll(keepingCapacity: true)
    }

    /// What arrived, once the communication thread has done what it was given.
    /// - Throws: `Failure` (try again) on every rank, naming the rank and tensor, if replicas differ.
    public func collect() throws -> RanksReport? {
        guard !arrived.messages.isEmpty else { return nil }
        defer { arrived.messages = [] }
        var report: [RankStep] = []
        var totals: [UInt64] = []
        var step = 0
        for (rank, message) in arrived.messages.enumerated() {
            try message.withUnsafeBytes { bytes in
                var cursor = ByteCursor(bytes)
                step = Int(try cursor.integer(UInt64.self))
                totals.append(try cursor.integer())
                var seconds: [Double] = []
                for _ in 0..<3 { seconds.append(Double(bitPattern: try cursor.integer())) }
                let firstLane = Int(try cursor.integer(UInt32.self))
                var hashes: [UInt64] = []
                let hashCount = Int(try cursor.integer(UInt32.self))
                for _ in 0..<hashCount { hashes.append(try cursor.integer()) }
                var replaced: [ReplacedRecord] = []
                while cursor.remaining > 0 {
                    let numbers = try (0..<4).map { _ in Int(try cursor.integer(UInt64.self)) }
                    let problem = String(decoding: try cursor.take(numbers[3]), as: UTF8.self)
                    replaced.append(
                        ReplacedRecord(
                            epoch: numbers[0], record: numbers[1], replacement: numbers[2], problem: problem))
                }
                report.append(
                    RankStep(
                        rank: rank, host: hosts[rank], computeSeconds: seconds[0], dataWaitSeconds: seconds[1],
                        communicationSeconds: seconds[2], firstLane: firstLane, laneHashes: hashes,
                        replaced: replaced))
            }
        }
        if totals.contains(where: { $0 != totals[0] }) { throw try difference(after: step) }
        return RanksReport(step: step, ranks: report)
    }

    /// Who differs in what: all ranks compare their tables.
    private func difference(after step: Int) throws -> Failure {
        var bytes: [UInt8] = []
        for value in digest.table { bytes.appendLittleEndian(value) }
        let mine = bytes
        let tables = try communication.run { try $0.allGather(mine) }.map { table in
            table.withUnsafeBytes { bytes in
                stride(from: 0, to: bytes.count - 7, by: 8).map {
                    bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self)
                }
            }
        }
        return Self.difference(of: tables, after: step, hosts: hosts, name: digest.name(ofEntry:))
    }

    /// Names the ranks that differ from most others, and the first tensor in which they do.
    static func difference(
        of tables: [[UInt64]], after step: Int, hosts: [String], name: (Int) -> String
    ) -> Failure {
        let entry = tables[0].indices.first { entry in tables.contains { $0[entry] != tables[0][entry] } } ?? 0
        let values = tables.map { $0[entry] }
        let most = values.max { a, b in values.count { $0 == a } < values.count { $0 == b } } ?? 0
        let agreeing = values.count { $0 == most }
        func names(_ ranks: [Int]) -> String {
            ranks.map { "rank \($0) (\(hosts[$0]))" }.joined(separator: ", ")
        }
        let different = values.indices.filter { values[$0] != most }
        let who =
            2 * agreeing > values.count
            ? "\(names(different)) differ\(different.count == 1 ? "s" : "") from the other ranks"
            : "\(names(Array(values.indices))) do not agree"
        return Failure(
            .tryAgain,
            "step \(step): \(who) in \(name(entry)); their memory or program is not sound: resume from the last "
                + "checkpoint, without that host if it happens again")
    }
}
