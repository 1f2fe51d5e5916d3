import Basics
import Execution
import Foundation
import Graphs
import Kernels
import Metrics
import Models
import Tensors
import Testing
import Threads
import Training

/// The published networks against independent implementations, on weights and inputs that integer hashing makes:
/// parameter counts, and outputs of an evaluation pass of one sample.
struct ZooGolden: Decodable {
    struct Output: Decodable {
        let shape: [Int]
        let mean: Double
        let std: Double
        /// The first four numbers in PyTorch's order.
        let first: [Double]
        /// Four numbers from the middle on.
        let middle: [Double]
    }
    struct Entry: Decodable {
        /// Shapes of the inputs without the batch, in the order of `x0`, `x1`, ….
        let input: [[Int]]
        let params: Int
        let outputs: [Output]
    }
    let networks: [String: Entry]

    static func load() throws -> ZooGolden {
        try JSONDecoder().decode(ZooGolden.self, from: Data(contentsOf: fixture("zoo_golden", "json")))
    }

    static func fixture(_ name: String, _ ending: String) throws -> URL {
        guard let url = Bundle.module.url(forResource: name, withExtension: ending, subdirectory: "Fixtures") else {
            throw CocoaError(.fileNoSuchFile)
        }
        return url
    }

    /// Numbers of an input in PyTorch's order.
    static func input(_ index: Int, count: Int, range: ClosedRange<Float>, minus offset: Float) -> [Float] {
        HashingFixtures.input("x\(index)", count)
            .map { $0 * (range.upperBound - range.lowerBound) + range.lowerBound - offset }
    }

    /// Runs a network on the fixture's numbers and compares.
    /// - Parameters:
    ///   - name: of the fixture.
    ///   - inputs: fields in the order of `x0`, `x1`, …
    ///   - outputs: the network's outputs in the order of the fixture's.
    ///   - range, offset: of the inputs' numbers; the offset is taken off.
    ///   - parameterCount: of the network, where it is a part of the fixture's.
    /// - Returns: the largest difference over the standard deviation of its output.
    @discardableResult
    static func check(
        _ name: String, _ network: any Network, inputs: [String], outputs: [String],
        range: ClosedRange<Float> = 0...1, minus offset: Float = 0, tolerance: Double = 1e-4,
        parameterCount: Int? = nil
    ) throws -> Double {
        let expected = try #require(try load().networks[name])
        let state = try ModelState.empty(for: network)
        #expect(state.parameterCount == parameterCount ?? expected.params)
        HashingFixtures.fill(state)
        let tensors = zip(inputs, expected.input).enumerated().map { index, pair in
            let shape = Shape([1] + pair.1)
            return NamedTensor(pair.0, shape, input(index, count: shape.count, range: range, minus: offset))
        }
        let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let results = try DebugStep.run(
            network: network, state: state, fields: tensors, mode: .eval, kernels: KernelContext(pool: pool))
        var worst = 0.0
        for (output, expected) in zip(outputs, expected.outputs) {
            let found = try #require(results.first { $0.name == "eval.\(output)" }).values
            let count = expected.shape.reduce(1, *)
            #expect(found.count == count, "\(output): \(found.count) numbers, expected \(expected.shape)")
            guard found.count == count else { continue }
            let mean = found.reduce(0.0) { $0 + Double($1) } / Double(count)
            let deviation = (found.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(count))
                .squareRoot()
            var difference = max(abs(mean - expected.mean), abs(deviation - expected.std))
            for (start, picks) in [(0, expected.first), (count / 2, expected.middle)] {
                for (i, pick) in picks.enumerated() {
                    difference = max(difference, abs(Double(found[start + i]) - pick))
                }
            }
            #expect(difference <= tolerance * expected.std, "\(output): \(difference) of \(expected.std)")
            worst = max(worst, difference / expected.std)
        }
        return worst
    }

    /// Rows of the published layer tables, one table after the other: `Conv2d-1 [-1, 32, 224, 224] 896`.
    static func publishedTables() throws -> [[String]] {
        var tables: [[String]] = []
        for line in try String(contentsOf: fixture("depthnet_tables", "txt"), encoding: .utf8).split(separator: "\n") {
            if line.hasPrefix("Layer (type)") { tables.append([]) }
            let isRow = line.firstIndex(of: "[") != nil && line.firstIndex(of: "-") != nil
            if isRow, !tables.isEmpty { tables[tables.count - 1].append(line.trimmingCharacters(in: .whitespaces)) }
        }
        return tables
    }
}

@Suite struct ZooGoldenTests {
    @Test func maskNet3() throws {
        let network = try NetworkRegistry.make("masknet3", settings: [])
        try ZooGolden.check("masknet3", network, inputs: ["background", "image"], outputs: ["mask.logits"])
    }

    @Test func maskNet3HasThePublishedLayers() throws {
        let network = try NetworkRegistry.make("masknet3", settings: [])
        let graph = try NetworkGraph(network, .inspection, batch: 1, height: 224, width: 224)
        let rows = graph.layers.enumerated().map { $1.row($0 + 1) }
        #expect(try rows == ZooGolden.publishedTables()[0])
        #expect(graph.graph.parameterCount == 76_097 && rows.count == 14)
    }

    /// The published losses, in float64 by PyTorch, on maps of 24 x 32.
    @Test(arguments: [
        ("dice", 0.4927471292909158), ("rmse", 0.3993370590329338), ("bce-dice", 1.9678978957236488),
        ("bce-rmse", 1.8170974227280956),
    ])
    func losses(_ name: String, _ expected: Double) throws {
        let shape: Shape = [2, 24, 32, 1]
        let (a, b) = (HashingFixtures.input("a", shape.count), HashingFixtures.input("b", shape.count))
        let bits = b.map { Float($0 > 0.5 ? 1 : 0) }
        func logits(_ values: [Float]) -> [Float] { values.map { ($0 - 0.5) * 6 } }
        let builder = GraphBuilder(mode: .inference)
        let (first, second) = (builder.input("first", shape), builder.input("second", shape))
        let (third, fourth) = (builder.input("third", shape), builder.input("fourth", shape))
        let value: Value
        let numbers: [[Float]]
        switch name {
        case "dice": (value, numbers) = (first.diceLoss(to: second), [a, bits, a, a])
        case "rmse": (value, numbers) = (first.rootMeanSquareError(to: second), [a, b, a, a])
        case "bce-dice":
            value = first.crossEntropyMean(to: second).combined(1, with: [(2, first.sigmoid().diceLoss(to: second))])
            numbers = [logits(a), bits, a, a]
        default:
            value = first.crossEntropyMean(to: second)
                .combined(1, with: [(2, third.sigmoid().rootMeanSquareError(to: fourth))])
            numbers = [logits(a), bits, logits(b), a]
        }
        builder.output("loss", value)
        let pool = ForkJoinPool(threadCount: 1)
        defer { pool.shutDown() }
        let executor = Executor(
            try builder.build(),
            memory: .calibration(parameters: FloatArena(count: 0), batchStatistics: FloatArena(count: 0)),
            kernels: KernelContext(pool: pool))
        for (input, values) in zip(["first", "second", "third", "fourth"], numbers) {
            executor.input(input)?.base.update(from: values, count: values.count)
        }
        executor.run(.deterministic)
        let found = Double(try #require(executor.output("loss")).base[0])
        #expect(abs(found - expected) < 1e-5 * expected)
    }

    /// The soft intersection over union, a mean over samples, by PyTorch in float64.
    @Test func softIntersectionOverUnion() {
        let count = 24 * 32
        let (a, b) = (HashingFixtures.input("a", 2 * count), HashingFixtures.input("b", 2 * count))
        var mean = MetricAverage<MaskSums>()
        for sample in 0..<2 {
            let range = (sample * count)..<((sample + 1) * count)
            var sums = MaskSums()
            for i in range { sums.add(prediction: Double(a[i]), truth: b[i] > 0.5 ? 1 : 0) }
            mean.add(sums)
        }
        #expect(abs((mean["iou"] ?? 0) - 0.33951576767508646) < 1e-6)
        // What is not known does not count.
        let (p, y): ([Float], [Float]) = ([0.5, 0.25, 1], [1, .nan, 0])
        let own = p.withUnsafeBufferPointer { p in y.withUnsafeBufferPointer { MaskSums(prediction: p, truth: $0) } }
        #expect(own.validCount == 2 && abs((own["iou"] ?? 0) - 0.5 / 2) < 1e-5)
        #expect(abs((own["rmse"] ?? 0) - (1.25 / 2.0).squareRoot()) < 1e-9 && abs((own["mae"] ?? 0) - 0.75) < 1e-9)
    }

    /// Depth metrics, pooled over two maps, by PyTorch in float64; the scale-invariant one is the root of the mean over maps.
    @Test func depthMetrics() throws {
        let count = 24 * 32
        let (a, b) = (HashingFixtures.input("a", 2 * count), HashingFixtures.input("b", 2 * count))
        let maps = (0..<2).map { sample in
            let range = (sample * count)..<((sample + 1) * count)
            return a[range].map { $0 * 5 + 1 }.withUnsafeBufferPointer { p in
                b[range].map { $0 * 5 + 1 }.withUnsafeBufferPointer { g in
                    DepthProtocol(maximumMetres: 10).measure(prediction: p, truth: g, height: 24, width: 32).sums
                }
            }
        }
        var all = maps[0]
        all += maps[1]
        let silog = (maps.reduce(0) { $0 + $1.silog * $1.silog } / 2).squareRoot() / 100
        for (name, found, expected) in [
            ("d1", all.a1, 0.2890625), ("d2", all.a2, 0.5091145833333334), ("d3", all.a3, 0.6842447916666666),
            ("rel", all.absRel, 0.6047752117960591), ("sqrel", all.sqRel, 1.5424326505529),
            ("rms", all.rmse, 1.996679034779206), ("rmslog", all.rmseLog, 0.6600630761785425),
            ("log10", all.log10, 0.22768378729868796), ("silog", silog, 0.6600075508608914),
        ] {
            #expect(abs(found - expected) < 1e-6 * expected, "\(name): \(found)")
        }
    }

    /// What a user who says nothing else gets must be accepted.
    @Test(arguments: NetworkRegistry.all.map { $0.name })
    func recipesAreValid(_ name: String) throws {
        var configuration = RunConfiguration()
        configuration.model = name
        let resolved = try configuration.withRecipe(of: configuration)
        try resolved.validate()
        let network = try configuration.makeNetwork()
        _ = try resolved.makeOptimizer(state: try ModelState.empty(for: network))
        let state = try ModelState.empty(for: network)
        for group in network.recipe.groups {
            #expect(state.parameters.contains { group.matches($0.name) }, "\(group.pattern) fits no parameter")
        }
    }
}
