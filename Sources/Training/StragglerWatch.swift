/// Finds a rank that the others keep waiting for.
public struct StragglerWatch: Sendable {
    /// Steps in a row after which a rank is named, and steps until it is named again.
    public static let patience = 20
    public static let silence = 500
    /// How much longer than the median of the others it takes.
    public static let factor = 1.25

    private var suspect = -1
    private var count = 0
    private var quietUntil = 0
    private var sums: (mine: RankTimes, others: RankTimes) = (.init(), .init())

    private struct RankTimes: Sendable {
        var compute = 0.0
        var dataWait = 0.0
    }

    public init() {}

    /// A line that names the straggler and its phase, when it is time to.
    public mutating func line(after report: RanksReport) -> String? {
        guard report.ranks.count > 1 else { return nil }
        let slowest = report.slowest
        let others = report.ranks.filter { $0.rank != slowest.rank }.sorted { $0.busySeconds < $1.busySeconds }
        let typical = others[others.count / 2]
        guard slowest.busySeconds > Self.factor * typical.busySeconds else {
            suspect = -1
            return nil
        }
        if slowest.rank != suspect {
            (suspect, count, sums) = (slowest.rank, 0, (.init(), .init()))
        }
        count += 1
        sums.mine.compute += slowest.computeSeconds
        sums.mine.dataWait += slowest.dataWaitSeconds
        sums.others.compute += typical.computeSeconds
        sums.others.dataWait += typical.dataWaitSeconds
        guard count >= Self.patience, report.step >= quietUntil else { return nil }
        quietUntil = report.step + Self.silence
        let excess = (
            compute: sums.mine.compute - sums.others.compute, data: sums.mine.dataWait - sums.others.dataWait
        )
        let isData = excess.data > excess.compute
        func shown(_ sum: Double) -> String { "\((1000 * sum / Double(count)).rounded() / 1000) s" }
        let (mine, theirs) =
            isData ? (sums.mine.dataWait, sums.others.dataWait) : (sums.mine.compute, sums.others.compute)
        return
            "rank \(slowest.rank) (\(slowest.host)) keeps the others waiting: \(isData ? "waiting for data" : "computing") "
            + "takes it \(shown(mine)) a step, the others \(shown(theirs)) (\(count) steps up to \(report.step))"
    }
}
