import Basics
import Graphs
import Kernels
import Models
import Tensors
import Testing
import Threads
import Training

@Suite struct TrainingPartsTests {
    static func graph(_ purpose: NetworkGraph.Purpose = .training) throws -> NetworkGraph {
        let network = try NetworkRegistry.make("wnet", settings: [("width", "4"), ("levels", "6")])
        return try NetworkGraph(network, purpose, batch: 2, height: 32, width: 48)
    }

    @Test func parametersSurviveTheOtherLayout() throws {
        let state = ModelState(inferenceGraph: try Self.graph(.evaluation).graph)
        let copy = ModelState(inferenceGraph: try Self.graph(.evaluation).graph)
        state.initialize(seed: 3)
        for parameter in state.parameters {
            let exported = parameter.exported(from: state.parameterArena.base)
            #expect(exported.count == parameter.externalShape.count)
            parameter.import(exported, to: copy.parameterArena.base)
        }
        #expect(Array(copy.parameterArena.buffer) == Array(state.parameterArena.buffer))
    }

    /// [out, in, kh, kw] of a dense kernel, element by element.
    @Test func convolutionLayoutIsPyTorchs() throws {
        let graph = try Self.graph(.evaluation).graph
        let parameter = try #require(graph.parameters.first { $0.name == "decoder9.conv1.weight" })
        let (kh, kw, input, output) = (3, 3, parameter.shape[2], parameter.shape[3])
        let arena = FloatArena(count: parameter.offset + parameter.shape.count)
        for i in 0..<parameter.shape.count { arena.base[parameter.offset + i] = Float(i) }
        let exported = parameter.exported(from: arena.base)
        #expect(parameter.externalShape == [output, input, kh, kw])
        for (o, i, y, x) in [(0, 0, 0, 0), (1, 0, 2, 1), (output - 1, input - 1, 2, 2), (2, 3, 1, 0)] {
            let external = ((o * input + i) * kh + y) * kw + x
            #expect(exported[external] == Float(((y * kw + x) * input + i) * output + o))
        }
    }

    @Test func initialValuesDependOnSeedAndNameOnly() throws {
        let (a, b, c) = try (
            ModelState(inferenceGraph: Self.graph(.evaluation).graph),
            ModelState(inferenceGraph: Self.graph(.evaluation).graph),
            ModelState(inferenceGraph: Self.graph(.evaluation).graph)
        )
        a.initialize(seed: 1)
        b.initialize(seed: 1)
        c.initialize(seed: 2)
        #expect(Array(a.parameterArena.buffer) == Array(b.parameterArena.buffer))
        #expect(Array(a.parameterArena.buffer) != Array(c.parameterArena.buffer))
        let parameter = try #require(a.parameters.first { $0.name == "decoder6.conv1.weight" })
        let values = parameter.exported(from: a.parameterArena.base)
        guard case .glorotUniform(let fanIn, let fanOut) = parameter.initializer else {
            Issue.record("not Glorot")
            return
        }
        let bound = (6 / Float(fanIn + fanOut)).squareRoot()
        #expect(values.allSatisfy { abs($0) <= bound })
        // A uniform distribution in ±b has the variance b² / 3.
        let variance = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
        #expect(abs(variance / (bound * bound / 3) - 1) < 0.05)
    }

    @Test(arguments: [16, 1000, 4096, Int.max])
    func bucketsCoverTheArrayInOrderOfCompletion(size: Int) throws {
        let graph = try Self.graph()
        let state = ModelState(inferenceGraph: try Self.graph(.evaluation).graph)
        let layout = ReducedLayout(graph: graph, state: state)
        let buckets = layout.buckets(of: graph.graph, elementCount: size)
        #expect(buckets.first?.range.upperBound == layout.count)
        #expect(buckets.first?.range.lowerBound == layout.gradientCount)
        #expect(buckets.last?.range.lowerBound == 0)
        for (earlier, later) in zip(buckets, buckets.dropFirst()) {
            #expect(earlier.range.lowerBound == later.range.upperBound)
            #expect(earlier.lastNode <= later.lastNode)
        }
        // A bucket is complete only when all its gradients are.
        for (parameter, gradient) in zip(graph.graph.parameters, graph.graph.parameterGradients) {
            let bucket = try #require(buckets.first { $0.range.contains(parameter.offset) })
            #expect(try #require(graph.graph.producer(of: gradient)) <= bucket.lastNode, "\(parameter.name)")
        }
    }

    /// Pooling equal lanes must give the statistics of all their samples together.
    @Test func calibrationPoolsLanesExactly() throws {
        let network = try NetworkRegistry.make("wnet", settings: [("width", "4"), ("levels", "6")])
        let pool = ForkJoinPool(threadCount: 1)
        let state = try ModelState.empty(for: network)
        let calibrator = try Calibrator(
            network: network, state: state, batch: 2, height: 16, width: 16, kernels: KernelContext(pool: pool))
        let slot = try #require(state.statisticSlots.first { $0.name == "encoder1.norm1.running_mean" })
        let variance = try #require(state.statisticSlots.first { $0.name == "encoder1.norm1.running_var" })
        // Three lanes of 512 samples: means 1, 2, 6 and variances 1, 4, 9.
        let lanes = [(Float(1), Float(1)), (2, 4), (6, 9)].map { mean, spread in
            var lane = [Float](repeating: 0, count: calibrator.laneStatisticCount)
            lane[slot.offset] = mean
            lane[variance.offset] = spread
            return lane
        }
        calibrator.store(lanes)
        #expect(state.inferenceStatistics.base[slot.offset] == 3)
        let population = (1 + 4 + 9) / 3.0 + (4 + 1 + 9) / 3.0
        let unbiased = population * 1536 / 1535
        #expect(abs(Double(state.inferenceStatistics.base[variance.offset]) - unbiased) < 1e-6)
    }

    @Test func configurationsRefuseWhatDoesNotFit() throws {
        var configuration = RunConfiguration()
        try configuration.set("lanes", to: "8", place: "--lanes")
        #expect(configuration.lanes == 8)
        #expect(throws: Failure(.usage, "--lanes: lanes is '0'; give a whole number in 1…65536")) {
            try configuration.set("lanes", to: "0", place: "--lanes")
        }
        #expect(throws: Failure(.usage, "run.yaml:3: unknown setting 'lane', did you mean 'lanes'?")) {
            try configuration.set("lane", to: "8", place: "run.yaml:3")
        }
        #expect(
            throws: Failure(
                .usage, "--optimizer: optimizer is 'adma'; choose one of adam, adamw, sgd, did you mean 'adam'?")
        ) { try configuration.set("optimizer", to: "adma", place: "--optimizer") }
        var other = configuration
        other.epochs = 99
        #expect(configuration.differencesThatForbidResume(other).isEmpty)
        other.laneBatch = 7
        #expect(configuration.differencesThatForbidResume(other) == ["lane-batch 3 → 7"])
    }
}
