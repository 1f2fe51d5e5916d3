import Basics
import Foundation

/// What is wrong with a launch, errors first; empty if nothing is. A pure function of what the ranks know.
public func findings(of facts: [RankFacts]) -> [Finding] {
    guard let first = facts.first else { return [] }
    let all =
        LaunchFindings.of(facts, first) + AgreementFindings.of(facts, first) + CoreFindings.of(facts)
        + ResourceFindings.of(facts, first) + NetworkFindings.of(facts)
    let order = Finding.Name.allCases
    func position(_ finding: Finding) -> Int {
        (finding.severity == .error ? 0 : order.count) + (order.firstIndex(of: finding.name) ?? 0)
    }
    return all.sorted { position($0) < position($1) }
}

/// Words for ranks and hosts.
enum Whom {
    /// `rank 3 (node7)`, `ranks 1, 3 (node7, node8)`, `ranks 1, 2, 3, 4 and 12 more (…)`.
    static func text(_ ranks: [RankFacts]) -> String {
        let hosts = ranks.map(\.host).uniqued()
        return "rank\(ranks.count == 1 ? "" : "s") \(list(ranks.map { "\($0.rank)" })) (\(list(hosts)))"
    }

    static func list(_ words: [String]) -> String {
        words.count <= 5
            ? words.joined(separator: ", ")
            : words.prefix(4).joined(separator: ", ") + " and \(words.count - 4) more"
    }

    static func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }

    static func megabytes(_ byteCount: Int) -> String { "\((byteCount + (1 << 20) - 1) >> 20) MB" }
}

extension Sequence where Element == RankFacts {
    /// Ranks by a property, groups in the order of their first rank; ranks without it are left out.
    func grouped<Key: Hashable>(by key: (RankFacts) -> Key?) -> [[RankFacts]] {
        var groups: [Key: [RankFacts]] = [:]
        var order: [Key] = []
        for rank in self {
            guard let key = key(rank) else { continue }
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(rank)
        }
        return order.compactMap { groups[$0] }
    }
}

/// Processes that are not what the launch meant.
enum LaunchFindings {
    static func of(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        singletons(facts) + programs(facts, first) + versions(facts, first)
    }

    private static func singletons(_ facts: [RankFacts]) -> [Finding] {
        guard facts.count == 1, let alone = facts.first, alone.launch.worldSize == 1 else { return [] }
        let launch = alone.launch
        let mpirun = launch.mpiLibrary.isEmpty ? "the mpirun of this MPI" : "the mpirun of \(launch.mpiLibrary)"
        if let count = launch.launcherWorldSize, count > 1 {
            let launcher = launch.launcher.isEmpty ? "the launcher" : launch.launcher
            return [
                .init(
                    .singletons, .error, of: facts,
                    "\(launcher) started \(count) processes, but each of them is rank 0 of 1 to \(launch.mpiLibrary)"
                        + " (\(alone.host))",
                    remedy: "start them with \(mpirun), or srun --mpi=pmix")
            ]
        }
        if let tasks = launch.unrelatedTasks, tasks > 1 {
            return [
                .init(
                    .singletons, .error, of: facts,
                    "Slurm started \(tasks) tasks, but not as ranks that know of each other (\(alone.host))",
                    remedy: "use srun --mpi=pmix, or mpirun")
            ]
        }
        if launch.twins > 0 {
            return [
                .init(
                    .singletons, .error, of: facts,
                    "\(launch.twins + 1) processes were started on \(alone.host) with this command line at the same time, "
                        + "and none knows of the others",
                    remedy: "start one, or ranks of one run by \(mpirun), or srun --mpi=pmix")
            ]
        }
        return []
    }

    private static func programs(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        func describe(_ program: RankFacts.Program) -> String {
            "version \(program.version), \(program.byteCount) bytes, hash \(program.hash?.prefix(8) ?? "unknown")"
        }
        let others = facts.filter { other in
            if other.program.version != first.program.version { return true }
            guard let theirs = other.program.hash, let ours = first.program.hash else { return false }
            return theirs != ours
        }
        guard let other = others.first else { return [] }
        return [
            .init(
                .differentPrograms, .error, of: others,
                "\(Whom.text(others)) and \(Whom.text([first])) run different programs: \(describe(other.program)); and "
                    + describe(first.program), remedy: "copy the same vergence to every host")
        ]
    }

    private static func versions(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        let others = facts.filter { $0.launch.mpiLibrary != first.launch.mpiLibrary }
        if let other = others.first {
            return [
                .init(
                    .differentVersionsOfMPI, .error, of: others,
                    "\(Whom.text(others)) and \(Whom.text([first])) have different MPI libraries: "
                        + "\(other.launch.mpiLibrary) and \(first.launch.mpiLibrary)",
                    remedy: "install one version on all hosts, or set LD_LIBRARY_PATH to it (mpirun -x)")
            ]
        }
        let strange = facts.filter {
            guard let ours = $0.launch.runtime, let theirs = $0.launch.launcherRuntime else { return false }
            return ours != theirs
        }
        if let one = strange.first, let ours = one.launch.runtime, let theirs = one.launch.launcherRuntime {
            return [
                .init(
                    .differentVersionsOfMPI, .error, of: strange,
                    "the mpirun that started \(Whom.text(strange)) has \(theirs), the program has \(ours) "
                        + "(\(one.launch.mpiLibrary))",
                    remedy:
                        "use the mpirun of the MPI that the program is linked to (PATH, LD_LIBRARY_PATH, mpirun --prefix)"
                )
            ]
        }
        guard facts.count == 1, let mpirun = first.launch.mpirun else { return [] }
        if mpirun.isEmpty {
            return [
                .init(
                    .missingMpirun, .warning, of: [first], "there is no mpirun on the PATH of \(first.host)",
                    remedy: "for more than one process install openmpi-bin, or load your cluster's MPI module")
            ]
        }
        // `mpirun (Open MPI) 4.1.4` and `Open MPI v4.1.4`.
        let version = first.launch.mpiLibrary.split(separator: " ").last.map { $0.drop { $0 == "v" } } ?? ""
        guard !version.isEmpty, first.launch.mpiLibrary.hasPrefix("Open MPI"),
            !(mpirun.contains("Open MPI") && mpirun.hasSuffix(version))
        else { return [] }
        return [
            .init(
                .differentVersionsOfMPI, .warning, of: [first],
                "the mpirun on the PATH of \(first.host) is '\(mpirun)', the program is linked to \(first.launch.mpiLibrary)",
                remedy: "put the mpirun of \(first.launch.mpiLibrary) first on the PATH")
        ]
    }
}

/// What must be the same on all ranks, or they would drift apart in silence. Rank 0 is what others are compared with.
enum AgreementFindings {
    static func of(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        configurations(facts, first) + lanes(facts, first) + data(facts) + kernels(facts, first)
    }

    private static func configurations(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        let others = facts.filter { $0.configuration != first.configuration }
        guard let other = others.first else { return [] }
        let ours = Dictionary(first.configuration.map { ($0.name, $0.value) }) { $1 }
        let theirs = Dictionary(other.configuration.map { ($0.name, $0.value) }) { $1 }
        let names = (other.configuration + first.configuration).map(\.name).uniqued()
        let differences = names.filter { ours[$0] != theirs[$0] }.map {
            "\($0) is '\(theirs[$0] ?? "not given")' and '\(ours[$0] ?? "not given")'"
        }
        return [
            .init(
                .differentConfigurations, .error, of: others,
                "\(Whom.text(others)) and \(Whom.text([first])) differ in configuration: \(Whom.list(differences))",
                remedy: "start all ranks with the same options and files")
        ]
    }

    private static func lanes(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        guard let lanes = first.lanes, lanes < facts.count else { return [] }
        return [
            .init(
                .fewerLanesThanRanks, .error, of: Array(facts.dropFirst(lanes)),
                "\(lanes) lanes cannot be shared by \(facts.count) ranks",
                remedy: "raise --lanes or start at most \(Whom.counted(lanes, "rank"))")
        ]
    }

    private static func kernels(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        var result: [Finding] = []
        let others = facts.filter { $0.kernels?.name != first.kernels?.name }
        if let other = others.first {
            result.append(
                .init(
                    .differentKernels, .error, of: others,
                    "\(Whom.text(others)) and \(Whom.text([first])) differ in kernels: '\(other.kernels?.name ?? "none")' and "
                        + "'\(first.kernels?.name ?? "none")'",
                    remedy: "set OPENBLAS_CORETYPE to one set that all hosts have (mpirun -x)"))
        }
        let slow = facts.filter { $0.kernels?.slowdown != nil }
        if let text = slow.first?.kernels?.slowdown {
            let marker = "; remedy: "
            let parts = text.components(separatedBy: marker)
            result.append(
                .init(
                    .slowKernels, .warning, of: slow, "\(Whom.text(slow)): \(parts[0])",
                    remedy: parts.count > 1 ? parts[1] : "let OpenBLAS choose"))
        }
        return result
    }

    /// The first thing that is wrong with a rank's data.
    private static func trouble(_ rank: RankFacts) -> (text: String, code: ExitCode)? {
        guard let data = rank.data else { return nil }
        if let problem = data.problem { return (problem, ExitCode(rawValue: data.problemCode) ?? .badData) }
        if let name = data.firstMissing {
            let more = data.missingCount > 1 ? " and \(data.missingCount - 1) more" : ""
            return ("\(data.path): shard \(name)\(more) of \(data.shardCount) missing", .missingInput)
        }
        if let name = data.firstWrongSize {
            let more = data.wrongSizeCount > 1 ? " and \(data.wrongSizeCount - 1) more" : ""
            return ("\(data.path)/\(name)\(more): the file has not the size that the manifest says", .badData)
        }
        return nil
    }

    private static func data(_ facts: [RankFacts]) -> [Finding] {
        let bad = facts.filter { trouble($0) != nil }
        if let one = bad.first, let (text, code) = trouble(one) {
            let whole = facts.first { trouble($0) == nil && $0.data != nil }
            guard let whole else {
                // Everybody has this. A problem of its own text ends with its remedy.
                let parts = text.components(separatedBy: "; ")
                return [
                    .init(
                        .unusableData, .error, code, of: bad, parts[0],
                        remedy: parts.count > 1
                            ? parts.dropFirst().joined(separator: "; ")
                            : "copy the data set again; vergence-shards verify looks at every byte")
                ]
            }
            return [
                .init(
                    .differentData, .error, code, of: bad,
                    "\(Whom.text(bad)) cannot use the data set as \(Whom.text([whole])) can: "
                        + (text.components(separatedBy: "; ").first ?? text),
                    remedy: "copy the same data set to every host")
            ]
        }
        guard let first = facts.first else { return [] }
        func key(_ rank: RankFacts) -> [String] { [rank.data?.rootHash ?? "none", rank.data?.size ?? "none"] }
        let others = facts.filter { key($0) != key(first) }
        guard let other = others.first else { return [] }
        let (ours, theirs) = (key(first), key(other))
        let (what, index) = ours[0] == theirs[0] ? ("size", 1) : ("data set", 0)
        return [
            .init(
                .differentData, .error, of: others,
                "\(Whom.text(others)) and \(Whom.text([first])) differ in \(what): '\(theirs[index])' and '\(ours[index])'",
                remedy: "copy the same data set to every host")
        ]
    }
}
