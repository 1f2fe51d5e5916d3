import Basics
import Graphs
import Kernels
import Optimizers
import Tensors
import Testing
import Threads

@testable import Models
@testable import Training

/// Groups of parameters, frozen ones, encodings, initial values.
@Suite struct RecipeTests {
    /// Two layers, the first of them frozen if asked for, and a target that is not known everywhere.
    struct Small: Network {
        static let name = "small"
        static let summary = "of tests"
        static let settings: [SettingDescription] = [.boolean("frozen", false, "first layer keeps its values")]
        let isFrozen: Bool
        init(_ settings: Settings) throws { isFrozen = settings.boolean("frozen") }
        let fields = [
            NetworkField.picture("image"),
            .target(
                "depth", encoding: .logarithm(unit: 0.5), grid: .picked(step: 2, first: 1, margin: 0), hasMask: true),
        ]
        var recipe: Recipe {
            let groups = [
                ParameterGroup("second.weight", learningRate: 0.5, weightDecay: 2),
                ParameterGroup("*.bias", learningRate: 2, weightDecay: 0),
            ]
            return Recipe([], groups: isFrozen ? [.frozen("first.*")] + groups : groups)
        }
        func describe(_ fields: FieldValues) -> NetworkResult {
            let x = fields["image"].conv2D("first", to: 4, kernel: 3, activation: .relu, initial: .torch)
                .maxPool2D(2).conv2D("second", to: 1, kernel: 1, activation: .none, initial: .normal(deviation: 0.1))
            let known = x.combined(1, with: [(0, fields.known("depth"))])
            let loss = known.absoluteDifferenceMean(to: fields["depth"])
            return NetworkResult(
                loss: loss, terms: [], outputs: [("depth", x)],
                maps: [.init(.depth, "depth", truth: "depth", encoding: .logarithm(unit: 0.5))])
        }
    }

    private func network(frozen: Bool) throws -> Small {
        try Small(Settings(Small.settings, [("frozen", "\(frozen)")], owner: "small"))
    }

    /// One step on made-up numbers; names of parameters with how far they moved, and their gradients.
    private func step(
        _ network: Small, _ configuration: RunConfiguration
    ) throws -> [String: (before: [Float], after: [Float], gradient: [Float])] {
        let state = try ModelState.empty(for: network)
        state.initialize(seed: 4)
        let graph = try NetworkGraph(network, .training, batch: 2, height: 8, width: 10)
        let pool = ForkJoinPool(threadCount: 1)
        defer { pool.shutDown() }
        let kernels = KernelContext(pool: pool)
        let engine = LaneEngine(network: graph, state: state, kernels: kernels)
        let image = engine.input("image")
        for i in 0..<image.count { image.base[i] = Float(i % 13) / 13 }
        let (depth, known) = (engine.input("depth"), engine.input("depth.known"))
        #expect(depth.shape == [2, 4, 5, 1] && known.shape == [2, 4, 5, 1])
        for i in 0..<depth.count { (depth.base[i], known.base[i]) = (Float(i % 3), 1) }
        try engine.run(.deterministic)
        let before = state.exported()
        let optimizer = try configuration.makeOptimizer(state: state)
        optimizer.update(
            parameters: state.parameterArena, gradients: engine.result, learningRate: configuration.learningRate,
            context: kernels)
        let gradients = state.exported(engine.result, prefix: "")
        var result: [String: (before: [Float], after: [Float], gradient: [Float])] = [:]
        for (index, tensor) in state.exported().enumerated() {
            result[tensor.name] = (before[index].values, tensor.values, gradients[index].values)
        }
        return result
    }

    @Test(arguments: [false, true])
    func groupsHaveTheirRates(frozen: Bool) throws {
        var configuration = RunConfiguration()
        configuration.optimizer = .sgd
        configuration.momentum = 0
        configuration.learningRate = 0.1
        configuration.weightDecay = 0.01
        let moved = try step(try network(frozen: frozen), configuration)
        #expect(moved.count == 4)
        for (name, (before, after, gradient)) in moved {
            if frozen, name.hasPrefix("first") {
                #expect(before == after && gradient.allSatisfy { $0 == 0 }, "\(name)")
                continue
            }
            #expect(gradient.contains { $0 != 0 }, "\(name)")
            let rate: Float = name.hasSuffix("bias") ? 0.2 : name == "second.weight" ? 0.05 : 0.1
            let decay: Float = name.hasSuffix("bias") ? 0 : name == "second.weight" ? 0.02 : 0.01
            for i in before.indices {
                let expected = before[i] - rate * (gradient[i] + decay * before[i])
                #expect(abs(after[i] - expected) < 1e-6, "\(name) \(i)")
            }
        }
    }

    @Test func patternsMatch() {
        #expect(ParameterGroup("coarse.conv*.weight").matches("coarse.conv1.weight"))
        #expect(!ParameterGroup("coarse.conv*.weight").matches("coarse.conv1.bias"))
        #expect(ParameterGroup("*.bias").matches("a.b.bias") && !ParameterGroup("*.bias").matches("bias"))
        #expect(ParameterGroup("a*b*c").matches("a_b_c") && !ParameterGroup("a*b*c").matches("a_c"))
        #expect(
            ParameterGroup("*").matches("x") && ParameterGroup("x").matches("x") && !ParameterGroup("x").matches("xy"))
        #expect(!ParameterGroup("ab*ba").matches("aba"))
    }

    @Test func encodingsGoBack() {
        let encodings: [FieldEncoding] = [
            .plain, .standardized(scale: 255, mean: [128], deviation: [2]), .logarithm(unit: 0.45723134),
            .reciprocal(numerator: 10, range: 0.1...10),
        ]
        for encoding in encodings {
            for value: Float in [0.11, 0.5, 1, 9.5] {
                let back = encoding.decoded(encoding.encoded(value, channel: 0), channel: 0)
                #expect(abs(back - value) < 1e-5 * max(1, value), "\(encoding)")
            }
        }
        #expect(encodings[3].encoded(1000, channel: 0) == 1 && encodings[3].encoded(0.01, channel: 0) == 100)
        #expect(encodings[3].decoded(-1, channel: 0) == 10)
        #expect(!encodings[2].isKnown(0) && !encodings[3].isKnown(-1) && !encodings[0].isKnown(.nan))
        #expect(encodings[1].isKnown(0))
    }

    /// Unknown values are 0 and their mask is 0, whatever the encoding.
    @Test func feedsMarkWhatIsUnknown() throws {
        let field = try #require(try network(frozen: false).fields.last)
        let (view, known) = (FloatArena(count: 4), FloatArena(count: 4))
        let values: [Float] = [.nan, 0, 1, 2.7182817]
        values.withUnsafeBufferPointer {
            NetworkFeed.encode(
                $0, field, into: TensorView(view.base, [1, 2, 2, 1]), known: TensorView(known.base, [1, 2, 2, 1]))
        }
        #expect(Array(known.buffer.prefix(4)) == [0, 0, 1, 1])
        #expect(view.base[0] == 0 && view.base[1] == 0 && view.base[2] == 0 && abs(view.base[3] - 2) < 1e-6)
    }

    /// Moments of the initial values, and the bilinear filler against its formula for k = 4: 1/4, 3/4, 3/4, 1/4.
    @Test func initialValuesHaveTheirDistributions() throws {
        let builder = GraphBuilder(mode: .inference)
        let shape: Shape = [1, 100, 100, 1]
        for (name, initializer) in [
            ("uniform", Initializer.uniform(bound: 0.2)), ("normal", .normal(deviation: 0.3)),
            ("truncated", .truncatedNormal(deviation: 0.3)),
        ] {
            builder.output(name, builder.parameter(name, shape, layout: .plain, initializer: initializer))
        }
        builder.output(
            "up", builder.parameter("up", [2, 4, 4, 2], layout: .transposedConvolution, initializer: .bilinear))
        let state = ModelState(inferenceGraph: try builder.build())
        state.initialize(seed: 9)
        let values = Dictionary(uniqueKeysWithValues: state.exported().map { ($0.name, $0.values) })
        func moments(_ name: String) throws -> (mean: Double, deviation: Double, largest: Float) {
            let own = try #require(values[name])
            let mean = own.reduce(0.0) { $0 + Double($1) } / Double(own.count)
            let variance = own.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(own.count)
            return (mean, variance.squareRoot(), own.map(abs).max() ?? 0)
        }
        let uniform = try moments("uniform")
        #expect(abs(uniform.mean) < 0.005 && abs(uniform.deviation - 0.2 / 3.0.squareRoot()) < 0.003)
        #expect(uniform.largest <= 0.2 && uniform.largest > 0.199)
        let normal = try moments("normal")
        #expect(abs(normal.mean) < 0.01 && abs(normal.deviation - 0.3) < 0.01 && normal.largest > 0.9)
        let truncated = try moments("truncated")
        // A normal distribution cut at two deviations keeps 0.8796 of its deviation.
        #expect(abs(truncated.deviation - 0.3 * 0.8796) < 0.01 && truncated.largest <= 0.6)
        let up = try #require(values["up"])
        let taps: [Float] = [0.25, 0.75, 0.75, 0.25]
        for i in 0..<2 {
            for o in 0..<2 {
                for y in 0..<4 {
                    for x in 0..<4 {
                        let found = up[((i * 2 + o) * 4 + y) * 4 + x]
                        #expect(abs(found - (i == o ? taps[y] * taps[x] : 0)) < 1e-6)
                    }
                }
            }
        }
    }

    @Test func plateausLowerTheRate() {
        let rule = Plateau(factor: 0.1, patience: 2, threshold: 1e-4)
        var state = Plateau.State()
        var scales: [Double] = []
        for loss in [1.0, 0.5, 0.50001, 0.49999, 0.5, 0.5, 0.5, 0.5, 0.1] {
            rule.update(&state, loss: loss)
            scales.append(state.scale)
        }
        // The third without progress lowers it, and then the third again.
        #expect(scales == [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1])
        #expect(state.best == 0.1 && state.waiting == 0)
    }
}
