import Kernels
import Models
import Testing
import Threads
import Training

/// W-net's settings beyond the published ones: the whole loss against plain loops in double over the network's own
/// probabilities.
@Suite struct WNetPlusTests {
    private static let (height, width) = (32, 64)

    private static func evaluation(_ model: String, _ settings: [(String, String)]) throws -> [String: NamedTensor] {
        let network = try NetworkRegistry.make(
            model,
            settings: ([("width", "8"), ("levels", "8"), ("dropout", "0")] + settings).map {
                (name: $0.0, value: $0.1)
            })
        let state = ModelState(
            inferenceGraph: try NetworkGraph(network, .evaluation, batch: 1, height: height, width: width).graph)
        HashingFixtures.fill(state)
        let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let inputs = ["left", "right"].map { HashingFixtures.picture($0, batch: 2, height: height, width: width) }
        let results = try DebugStep.run(
            network: network, state: state, fields: inputs, mode: .eval, kernels: KernelContext(pool: pool))
        return Dictionary(uniqueKeysWithValues: results.map { ($0.name, $0) })
    }

    /// Values by picture, channel, row, column.
    private struct Pictures {
        let channels: Int
        let values: [Float]

        init(_ tensor: NamedTensor?) throws {
            let tensor = try #require(tensor)
            channels = tensor.values.count / (2 * height * width)
            values = tensor.values
        }

        subscript(_ n: Int, _ c: Int, _ y: Int, _ x: Int) -> Double {
            Double(values[((n * channels + c) * height + y) * width + x])
        }
    }

    private static func ssim(_ a: Pictures, _ b: Pictures, _ n: Int, _ c: Int, _ y: Int, _ x: Int) -> Double {
        var (ma, mb, va, vb, vab) = (0.0, 0.0, 0.0, 0.0, 0.0)
        let places = (-1...1).flatMap { dy in (-1...1).map { (y + dy, x + $0) } }
        for (v, u) in places {
            ma += a[n, c, v, u] / 9
            mb += b[n, c, v, u] / 9
        }
        for (v, u) in places {
            va += (a[n, c, v, u] - ma) * (a[n, c, v, u] - ma) / 9
            vb += (b[n, c, v, u] - mb) * (b[n, c, v, u] - mb) / 9
            vab += (a[n, c, v, u] - ma) * (b[n, c, v, u] - mb) / 9
        }
        return (2 * ma * mb + 1e-4) * (2 * vab + 9e-4) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4))
    }

    @Test(arguments: [
        [("occlusion", "none"), ("consistency", "0.5")],
        [("occlusion", "masked"), ("consistency", "0.5"), ("similarity", "1")],
        [("occlusion", "masked"), ("range", "positive"), ("similarity", "0.85"), ("peak", "1"), ("consistency", "2")],
    ])
    func lossIsTheFormula(_ settings: [(String, String)]) throws {
        let given = Dictionary(uniqueKeysWithValues: settings)
        let results = try Self.evaluation("wnet", settings)
        let (height, width) = (Self.height, Self.width)
        let lowest = given["range"] == "positive" ? 0 : -4
        let similarity = Double(given["similarity"] ?? "0") ?? 0
        let probabilities = try ["left", "right"].map { try Pictures(results["eval.prob.\($0)"]) }
        // The head `left` rebuilds the right view.
        let rebuilt = try ["right_hat", "left_hat"].map { try Pictures(results["eval.\($0)"]) }
        let views = try ["right", "left"].map {
            try Pictures(HashingFixtures.picture($0, batch: 2, height: height, width: width))
        }
        let signs = [1.0, -1.0]
        func disparity(_ head: Int, _ n: Int, _ y: Int, _ x: Int) -> Double {
            (0..<8).reduce(0) { $0 + probabilities[head][n, $1, y, x] * Double(lowest + $1) }
        }
        var (reconstruction, contradiction) = (0.0, 0.0)
        for head in 0..<2 {
            var (dissimilar, dissimilarWeight, difference, weight) = (0.0, 0.0, 0.0, 0.0)
            for n in 0..<2 {
                for y in 0..<height {
                    for x in 0..<width {
                        // Rebuilt from the other view, zero outside.
                        for c in 0..<3 {
                            let expected = (0..<8).reduce(0.0) { sum, k in
                                let u = x + Int(signs[head]) * (lowest + k)
                                return (0..<width).contains(u)
                                    ? sum + probabilities[head][n, k, y, x] * views[1 - head][n, c, y, u] : sum
                            }
                            #expect(abs(rebuilt[head][n, c, y, x] - expected) < 1e-5)
                        }
                        let others = 1 - head
                        let covered = (0..<width).reduce(0.0) {
                            $0 + max(0, 1 - abs(Double($1) + signs[others] * disparity(others, n, y, $1) - Double(x)))
                        }
                        let w = given["occlusion"] == "masked" ? min(1, covered) : 1
                        weight += 3 * w
                        for c in 0..<3 { difference += w * abs(rebuilt[head][n, c, y, x] - views[head][n, c, y, x]) }
                        if (1..<height - 1).contains(y) && (1..<width - 1).contains(x) {
                            dissimilarWeight += 3 * w
                            for c in 0..<3 {
                                dissimilar += w * (1 - Self.ssim(rebuilt[head], views[head], n, c, y, x)) / 2
                            }
                        }
                        let own = disparity(head, n, y, x)
                        let at = Double(x) + signs[head] * own
                        guard at >= 0, at <= Double(width - 1) else { continue }
                        let below = min(Int(at), width - 2)
                        let there =
                            disparity(others, n, y, below) * (1 - at + Double(below))
                            + disparity(others, n, y, below + 1) * (at - Double(below))
                        contradiction += w * abs(own - there) / Double(2 * height * width) / 2
                    }
                }
            }
            reconstruction +=
                (similarity * dissimilar / dissimilarWeight + (1 - similarity) * difference / weight) / 2
        }
        func found(_ name: String) throws -> Double { Double(try #require(results["eval.\(name)"]?.values.first)) }
        #expect(abs(try found("reconstruction") - reconstruction) < 1e-4 * reconstruction)
        #expect(abs(try found("consistency") - contradiction) < 1e-4 * contradiction)
        let weight = Double(given["consistency"] ?? "0") ?? 0
        let loss = try reconstruction + 0.001 * found("smoothness") + weight * contradiction
        #expect(abs(try found("loss") - loss) < 1e-4 * loss)

        let peak = Int(given["peak"] ?? "0") ?? 0
        let maps = try ["left", "right"].map { try Pictures(results["eval.disparity.\($0)"]) }
        for head in 0..<2 {
            for y in 0..<height {
                for x in 0..<width {
                    let p = (0..<8).map { probabilities[head][1, $0, y, x] }
                    let best = p.indices.reduce(0) { p[$1] > p[$0] ? $1 : $0 }
                    let near = p.indices.filter { peak == 0 || abs($0 - best) <= peak }
                    let mass = near.reduce(0) { $0 + p[$1] }
                    let expected = near.reduce(0) { $0 + p[$1] * Double(lowest + $1) } / mass
                    #expect(abs(maps[head][1, 0, y, x] - expected) < 1e-4)
                }
            }
        }
    }

    /// The same parameters under the same names, so that weights of one load into the other; only the published losses by
    /// default.
    @Test func parametersAreThoseOfWNet() throws {
        let graphs = try ["wnet", "wnet-plus"].map {
            try NetworkGraph(NetworkRegistry.make($0, settings: []), .evaluation, batch: 1, height: 32, width: 64)
        }
        #expect(graphs[0].graph.parameters.map(\.name) == graphs[1].graph.parameters.map(\.name))
        #expect(graphs[0].graph.parameterCount == graphs[1].graph.parameterCount)
        #expect(graphs[0].lossNames == ["loss", "reconstruction", "smoothness"])
        #expect(graphs[1].lossNames == ["loss", "reconstruction", "smoothness", "consistency"])
    }
}
