import Basics
import Collectives
import Kernels

/// What must be the same on every rank before the first step.
enum RankAgreement {
    /// Ranks that read other data, have another configuration or compute with other kernels would drift apart in silence.
    /// - Throws: `Failure` (usage) on every rank, naming the first rank that differs from rank 0.
    static func require(
        _ identity: CheckpointIdentity, _ kernels: KernelContext, _ communication: CommunicationThread
    ) throws {
        let host = communication.communicator.hostName
        let mine = [
            host, kernels.setName, identity.data, "\(identity.height)x\(identity.width)",
            identity.model + " " + identity.settingsText + " " + identity.configuration,
        ]
        let text = Array(mine.joined(separator: "\n").utf8)
        let all = try communication.run { try $0.allGather(text) }.map {
            String(decoding: $0, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map(
                String.init)
        }
        let names = ["", "kernels", "data set", "size", "configuration"]
        let remedies = [
            "", "set OPENBLAS_CORETYPE to one set that all hosts have", "copy the same data set to every host",
            "copy the same data set to every host", "start all ranks with the same options and files",
        ]
        for (rank, theirs) in all.enumerated() where theirs.dropFirst() != all[0].dropFirst() {
            guard let field = names.indices.dropFirst().first(where: { theirs[$0] != all[0][$0] }) else { continue }
            throw Failure(
                .usage,
                "rank \(rank) (\(theirs[0])) and rank 0 (\(all[0][0])) differ in \(names[field]): '\(theirs[field])' and "
                    + "'\(all[0][field])'; \(remedies[field])")
        }
    }
}
