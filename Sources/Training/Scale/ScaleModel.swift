import Collectives

/// Time of a training step on any number of ranks: lanes one after the other, then what is left of the exchange, which
/// starts while the last lane's backward runs, then the update.
///
/// Assumed: a host of its own and the same speed for each rank, a network whose switch passes all hosts' traffic at
/// once, and nothing else on it; computing is not slowed by the exchange.
public struct ScaleModel: Sendable {
    public let profile: StepProfile
    public let cost: ExchangeCost

    public init(profile: StepProfile, cost: ExchangeCost) {
        self.profile = profile
        self.cost = cost
    }

    public struct Prediction: Sendable, Equatable {
        public let ranks: Int
        public let lanes: Int
        /// Of the fullest rank, which the others wait for.
        public let lanesPerRank: Int
        public let computeSeconds: Double
        /// The whole exchange, most of which may be hidden behind backward.
        public let exchangeSeconds: Double
        /// From the end of the last lane to the end of the exchange.
        public let exposedSeconds: Double
        /// All of it: waiting for data, computing, exposed exchange, update.
        public let stepSeconds: Double
        /// Lanes per second and rank, over those of one rank with as many lanes as `baseLanes`.
        public let efficiency: Double
    }

    /// - Parameter baseLanes: lanes of the one rank to compare with: all of them where lanes are fixed (strong
    ///   scaling), those of one rank where lanes grow with the ranks (weak scaling).
    /// - Throws: `Failure` (usage) if there are fewer lanes than ranks.
    public func predict(ranks: Int, lanes: Int, baseLanes: Int) throws -> Prediction {
        let count = try LaneTree.share(rank: 0, worldSize: ranks, lanes: lanes).count
        let costs = try profile.buckets.map {
            cost.seconds(try ExchangeCost.Work(byteCount: $0.byteCount, ranks: ranks, lanes: lanes))
        }
        let compute = Double(count) * profile.laneSeconds
        let exposed = Self.exposedSeconds(
            ready: profile.buckets.map { $0.readyShare * profile.laneSeconds }, costs: costs, end: profile.laneSeconds)
        let others = profile.dataWaitSeconds + profile.restSeconds
        let step = others + compute + exposed
        let alone = others + Double(baseLanes) * profile.laneSeconds
        return Prediction(
            ranks: ranks, lanes: lanes, lanesPerRank: count, computeSeconds: compute,
            exchangeSeconds: costs.reduce(0, +), exposedSeconds: exposed, stepSeconds: step,
            efficiency: Double(lanes) / Double(ranks) / step * alone / Double(baseLanes))
    }

    /// How long buckets that are exchanged one after the other, each once it is ready, go on after `end`.
    public static func exposedSeconds(ready: [Double], costs: [Double], end: Double) -> Double {
        var done = 0.0
        for (ready, cost) in zip(ready, costs) { done = max(done, ready) + cost }
        return max(0, done - end)
    }
}
