import Basics
import Kernels
import Models
import Testing
import Threads
import Training

@Suite struct ScaleModelTests {
    private static let profile = StepProfile(
        laneSeconds: 1, restSeconds: 0.05, dataWaitSeconds: 0.01,
        buckets: [(4.0, 0.5), (4.5, 0.6), (4.2, 0.85), (5.1, 0.99)].map {
            StepProfile.Bucket(byteCount: Int($0.0 * 1e6), readyShare: $0.1)
        })
    private static let slow = ExchangeCost(phaseSeconds: 3e-4, messageSeconds: 2e-5, byteSeconds: 8e-9)

    /// Time passes in small slices; a free cable takes the next bucket once it is ready.
    private static func simulated(ready: [Double], costs: [Double], end: Double) -> Double {
        let slice = 1e-4
        var (bucket, left, time) = (0, costs[0], 0.0)
        while bucket < costs.count {
            if ready[bucket] <= time { left -= slice }
            time += slice
            if left <= 0 {
                bucket += 1
                if bucket < costs.count { left = costs[bucket] }
            }
        }
        return max(0, time - end)
    }

    @Test(arguments: 0..<12) func pipelineIsThatOfASimulation(seed: Int) {
        let random = CounterRandom(5, "scale", UInt64(seed))
        let count = 1 + seed % 5
        let ready = (0..<count).map { random.uniform(UInt64($0)) }.sorted()
        let costs = (0..<count).map { (seed < 6 ? 0.1 : 0.6) * random.uniform(UInt64(100 + $0)) + 0.001 }
        let exposed = ScaleModel.exposedSeconds(ready: ready, costs: costs, end: 1)
        let simulated = Self.simulated(ready: ready, costs: costs, end: 1)
        // Each bucket starts and ends at most a slice late.
        #expect(abs(exposed - simulated) < 2e-4 * Double(count + 1), "\(exposed), simulated \(simulated)")
    }

    @Test func oneRankExchangesNothing() throws {
        let prediction = try ScaleModel(profile: Self.profile, cost: Self.slow).predict(
            ranks: 1, lanes: 8, baseLanes: 8)
        #expect(prediction.exposedSeconds == 0 && prediction.exchangeSeconds == 0)
        #expect(abs(prediction.stepSeconds - 8.06) < 1e-12 && abs(prediction.efficiency - 1) < 1e-12)
    }

    @Test func networkWithoutLimitsLeavesComputing() throws {
        let free = ExchangeCost(phaseSeconds: 0, messageSeconds: 0, byteSeconds: 0)
        for ranks in [1, 2, 3, 64, 1024] {
            let prediction = try ScaleModel(profile: Self.profile, cost: free).predict(
                ranks: ranks, lanes: 2 * ranks, baseLanes: 2)
            #expect(prediction.exposedSeconds == 0 && abs(prediction.stepSeconds - 2.06) < 1e-12)
            #expect(abs(prediction.efficiency - 1) < 1e-12)
        }
    }

    @Test func moreRanksAndSlowerCablesAreNeverFaster() throws {
        var last = 0.0
        for power in 0...10 {
            let step = try ScaleModel(profile: Self.profile, cost: Self.slow).predict(
                ranks: 1 << power, lanes: 1 << power, baseLanes: 1)
            #expect(step.stepSeconds >= last && step.efficiency <= 1 && step.exposedSeconds <= step.exchangeSeconds)
            last = step.stepSeconds
        }
        for factor in [1.5, 4.0, 100] {
            for cost in [
                ExchangeCost(phaseSeconds: 3e-4 * factor, messageSeconds: 2e-5, byteSeconds: 8e-9),
                ExchangeCost(phaseSeconds: 3e-4, messageSeconds: 2e-5 * factor, byteSeconds: 8e-9),
                ExchangeCost(phaseSeconds: 3e-4, messageSeconds: 2e-5, byteSeconds: 8e-9 * factor),
            ] {
                let (fast, slow) = (
                    try ScaleModel(profile: Self.profile, cost: Self.slow).predict(ranks: 4, lanes: 4, baseLanes: 1),
                    try ScaleModel(profile: Self.profile, cost: cost).predict(ranks: 4, lanes: 4, baseLanes: 1)
                )
                #expect(slow.stepSeconds > fast.stepSeconds)
            }
        }
    }

    /// 8 lanes on 3 ranks: shares 0–2, 3–5, 6–7 pass 2, 2 and 1 partial sums on.
    @Test func unevenSharesSendMore() throws {
        let even = try ExchangeCost.Work(byteCount: 1200, ranks: 4, lanes: 8)
        #expect(even.phases == 2 && even.messages == 6 && even.bytes == 1800)
        let uneven = try ExchangeCost.Work(byteCount: 1200, ranks: 3, lanes: 8)
        // 2 partial sums to 2 others, a third of the span each; then the mean's third to 2 others.
        #expect(uneven.messages == 4 && uneven.bytes == 2400)
        #expect(throws: Failure.self) { try ExchangeCost.Work(byteCount: 1200, ranks: 9, lanes: 8) }
    }

    @Test func fitFindsTheCost() throws {
        let truth = ExchangeCost(phaseSeconds: 4e-4, messageSeconds: 3e-5, byteSeconds: 9e-9)
        var measurements: [ExchangeCost.Measurement] = []
        for ranks in [2, 3, 4] {
            for bytes in [1 << 16, 1 << 20, 1 << 22, 21_400_000] {
                let work = try ExchangeCost.Measurement(ranks: ranks, byteCount: bytes, seconds: 1).work()
                measurements.append(
                    ExchangeCost.Measurement(ranks: ranks, byteCount: bytes, seconds: truth.seconds(work)))
            }
        }
        let found = try ExchangeCost(fitting: measurements)
        for (value, expected) in [
            (found.phaseSeconds, truth.phaseSeconds), (found.messageSeconds, truth.messageSeconds),
            (found.byteSeconds, truth.byteSeconds),
        ] { #expect(abs(value / expected - 1) < 1e-6, "\(found)") }
        #expect(throws: Failure.self) { try ExchangeCost(fitting: measurements.filter { $0.ranks == 2 }) }
        #expect(throws: Failure.self) { try ExchangeCost(fitting: measurements.filter { $0.byteCount == 1 << 20 }) }
    }

    @Test func profileHasTheTrainersBuckets() throws {
        let network = try NetworkRegistry.make("wnet", settings: [("width", "32"), ("levels", "8")])
        let kernels = KernelContext(pool: ForkJoinPool(threadCount: 1))
        defer { kernels.pool.shutDown() }
        let profile = try StepProfile.measure(
            network, laneBatch: 1, height: 32, width: 32, repetitions: 2, kernels: kernels)
        #expect(profile.laneSeconds > 0 && profile.restSeconds > 0)
        let shares = profile.buckets.map(\.readyShare)
        #expect(shares.count > 2 && shares == shares.sorted() && shares.allSatisfy { $0 > 0 && $0 <= 1 + 1e-12 })
        // Gradients of all parameters, and what else is averaged.
        let state = try ModelState.empty(for: network)
        #expect(profile.byteCount >= 4 * (state.parameterArena.count + state.trainingStatistics.count))
    }
}
