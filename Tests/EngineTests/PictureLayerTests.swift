import Execution
import Graphs
import Kernels
import Models
import Operators
import Tensors
import Testing
import Threads
import Training

/// Layers that stand for compositions of others, and the order of fully connected weights.
@Suite struct PictureLayerTests {
    /// Pictures side by side, normalised at once, against concatenation, normalisation and ReLU: outputs, statistics and
    /// all gradients, in training and inference graphs.
    @Test(arguments: [GraphBuilder.Mode.training, .inference])
    func normReLUIsConcatNormReLU(mode: GraphBuilder.Mode) throws {
        let shapes: [Shape] = [[2, 5, 7, 6], [2, 5, 7, 17], [2, 5, 7, 3]]
        func run(joined: Bool) throws -> [(String, [Float])] {
            let builder = GraphBuilder(mode: mode)
            let parts = shapes.enumerated().map { builder.input("part\($0)", $1) }
            let result: Value
            if joined {
                var features = FeatureList(parts[0])
                for part in parts.dropFirst() { features.append(part) }
                #expect(features.channels == 26)
                result = features.batchNormReLU("norm", epsilon: 1e-3, momentum: 0.1)
            } else {
                result = parts[0].concat(parts[1], parts[2]).batchNorm("norm", epsilon: 1e-3, momentum: 0.1).apply(
                    ReLU())
            }
            builder.output("result", result)
            if mode == .training {
                let loss = result.scaleInvariantError(to: builder.input("target", result.shape), balance: 0)
                builder.differentiate(loss, arithmetic: Arithmetic.self)
                let found = builder.gradients(
                    of: loss, cotangent: nil, withRespectTo: parts.map(\.id), arithmetic: Arithmetic.self)
                for (index, gradient) in found.enumerated() { builder.output("part\(index)", try #require(gradient)) }
            }
            let graph = try builder.build()
            let parameters = FloatArena(count: 64)
            // In training: gradients, then batch statistics.
            let statistics = FloatArena(count: 128)
            for parameter in graph.parameters {
                let values = HashingFixtures.uniform(parameter.name, parameter.shape.count)
                for (i, value) in values.enumerated() { parameters.base[parameter.offset + i] = 0.3 + value }
            }
            for buffer in graph.buffers {
                for (i, value) in HashingFixtures.input(buffer.name, buffer.shape.count).enumerated() {
                    statistics.base[buffer.offset + i] = value
                }
            }
            let memory: Executor.Memory =
                mode == .training
                ? .training(parameters: parameters, result: statistics, batchStatisticsOffset: 64)
                : .inference(parameters: parameters, statistics: statistics, areConstant: false)
            let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
            defer { pool.shutDown() }
            let executor = Executor(graph, memory: memory, kernels: KernelContext(pool: pool))
            for name in ["part0", "part1", "part2", "target"] {
                guard let view = executor.input(name) else { continue }
                view.base.update(from: HashingFixtures.uniform(name, view.count), count: view.count)
            }
            executor.run(.deterministic)
            var results = graph.outputs.map { output in
                (output.name, executor.output(output.name).map { Array($0.buffer) } ?? [])
            }
            if mode == .training { results.append(("parameters and statistics", Array(statistics.buffer))) }
            return results
        }
        let (joined, separate) = (try run(joined: true), try run(joined: false))
        #expect(joined.count == separate.count && joined.count == (mode == .training ? 5 : 1))
        for (a, b) in zip(joined, separate) {
            let largest = b.1.reduce(Float(0)) { max($0, abs($1)) }
            let worst = zip(a.1, b.1).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
            #expect(a.0 == b.0 && a.1.count == b.1.count && largest > 0, "\(a.0)")
            #expect(worst <= 2e-6 * largest, "\(a.0): \(worst) of \(largest)")
        }
    }

    /// PyTorch's `Linear(C·H·W, C'·H'·W')(x.flatten(1)).view(N, C', H', W')` with the imported weights.
    @Test func linearWeightsAreInPyTorchOrder() throws {
        let (picture, result): (Shape, Shape) = ([2, 3, 4], [3, 2, 5])
        let builder = GraphBuilder(mode: .inference)
        let x = builder.input("x", [2, 2, 3, 4])
        builder.output("y", x.linear("full", to: result, activation: .none))
        let graph = try builder.build()
        let parameters = FloatArena(count: 1024)
        var external: [String: [Float]] = [:]
        for parameter in graph.parameters {
            let values = HashingFixtures.uniform(parameter.name, parameter.shape.count)
            external[parameter.name] = values
            parameter.import(values, to: parameters.base)
            #expect(parameter.exported(from: parameters.base) == values)
        }
        #expect(graph.parameters.map(\.externalShape) == [[30, 24], [30]])
        let pool = ForkJoinPool(threadCount: 1)
        defer { pool.shutDown() }
        let executor = Executor(
            graph, memory: .inference(parameters: parameters, statistics: FloatArena(count: 0), areConstant: true),
            kernels: KernelContext(pool: pool))
        let input = try #require(executor.input("x"))
        let values = HashingFixtures.uniform("x", input.count)
        input.base.update(from: values, count: values.count)
        executor.run(.deterministic)
        let y = try #require(executor.output("y"))
        #expect(y.shape == [2, 3, 2, 5])
        let (w, b) = (try #require(external["full.weight"]), try #require(external["full.bias"]))
        for n in 0..<2 {
            for c in 0..<5 {
                for row in 0..<3 {
                    for column in 0..<2 {
                        let o = (c * 3 + row) * 2 + column
                        var sum = Double(b[o])
                        for i in 0..<4 {
                            for p in 0..<6 {
                                sum += Double(w[o * 24 + i * 6 + p]) * Double(values[(n * 6 + p) * picture[2] + i])
                            }
                        }
                        let found = y.base[((n * result[0] + row) * result[1] + column) * result[2] + c]
                        #expect(abs(Double(found) - sum) < 1e-6)
                    }
                }
            }
        }
    }

    /// Each layer is a row of the summary, with its parameters, and starts from what was asked for.
    @Test func summaryAndInitialValues() throws {
        let builder = GraphBuilder(mode: .training)
        let small = builder.input("x", [1, 16, 24, 3])
            .conv2D("first", to: 8, kernel: 7, stride: 2, padding: 3, activation: .none, initial: .he, hasBias: false)
            .leakyReLU(0.2).maxPool2D(3, stride: 2, padding: 1).responseNorm(radius: 2, bias: 1, scale: 0.1)
        let wide = small.transposedConv2D("up", to: 8, kernel: 4, stride: 2, padding: 1, initial: .bilinear)
            .transposedConv2D("out", to: 2, kernel: 2, stride: 1, padding: 0, initial: .torch, hasBias: false)
        _ = FeatureList(small).batchNormReLU("norm", epsilon: 1e-3, momentum: 0.1).upsampledBilinearly(
            2, alignedCorners: false)
        let full = wide.averagePool2D(1).linear(
            "full", to: [5], activation: .none, initial: .normal(deviation: 0.1, bias: 2))
        builder.output("y", full)
        #expect(
            builder.layers.enumerated().map { $1.row($0 + 1) } == [
                "Conv2d-1 [-1, 8, 8, 12] 1,176", "LeakyReLU-2 [-1, 8, 8, 12] 0", "MaxPool2d-3 [-1, 8, 4, 6] 0",
                "LocalResponseNorm-4 [-1, 8, 4, 6] 0", "ConvTranspose2d-5 [-1, 8, 8, 12] 1,032",
                "ConvTranspose2d-6 [-1, 2, 9, 13] 64", "BatchNorm2d-7 [-1, 8, 4, 6] 16", "Upsample-8 [-1, 8, 8, 12] 0",
                "AvgPool2d-9 [-1, 2, 9, 13] 0", "Linear-10 [-1, 5] 1,175",
            ])
        let parameters = Dictionary(uniqueKeysWithValues: try builder.build().parameters.map { ($0.name, $0) })
        #expect(parameters["first.bias"] == nil && parameters["out.bias"] == nil)
        #expect(parameters["first.weight"]?.initializer == .normal(deviation: (2.0 / 147).squareRoot()))
        #expect(parameters["up.weight"]?.initializer == .bilinear)
        #expect(parameters["up.bias"]?.initializer == .constant(0))
        // PyTorch counts a transposed convolution's outputs.
        #expect(parameters["out.weight"]?.initializer == .uniform(bound: 1 / (2.0 * 4).squareRoot()))
        #expect(parameters["full.bias"]?.initializer == .constant(2))
    }

    /// A description that does not fit is refused in words.
    @Test func shapesThatDoNotFit() {
        let builder = GraphBuilder(mode: .training)
        let x = builder.input("x", [1, 5, 6, 3])
        _ = x.maxPool2D(2)
        _ = x.averagePool2D(2)
        _ = x.maxPool2D(3, stride: 2, padding: 2)
        _ = x.cropped(top: 1, left: 0, height: 5, width: 2)
        _ = x.dissimilarity(to: x, range: 1)
        do {
            _ = try builder.build()
            Issue.record("accepted")
        } catch {
            let text = "\(error)"
            for part in [
                "5x6 is not a multiple of 2", "padding 2 is more than half of a window of 3",
                "5x2 by steps of 1 from 1, 0 does not fit into 5x6", "1x5x6x3 is no map of one value per pixel",
            ] {
                #expect(text.contains(part), "\(part) in \(text)")
            }
        }
    }
}
