import Basics
import Collectives
import Foundation
import Glibc

/// Brings the facts of all ranks together.
public enum Examination {
    /// What the second meeting of the ranks is about.
    private struct Meeting: Codable, Sendable {
        var clock: RankFacts.Clock?
        var failedProbes: [RankFacts.FailedProbe] = []
    }

    /// Gathers everybody's facts, compares clocks and tries the ways between hosts. Collective, on every rank.
    /// - Parameter own: this rank's facts; its network without ports.
    /// - Returns: facts by rank on rank 0, and which ranks spoke another version of this encoding; nothing elsewhere.
    public static func meet(
        _ own: RankFacts, environment: [String: String], _ communication: CommunicationThread
    ) throws -> (facts: [RankFacts], strangers: [Int]) {
        var own = own
        // One rank of a host speaks for it; a single host has nobody to reach.
        let isAlone = environment["OMPI_MCA_orte_num_nodes"] == "1" || communication.communicator.worldSize == 1
        var listener: ProbeListener?
        if !isAlone && own.network.usesTCP && own.localRank ?? 0 == 0 {
            let opened = ProbeListener(
                addresses: own.network.interfaces.map(\.address), ports: NetworkFacts.ports(environment))
            own.network.ports = opened.ports
            own.network.token = opened.token
            listener = opened
        }
        defer { listener?.close() }
        let message = own.encoded()
        let messages = try communication.run { try $0.allGather(message) }
        let isFirst = communication.communicator.rank == 0
        // Ranks with listeners need to know each other; the others only rank 0.
        var facts: [RankFacts] = []
        var strangers: [Int] = []
        if isFirst || listener != nil {
            for (rank, message) in messages.enumerated() {
                let decoded = RankFacts.decoded(message, rank: rank)
                if decoded?.isWhole != true { strangers.append(rank) }
                var unknown = RankFacts()
                unknown.rank = rank
                facts.append(decoded?.facts ?? unknown)
            }
        }
        var meeting = Meeting()
        if listener != nil { meeting.failedProbes = Prober.failures(targets(of: own, among: facts)) }
        meeting.clock = try clock(communication)
        let second = [UInt8]((try? JSONEncoder().encode(meeting)) ?? Data())
        let meetings = try communication.run { try $0.allGather(second) }
        guard isFirst else { return ([], []) }
        for (rank, message) in meetings.enumerated() where message.count < RankFacts.byteLimit {
            guard let theirs = try? JSONDecoder().decode(Meeting.self, from: Data(message)) else { continue }
            facts[rank].clock = theirs.clock
            facts[rank].failedProbes = theirs.failedProbes
        }
        return (facts, strangers)
    }

    /// Rank 0 tries all other hosts, the others try rank 0's.
    private static func targets(of own: RankFacts, among facts: [RankFacts]) -> [Prober.Target] {
        facts.filter { other in
            other.host != own.host && !other.network.token.isEmpty && (own.rank == 0 || other.rank == 0)
        }.flatMap { other in
            zip(other.network.interfaces, other.network.ports).filter { $0.1 > 0 }.map {
                Prober.Target(rank: other.rank, interface: $0, port: $1, token: other.network.token)
            }
        }
    }

    /// Findings of rank 0, and on every rank the same. Collective.
    public static func findings(
        of facts: [RankFacts], strangers: [Int], _ communication: CommunicationThread
    ) throws -> [Finding] {
        var own: [Finding] = []
        if communication.communicator.rank == 0 {
            own = Diagnosis.findings(of: facts)
            // Of ranks that speak another version little is known but that.
            if !strangers.isEmpty { own = own.filter { $0.name == .differentPrograms } }
        }
        let mine = [UInt8]((try? JSONEncoder().encode(own)) ?? Data())
        let common = try communication.run { try $0.broadcast(mine) }
        return (try? JSONDecoder().decode([Finding].self, from: Data(common))) ?? own
    }

    private static func clock(_ communication: CommunicationThread) throws -> RankFacts.Clock {
        try communication.run { communicator in
            // Once to have all here, and once to measure.
            try communicator.barrier()
            let entered = now()
            try communicator.barrier()
            return RankFacts.Clock(entered: entered, left: now())
        }
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
