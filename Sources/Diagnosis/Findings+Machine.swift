import Basics

/// Threads and the cores they may run on.
enum CoreFindings {
    static func of(_ facts: [RankFacts]) -> [Finding] {
        var result: [Finding] = []
        // Virtual hosts and containers of one machine share its cores.
        for ranks in facts.grouped(by: { $0.machine.isEmpty ? $0.host : $0.machine }) { result += overlaps(ranks) }
        let overlapping = Set(result.flatMap(\.ranks))
        for ranks in facts.grouped(by: { $0.host }) { result += tightMasks(ranks, overlapping) + crowds(ranks) }
        return result
    }

    /// Ranks that share cores they do not suffice for, while other cores belong to nobody.
    private static func overlaps(_ ranks: [RankFacts]) -> [Finding] {
        var groups: [(mask: ProcessorSet, ranks: [RankFacts])] = []
        for rank in ranks {
            guard let mask = rank.cores.mask else { continue }
            var merged = (mask: mask, ranks: [rank])
            // Groups are disjoint, so one that overlaps the rank's own mask is all that can overlap.
            for group in groups where group.mask.overlaps(mask) {
                merged = (merged.mask.union(group.mask), group.ranks + merged.ranks)
            }
            groups = groups.filter { !$0.mask.overlaps(mask) } + [merged]
        }
        let used = groups.reduce(ProcessorSet([])) { $0.union($1.mask) }
        let available = ranks.compactMap(\.cores.available).reduce(ProcessorSet([])) { $0.union($1) }
        let idle = available.subtracting(used).count
        return groups.compactMap { group in
            let threads = group.ranks.reduce(0) { $0 + $1.cores.threads }
            guard group.ranks.count > 1, threads > group.mask.count, idle > 0 else { return nil }
            return Finding(
                .overlappingCores, .error, of: group.ranks,
                "\(Whom.text(group.ranks)) run \(threads) threads on the same \(Whom.counted(group.mask.count, "core")) "
                    + "(\(group.mask.list)), while \(idle) of the machine's \(available.count) belong to no rank",
                remedy: "mpirun --bind-to none, or --map-by slot:PE=THREADS --bind-to core")
        }
    }

    private static func tightMasks(_ ranks: [RankFacts], _ overlapping: Set<Int>) -> [Finding] {
        let tight = ranks.filter {
            guard let mask = $0.cores.mask, let available = $0.cores.available else { return false }
            return mask.count < $0.cores.threads && mask.count < available.count
        }
        if let one = tight.first, let mask = one.cores.mask {
            return [
                .init(
                    .boundToTooFewCores, .warning, of: tight,
                    "\(Whom.text(tight)): \(one.cores.threads) compute threads of a rank share "
                        + "\(Whom.counted(mask.count, "core")) (\(mask.list)), the process is bound to no more",
                    remedy: "mpirun --bind-to none, or --threads \(mask.count)")
            ]
        }
        // mpirun's default for at most two ranks: one core each, which nobody asked for, and so one thread each.
        let bound = ranks.filter {
            $0.launch.isBound && $0.cores.mask?.count == 1 && $0.cores.threadsAsked == 0
                && !overlapping.contains($0.rank)
        }
        let used = ranks.compactMap(\.cores.mask).reduce(ProcessorSet([])) { $0.union($1) }
        guard let one = bound.first, let available = one.cores.available, used.count < available.count else {
            return []
        }
        return [
            .init(
                .boundToTooFewCores, .warning, of: bound,
                "\(Whom.text(bound)): mpirun bound each rank to one core; \(used.count) of \(available.count) cores are used",
                remedy: "mpirun --bind-to none, or --map-by slot:PE=THREADS --bind-to core")
        ]
    }

    private static func crowds(_ ranks: [RankFacts]) -> [Finding] {
        let threads = ranks.reduce(0) { $0 + $1.cores.threads }
        let available = ranks.compactMap(\.cores.available).reduce(ProcessorSet([])) { $0.union($1) }
        guard let first = ranks.first, available.count > 0 else { return [] }
        let quota = ranks.compactMap(\.cores.quota).min()
        let cores = min(Double(available.count), quota ?? .infinity)
        // A quota need not be whole; a thread more than it is no crowd.
        guard Double(threads) >= cores.rounded(.up) + 1 else { return [] }
        let limit =
            cores < Double(available.count)
            ? "a quota of \((cores * 10).rounded() / 10) cores" : Whom.counted(available.count, "core")
        let share = max(1, Int(cores) / ranks.count)
        return [
            .init(
                .tooManyThreads, .warning, of: ranks,
                "\(Whom.counted(ranks.count, "rank")) on \(first.host) run \(threads) threads on \(limit)",
                remedy: ranks.count <= Int(cores)
                    ? "--threads \(share)"
                    : "start at most \(Whom.counted(max(1, Int(cores)), "rank")) with --threads 1 on this host")
        ]
    }
}

/// Disk, memory, limits and clocks.
enum ResourceFindings {
    static func of(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        disk(first) + sharing(facts, first) + memory(facts) + limits(facts) + clocks(facts)
    }

    /// Rank 0 is the one that writes.
    private static func disk(_ first: RankFacts) -> [Finding] {
        guard let run = first.run else { return [] }
        if let problem = run.problem {
            return [
                .init(
                    .notWritable, .error, .inputOutput, of: [first],
                    "\(Whom.text([first])) cannot write to \(run.path): \(problem)",
                    remedy: "choose a run folder that rank 0 can write to")
            ]
        }
        guard let free = run.freeByteCount, let needed = run.neededByteCount, free < needed else { return [] }
        return [
            .init(
                .noSpace, .error, .inputOutput, of: [first],
                "the disk of \(run.path) on \(first.host) has \(Whom.megabytes(free)) left, checkpoints and pictures need "
                    + "\(Whom.megabytes(needed))",
                remedy: "free some space or choose another run folder")
        ]
    }

    private static func sharing(_ facts: [RankFacts], _ first: RankFacts) -> [Finding] {
        guard let run = first.run, run.resumes else { return [] }
        let others = facts.filter { $0.run?.checkpointByteCount != run.checkpointByteCount }
        guard let other = others.first else { return [] }
        func describe(_ rank: RankFacts) -> String {
            rank.run?.checkpointByteCount.map { "one of \($0) bytes" } ?? "none"
        }
        return [
            .init(
                .runFolderNotShared, .error, .missingInput, of: others,
                "\(Whom.text(others)) and \(Whom.text([first])) do not see the same checkpoint in \(run.path): "
                    + "\(describe(other)) and \(describe(first))",
                remedy: "put the run folder on a file system that all hosts share, at the same path")
        ]
    }

    private static func memory(_ facts: [RankFacts]) -> [Finding] {
        var result: [Finding] = []
        for ranks in facts.grouped(by: { $0.host }) {
            guard let first = ranks.first, let each = ranks.compactMap(\.memory.neededByteCount).max() else { continue }
            let (needed, overflow) = each.multipliedReportingOverflow(by: ranks.count)
            guard !overflow else { continue }
            let total = ranks.compactMap(\.memory.totalByteCount).min() ?? .max
            let available = ranks.compactMap(\.memory.availableByteCount).max() ?? .max
            guard needed > min(total, available) else { continue }
            let text =
                "\(Whom.counted(ranks.count, "rank")) on \(first.host) need up to \(Whom.megabytes(needed)) of memory"
            let remedy =
                ranks.count > 1
                ? "start fewer ranks on this host, or lower --lane-batch" : "lower --lane-batch or the network's width"
            if needed > total {
                result.append(
                    .init(
                        .notEnoughMemory, .error, of: ranks, "\(text), it has \(Whom.megabytes(total))", remedy: remedy)
                )
            } else {
                result.append(
                    .init(
                        .notEnoughMemory, .warning, of: ranks,
                        "\(text), of \(Whom.megabytes(total)) it has \(Whom.megabytes(available)) left",
                        remedy: "end what else runs there, or " + remedy))
            }
        }
        return result
    }

    private static func limits(_ facts: [RankFacts]) -> [Finding] {
        var result: [Finding] = []
        // Shards that stay open, a connection or two to every rank, and what libraries need.
        let wanted = 256 + 64 + 2 * facts.count
        let tight = facts.filter { ($0.limits.openFiles ?? .max) < wanted }
        if let one = tight.first, let limit = one.limits.openFiles {
            result.append(
                .init(
                    .tooFewOpenFiles, .warning, of: tight,
                    "\(Whom.text(tight)) may open \(limit) files and connections, a run of \(facts.count) ranks may need "
                        + "\(wanted)",
                    remedy: "raise it: ulimit -n \(wanted), or LimitNOFILE of the service that starts the ranks"))
        }
        let locked = facts.filter { $0.network.hasFastNetwork && ($0.limits.lockedByteCount ?? .max) < 64 << 20 }
        if facts.count > 1, let one = locked.first, let limit = one.limits.lockedByteCount {
            result.append(
                .init(
                    .littleLockedMemory, .warning, of: locked,
                    "\(Whom.text(locked)) may lock \(Whom.megabytes(limit)) of memory, InfiniBand needs more",
                    remedy: "ulimit -l unlimited, or LimitMEMLOCK of the service that starts the ranks"))
        }
        return result
    }

    /// Each rank noted its clock before and after a barrier, so all those spans held one common instant. Spans that do not
    /// overlap prove a difference, whatever the barrier took.
    private static func clocks(_ facts: [RankFacts]) -> [Finding] {
        let timed = facts.filter { $0.clock != nil }
        guard let first = timed.first, let ours = first.clock else { return [] }
        let off = timed.compactMap { rank -> (rank: RankFacts, seconds: Double)? in
            guard rank.host != first.host, let theirs = rank.clock else { return nil }
            let seconds =
                theirs.entered > ours.left ? theirs.entered - ours.left : min(0, theirs.left - ours.entered)
            return abs(seconds) > 2 ? (rank, seconds) : nil
        }
        guard let worst = off.max(by: { abs($0.seconds) < abs($1.seconds) }) else { return [] }
        let seconds = (abs(worst.seconds) * 10).rounded() / 10
        return [
            .init(
                .clockSkew, .warning, of: off.map(\.rank),
                "the clock of \(worst.rank.host) is \(seconds) s \(worst.seconds > 0 ? "ahead of" : "behind") that of "
                    + "\(first.host)",
                remedy: "synchronise clocks (chrony, systemd-timesyncd): times of files and logs will not fit together")
        ]
    }
}

/// Interfaces over which MPI would send tensors into the void.
enum NetworkFindings {
    static func of(_ facts: [RankFacts]) -> [Finding] {
        guard facts.grouped(by: { $0.host }).count > 1 else { return [] }
        let (found, addresses) = sharedAddresses(facts)
        return found + unreachable(facts, except: addresses)
    }

    /// The classic is docker0: every host has one, and 172.17.0.1 is itself on each of them.
    private static func sharedAddresses(_ facts: [RankFacts]) -> ([Finding], Set<String>) {
        var holders: [String: [RankFacts]] = [:]
        for ranks in facts.grouped(by: { $0.host }) {
            guard let one = ranks.first(where: { $0.network.usesTCP }) else { continue }
            for interface in one.network.interfaces { holders[interface.address, default: []].append(one) }
        }
        let shared = holders.filter { $0.value.count > 1 }.sorted { $0.key < $1.key }
        let result = shared.map { address, ranks in
            let name = ranks[0].network.interfaces.first { $0.address == address }?.name ?? "an interface"
            return Finding(
                .unroutableInterface, severity(ranks), of: ranks,
                "\(name) has the address \(address) on \(Whom.list(ranks.map(\.host))) alike, so it leads no host to another",
                remedy: remedy(facts, except: Set(shared.map(\.key))))
        }
        return (result, Set(shared.map(\.key)))
    }

    private static func unreachable(_ facts: [RankFacts], except known: Set<String>) -> [Finding] {
        struct Key: Hashable { let name: String, reason: String, isError: Bool }
        var groups: [Key: [(from: RankFacts, probe: RankFacts.FailedProbe, target: RankFacts)]] = [:]
        let byRank = Dictionary(facts.map { ($0.rank, $0) }) { $1 }
        for rank in facts where rank.network.usesTCP {
            for probe in rank.failedProbes where !known.contains(probe.interface.address) {
                guard let target = byRank[probe.rank] else { continue }
                let failed = rank.failedProbes.filter { $0.rank == probe.rank }.count
                let isCutOff = failed >= target.network.ports.count
                // Open MPI joins interfaces of one network to each other, then those that are left over.
                let isPaired = rank.network.interfaces.contains { IPv4.isSameNetwork($0, probe.interface) }
                let isError = (isCutOff || isPaired) && severity([rank, target]) == .error
                groups[Key(name: probe.interface.name, reason: probe.reason, isError: isError), default: []]
                    .append((rank, probe, target))
            }
        }
        let bad = Set(facts.flatMap { $0.failedProbes.map(\.interface.address) }).union(known)
        return groups.sorted { ($0.key.isError ? 0 : 1, $0.key.name) < ($1.key.isError ? 0 : 1, $1.key.name) }.map {
            key, failures in
            let one = failures[0]
            let others = failures.count > 1 ? " and \(failures.count - 1) more such ways" : ""
            return Finding(
                .unroutableInterface, key.isError ? .error : .warning,
                of: failures.map(\.target).uniqued(by: \.rank),
                "\(Whom.text([one.from])) cannot reach \(Whom.text([one.target])) at \(one.probe.interface.address) of "
                    + "\(key.name) (\(key.reason))\(others), which MPI may choose",
                remedy: remedy(facts, except: bad))
        }
    }

    /// Where MPI may prefer another network, an address in the way may be harmless.
    private static func severity(_ ranks: [RankFacts]) -> Finding.Severity {
        ranks.contains { $0.network.hasFastNetwork } ? .warning : .error
    }

    private static func remedy(_ facts: [RankFacts], except bad: Set<String>) -> String {
        let good = facts.flatMap(\.network.interfaces).filter { !bad.contains($0.address) }
        let networks = good.compactMap(IPv4.network).uniqued().filter { network in
            // A network that joins them all.
            facts.allSatisfy { $0.network.interfaces.contains { IPv4.network($0) == network } }
        }
        let network = networks.first ?? "NETWORK/BITS"
        return "name the network that joins the hosts: mpirun --mca btl_tcp_if_include \(network)"
    }
}

extension Array {
    fileprivate func uniqued<Key: Hashable>(by key: (Element) -> Key) -> [Element] {
        var seen: Set<Key> = []
        return filter { seen.insert(key($0)).inserted }
    }
}

/// Addresses as numbers.
enum IPv4 {
    static func number(_ address: some StringProtocol) -> UInt32? {
        let parts = address.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        guard parts.count == 4 else { return nil }
        var number: UInt32 = 0
        for part in parts {
            guard let part else { return nil }
            number = number << 8 | UInt32(part)
        }
        return number
    }

    private static func masked(_ number: UInt32, _ prefix: Int) -> UInt32 {
        prefix <= 0 ? 0 : number & ~UInt32(truncatingIfNeeded: (UInt64(1) << UInt64(max(0, 32 - prefix))) - 1)
    }

    /// `10.0.0.0/24` of an interface with 10.0.0.7/24.
    static func network(_ interface: RankFacts.Interface) -> String? {
        guard let number = number(interface.address) else { return nil }
        let base = masked(number, interface.prefix)
        return [24, 16, 8, 0].map { "\(base >> $0 & 0xFF)" }.joined(separator: ".") + "/\(interface.prefix)"
    }

    static func isSameNetwork(_ a: RankFacts.Interface, _ b: RankFacts.Interface) -> Bool {
        guard let first = number(a.address), let second = number(b.address), a.prefix == b.prefix else { return false }
        return masked(first, a.prefix) == masked(second, a.prefix)
    }

    /// Whether an interface is meant by a word of Open MPI's `btl_tcp_if_include`: a name, or a network as `10.0.0.0/24`.
    static func isNamed(_ interface: RankFacts.Interface, by word: some StringProtocol) -> Bool {
        let parts = word.split(separator: "/")
        if parts.count == 2, let base = number(parts[0]), let prefix = Int(parts[1]), (0...32).contains(prefix),
            let own = number(interface.address)
        {
            return masked(own, prefix) == masked(base, prefix)
        }
        return interface.name == word
    }
}
