import Basics
import Execution
import Graphs
import Kernels
import Models
import Operators
import Tensors
import Testing
import Threads

/// The fused graph against the one that gradient rules wrote.
@Suite struct FusionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var model = "wnet"
        var width = 8
        var batch = 2
        var height = 32
        var columns = 64
        var dropout = 0.4
        var testDescription: String { "\(model), width \(width), \(batch)x\(height)x\(columns), dropout \(dropout)" }
    }

    static let cases = [
        Case(), Case(dropout: 0), Case(width: 16, batch: 1, height: 48, columns: 80),
        Case(width: 16, batch: 3, height: 64, columns: 96), Case(model: "wnet-plus"),
    ]

    struct Results {
        var graph: Graph
        var arenaCount = 0
        var outputs: [String: [Float]] = [:]
        var statistics: [Float] = []
        /// By parameter, in order.
        var gradients: [[Float]] = []
    }

    /// Runs a network on made-up weights and pictures.
    static func run(_ item: Case, _ purpose: NetworkGraph.Purpose, fusing: Bool) throws -> Results {
        let network = try NetworkRegistry.make(
            item.model,
            settings: [("width", "\(item.width)"), ("levels", "8"), ("dropout", "\(item.dropout)")])
        let built = try NetworkGraph(
            network, purpose, batch: item.batch, height: item.height, width: item.columns, fusing: fusing)
        let graph = built.graph
        let kernels = KernelContext(pool: ForkJoinPool(threadCount: 2, spinMicroseconds: 0))
        defer { kernels.pool.shutDown() }
        func filled(_ count: Int, _ name: String, _ range: Range<Double>) -> FloatArena {
            let arena = FloatArena(count: max(1, count))
            let random = CounterRandom(7, name)
            for i in 0..<arena.count { arena.base[i] = Float(random.uniform(UInt64(i), in: range)) }
            return arena
        }
        let parameterCount = graph.parameters.map { $0.offset + $0.shape.count }.max() ?? 0
        let statisticCount = max(
            graph.statistics.map { $0.offset + $0.shape.count }.max() ?? 0,
            graph.buffers.map { $0.offset + $0.shape.count }.max() ?? 0)
        let parameters = filled(parameterCount, "weights", -0.3..<0.3)
        for parameter in graph.parameters where parameter.name.contains("norm") && parameter.name.hasSuffix("weight") {
            for i in parameter.offset..<(parameter.offset + parameter.shape.count) { parameters.base[i] += 1 }
        }
        let padded = (parameterCount + 15) / 16 * 16
        let result = FloatArena(count: padded + statisticCount)
        let memory: Executor.Memory =
            switch purpose {
            case .training: .training(parameters: parameters, result: result, batchStatisticsOffset: padded)
            case .calibration:
                .calibration(parameters: parameters, batchStatistics: filled(statisticCount, "statistics", 0..<1))
            case .evaluation, .prediction, .inspection:
                .inference(
                    parameters: parameters, statistics: filled(statisticCount, "statistics", 0.5..<1.5),
                    areConstant: purpose == .prediction)
            }
        let executor = Executor(graph, memory: memory, kernels: kernels)
        for input in graph.inputs {
            guard let view = executor.view(of: input) else { continue }
            let random = CounterRandom(8, "picture", UInt64(input.index))
            for i in 0..<view.count { view.base[i] = Float(random.uniform(UInt64(i))) }
        }
        let state = RunState(seed: 3, step: 5, sampleIndices: .init(base: nil, count: 0))
        // Twice: packed weights of the first run serve the second.
        for _ in 0..<2 { executor.run(state) }
        var results = Results(graph: graph, arenaCount: executor.plan.arenaCount)
        for (name, _) in graph.outputs {
            if let view = executor.output(name) { results.outputs[name] = Array(view.buffer) }
        }
        for statistic in graph.statistics {
            if let view = executor.view(of: statistic.value) { results.statistics += Array(view.buffer) }
        }
        for gradient in graph.parameterGradients {
            if let view = executor.view(of: gradient) { results.gradients.append(Array(view.buffer)) }
        }
        return results
    }

    static func difference(_ found: [Float], _ expected: [Float]) -> Double {
        var (error, square) = (0.0, 1e-30)
        for (a, b) in zip(found, expected) {
            error += (Double(a) - Double(b)) * (Double(a) - Double(b))
            square += Double(b) * Double(b)
        }
        return found.count == expected.count ? (error / square).squareRoot() : .infinity
    }

    @Test(
        "forward results agree", arguments: cases,
        [NetworkGraph.Purpose.training, .calibration, .evaluation, .prediction])
    func forward(_ item: Case, _ purpose: NetworkGraph.Purpose) throws {
        let plain = try Self.run(item, purpose, fusing: false)
        let fused = try Self.run(item, purpose, fusing: true)
        #expect(fused.outputs.keys.sorted() == plain.outputs.keys.sorted())
        for (name, expected) in plain.outputs {
            #expect(Self.difference(fused.outputs[name] ?? [], expected) < 1e-5, "\(name)")
        }
        #expect(Self.difference(fused.statistics, plain.statistics) < 1e-5)
        #expect(purpose == .evaluation || purpose == .prediction || !plain.statistics.isEmpty)
        #expect(fused.arenaCount < plain.arenaCount || purpose != .training)
    }

    /// A ReLU or a maximum that is decided by the last bit may go the other way: bounds are those of the golden cases.
    @Test("gradients agree", arguments: cases)
    func gradients(_ item: Case) throws {
        let plain = try Self.run(item, .training, fusing: false)
        let fused = try Self.run(item, .training, fusing: true)
        #expect(plain.gradients.count == fused.gradients.count && !plain.gradients.isEmpty)
        for (index, parameter) in plain.graph.parameters.enumerated() {
            let error = Self.difference(fused.gradients[index], plain.gradients[index])
            #expect(error < 3e-2, "\(parameter.name): \(error)")
        }
        let whole = Self.difference(fused.gradients.flatMap(\.self), plain.gradients.flatMap(\.self))
        #expect(whole < 1e-3, "\(whole)")
    }

    @Test("what fusion replaces is gone")
    func nodes() throws {
        let graph = try Self.run(Case(width: 16, height: 64, columns: 96), .training, fusing: true).graph
        let names = Set(graph.nodes.map(\.operation.name))
        for name in [
            DepthwiseConv2D.name, ReLUGradient.name, BatchNormGradient.name, Softmax.name, Selection.name,
            DepthwiseConv2DInputGradient.name,
        ] { #expect(!names.contains(name), "\(name)") }
        #expect(graph.nodes.filter { $0.operation.name == SeparableConv2D.name }.count == 16)
        #expect(graph.nodes.filter { $0.operation.name == UpsampleSum.name }.count == 2)
        #expect(!names.contains(BatchNorm.name))
        #expect(graph.nodes.filter { ($0.operation as? SeparableConv2D)?.givesStatistics == true }.count == 14)
        let pairs = graph.nodes.compactMap { $0.operation as? PairConv2D }
        #expect(pairs.filter(\.givesStatistics).count == pairs.count && pairs.count >= 2)
    }

    /// Depthwise, pointwise, normalisation, dropout with values in between that somebody else reads.
    @Test("values that others read stay", arguments: ["between", "normalised", "dropped"])
    func shared(_ what: String) throws {
        func build() throws -> Graph {
            let builder = GraphBuilder(mode: .training)
            let x = builder.input("x", [2, 6, 8, 5])
            let between = x.depthwiseConv2D("a", kernel: 3)
            let y = between.conv2D("b", to: 7, kernel: 1, activation: .relu)
            let normalised = y.batchNorm("norm", epsilon: 1e-3, momentum: 0.01)
            let dropped = normalised.dropout(0.4)
            let z = dropped.separableConv2D("c", to: 3, kernel: 3, activation: .relu)
            builder.output(
                "extra", what == "between" ? between : what == "normalised" ? normalised : dropped)
            let loss = z.absoluteDifferenceMean(to: z.apply(Fill(value: 0.3)))
            builder.output("loss", loss)
            builder.differentiate(loss, arithmetic: Arithmetic.self)
            return try builder.build()
        }
        let plain = try build()
        let fused = plain.fused()
        var found: [[[Float]]] = []
        for graph in [plain, fused] {
            let parameters = FloatArena(count: 4096)
            let random = CounterRandom(9, "weights")
            for i in 0..<parameters.count { parameters.base[i] = Float(random.uniform(UInt64(i), in: -0.5..<0.5)) }
            let result = FloatArena(count: 8192)
            let executor = Executor(
                graph, memory: .training(parameters: parameters, result: result, batchStatisticsOffset: 4096),
                kernels: KernelContext(pool: ForkJoinPool(threadCount: 1)))
            if let view = executor.input("x") {
                for i in 0..<view.count { view.base[i] = Float(random.uniform(UInt64(10_000 + i), in: -1..<1)) }
            }
            executor.run(.deterministic)
            found.append(
                ["extra", "loss"].map { name in executor.output(name).map { Array($0.buffer) } ?? [] }
                    + [Array(result.buffer)])
        }
        for (a, b) in zip(found[1], found[0]) {
            #expect(!b.isEmpty && Self.difference(a, b) < 1e-5)
        }
    }
}
