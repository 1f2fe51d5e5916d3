import Basics
import Graphs
import Kernels
import Models
import Testing
import Threads
import Training

/// W-net against an independent float64 implementation on numbers that integer hashing makes.
@Suite struct WNetGoldenTests {
    static func network() throws -> any Network {
        try NetworkRegistry.make("wnet", settings: [("width", "8"), ("levels", "8"), ("dropout", "0")])
    }

    static func step(_ mode: DebugStep.Mode, threads: Int = 2, level: InstructionLevel = .best) throws -> [String:
        NamedTensor]
    {
        let network = try network()
        let state = ModelState(
            inferenceGraph: try NetworkGraph(network, .evaluation, batch: 1, height: 32, width: 64).graph)
        HashingFixtures.fill(state)
        let pool = ForkJoinPool(threadCount: threads, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let inputs = ["left", "right"].map { HashingFixtures.picture($0, batch: 2, height: 32, width: 64) }
        let results = try DebugStep.run(
            network: network, state: state, fields: inputs, mode: mode, kernels: KernelContext(pool: pool, level: level)
        )
        return Dictionary(uniqueKeysWithValues: results.map { ($0.name, $0) })
    }

    /// The largest difference of the picks and of the norm, over `scale`.
    static func distance(_ tensor: NamedTensor?, _ expected: WNetFixture.Tensor, scale: Double) throws -> Double {
        let values = try #require(tensor).values
        var worst = abs(values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() - expected.l2)
        for (i, pick) in expected.picks.enumerated() {
            worst = max(worst, abs(Double(values[i * (values.count - 1) / 7]) - pick))
        }
        return worst / scale
    }

    static func scalar(_ results: [String: NamedTensor], _ name: String) throws -> Double {
        Double(try #require(results[name]?.values.first))
    }

    @Test func evaluationMatches() throws {
        let expected = try WNetFixture.load().eval
        let results = try Self.step(.eval)
        #expect(abs(try Self.scalar(results, "eval.loss") - expected.loss) < 1e-5)
        #expect(abs(try Self.scalar(results, "eval.reconstruction") - expected.reconstruction) < 1e-5)
        #expect(abs(try Self.scalar(results, "eval.smoothness") - expected.smoothness) < 1e-5)
        #expect(try Self.distance(results["eval.disparity.left"], expected.left, scale: expected.left.l2) < 1e-5)
        let right = try #require(expected.right)
        #expect(try Self.distance(results["eval.disparity.right"], right, scale: right.l2) < 1e-5)
    }

    @Test func trainingStepMatches() throws {
        let expected = try WNetFixture.load()
        let results = try Self.step(.train)
        #expect(abs(try Self.scalar(results, "train.loss") - expected.train.loss) < 1e-5)
        #expect(abs(try Self.scalar(results, "train.reconstruction") - expected.train.reconstruction) < 1e-5)
        #expect(abs(try Self.scalar(results, "train.smoothness") - expected.train.smoothness) < 1e-5)
        #expect(
            try Self.distance(results["train.disparity.left"], expected.train.left, scale: expected.train.left.l2)
                < 1e-5)
        #expect(expected.gradients.count > 100)
        for (name, gradient) in expected.gradients {
            let largest = Double(try #require(results["grad.\(name)"]).values.map(abs).max() ?? 0)
            // The norm of a large tensor sums more rounding than one element carries.
            let scale = max(largest, gradient.l2)
            #expect(try Self.distance(results["grad.\(name)"], gradient, scale: scale) < 1e-4, "\(name)")
        }
        for (name, statistic) in expected.after {
            #expect(
                try Self.distance(results["after.\(name)"], statistic, scale: max(1, statistic.l2)) < 1e-5, "\(name)")
        }
    }

    @Test func sameBitsForAnyNumberOfThreads() throws {
        let reference = try Self.step(.train, threads: 1)
        for threads in [2, 3, 8] {
            let results = try Self.step(.train, threads: threads)
            for (name, tensor) in reference {
                #expect(results[name]?.values.map(\.bitPattern) == tensor.values.map(\.bitPattern), "\(name)")
            }
        }
    }

    @Test func fullSizeHasThePublishedParameterCount() throws {
        let graph = try NetworkGraph(
            try NetworkRegistry.make("wnet", settings: []), .evaluation, batch: 1, height: 192, width: 336
        ).graph
        #expect(graph.parameterCount == 5_344_054)
        #expect(graph.buffers.reduce(0) { $0 + $1.shape.count } == 6_016)
    }

    @Test func unfitSizesAreRefusedInWords() throws {
        let network = try NetworkRegistry.make("wnet", settings: [])
        #expect(
            throws: Failure(
                .badData,
                "wnet needs a height and width that are multiples of 16, not 200x336; "
                    + "give --size 208x336, here or where records are converted")
        ) { try NetworkGraph(network, .training, batch: 1, height: 200, width: 336) }
    }

    @Test func unknownNamesAreSuggested() {
        let names = NetworkRegistry.all.map { $0.name }.joined(separator: ", ")
        #expect(throws: Failure(.usage, "unknown model 'wnt', did you mean 'wnet'?; known models: \(names)")) {
            try NetworkRegistry.make("wnt", settings: [])
        }
        #expect(throws: SettingError("levels", "7", "must be even")) {
            try NetworkRegistry.make("wnet", settings: [("levels", "7")])
        }
    }
}
