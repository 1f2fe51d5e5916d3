import Execution
import Foundation
import Graphs
import Kernels
import Metrics
import Tensors
import Testing
import Threads
import Training

@testable import Models

/// DepthMaskNet8 and the networks of Eigen et al. against independent implementations.
@Suite struct MaskAndDepthTests {
    static func network(_ name: String, _ settings: [(String, String)] = []) throws -> any Network {
        try NetworkRegistry.make(name, settings: settings.map { (name: $0.0, value: $0.1) })
    }

    static func rows(_ network: any Network, height: Int, width: Int) throws -> [String] {
        try NetworkGraph(network, .inspection, batch: 1, height: height, width: width).layers.enumerated()
            .map { $1.row($0 + 1) }
    }

    @Test func depthMaskNet8() throws {
        try ZooGolden.check(
            "depthmasknet8", Self.network("depthmasknet8"), inputs: ["background", "image"],
            outputs: ["mask.logits", "depth.logits"])
    }

    /// All 147 rows, of both ways to feed the decoder of depth: they differ in sums only.
    @Test(arguments: ["code", "diagram"])
    func depthMaskNet8HasThePublishedLayers(_ feed: String) throws {
        let network = try Self.network("depthmasknet8", [("feed", feed)])
        let rows = try Self.rows(network, height: 224, width: 224)
        let published = try ZooGolden.publishedTables()[1]
        #expect(rows.count == 147 && published.count == 147)
        #expect(rows == published)
        #expect(try ModelState.empty(for: network).parameterCount == 7_083_874)
        #expect(try ModelState.empty(for: network).statisticSlots.reduce(0) { $0 + $1.count } == 9_024)
    }

    /// Shapes that do not fit are named, and nothing that follows from them.
    @Test func causesAreNamedAlone() throws {
        let network = try Self.network("depthmasknet8")
        let error = try #require(throws: GraphError.self) {
            try NetworkGraph(network, .training, batch: 1, height: 32, width: 32)
        }
        #expect(error.problems.count == 3, "\(error)")
        #expect(error.problems.allSatisfy { $0.reason.contains("needs more than one value per channel") }, "\(error)")
    }

    @Test func diagramFeedsTheMaskIntoTheDepth() throws {
        func outputs(_ feed: String) throws -> [String: [Float]] {
            let network = try Self.network("depthmasknet8", [("feed", feed)])
            let state = try ModelState.empty(for: network)
            HashingFixtures.fill(state)
            let fields = ["background", "image"].map { HashingFixtures.picture($0, batch: 1, height: 32, width: 32) }
            let results = try Self.step(network, state, fields, .eval)
            return Dictionary(uniqueKeysWithValues: results.map { ($0.name, $0.values) })
        }
        let (code, diagram) = (try outputs("code"), try outputs("diagram"))
        #expect(code["eval.mask.logits"] == diagram["eval.mask.logits"])
        #expect(code["eval.depth.logits"] != diagram["eval.depth.logits"])
    }

    @Test func eigenBothStages() throws {
        try ZooGolden.check(
            "eigen", Self.network("eigen-fine"), inputs: ["image"], outputs: ["coarse", "depth"], range: 0...255)
    }

    @Test func eigenCoarse() throws {
        try ZooGolden.check(
            "eigen", Self.network("eigen-coarse"), inputs: ["image"], outputs: ["depth"], range: 0...255,
            parameterCount: 70_757_734)
    }

    @Test func eigenHasThePublishedSizes() throws {
        let rows = try Self.rows(Self.network("eigen-fine"), height: 228, width: 304)
        // Sizes and counts of the release.
        for row in [
            "[-1, 96, 56, 75] 34,944", "[-1, 256, 27, 37] 614,656", "[-1, 384, 13, 18] 885,120",
            "[-1, 384, 13, 18] 1,327,488", "[-1, 256, 13, 18] 884,992", "[-1, 4096] 50,335,744",
            "[-1, 1, 55, 74] 16,674,790", "[-1, 64, 111, 149] 15,616", "[-1, 64, 55, 74] 102,464",
            "[-1, 1, 55, 74] 1,601",
        ] { #expect(rows.contains { $0.hasSuffix(row) }, "\(row)") }
        let paper = try ModelState.empty(for: Self.network("eigen-fine", [("variant", "paper")]))
        #expect(paper.parameterCount == 70_757_734 + 119_437)
    }

    /// The coarse network's weights have neither gradient nor rate while the fine one is trained; others have the published
    /// rates and decays.
    @Test func eigenRates() throws {
        let fine = try ModelState.empty(for: Self.network("eigen-fine", [("hidden", "8")]))
        #expect(fine.parameters.filter { !$0.isTrained }.allSatisfy { $0.name.hasPrefix("coarse.") })
        #expect(fine.parameters.filter(\.isTrained).count == 6)
        for (model, name, rate, decay) in [
            ("eigen-coarse", "coarse.conv1.weight", 0.001, 5e-4), ("eigen-coarse", "coarse.conv5.bias", 0.001, 0),
            ("eigen-coarse", "coarse.full1.weight", 0.1, 1e-4), ("eigen-coarse", "coarse.full2.bias", 0.1, 0),
            ("eigen-fine", "fine.conv1.weight", 0.001, 1e-4), ("eigen-fine", "fine.conv2.weight", 0.01, 1e-4),
            ("eigen-fine", "fine.conv3.weight", 0.001, 1e-4), ("eigen-fine", "fine.conv3.bias", 0.001, 0),
        ] as [(String, String, Double, Double)] {
            let recipe = try Self.network(model).recipe
            let group = try #require(recipe.group(of: name))
            let base = try #require(recipe.options.first { $0.name == "weight-decay" }.flatMap { Double($0.value) })
            #expect(abs(Double(group.learningRate) - rate) < 1e-8, "\(name)")
            #expect(abs(Double(group.weightDecay) * base - decay) < 1e-10, "\(name)")
        }
    }

    static func step(
        _ network: any Network, _ state: ModelState, _ fields: [NamedTensor], _ mode: DebugStep.Mode
    ) throws -> [NamedTensor] {
        let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
        defer { pool.shutDown() }
        return try DebugStep.run(
            network: network, state: state, fields: fields, mode: mode, kernels: KernelContext(pool: pool))
    }

    /// Each named loss against its terms, which are computed here in double from the network's own maps; SSIM's term from
    /// the metric, which has been checked by itself.
    @Test(arguments: OverlayLoss.names)
    func overlayLosses(_ name: String) throws {
        let network = try Self.network("depthmasknet8", [("loss", name)])
        let state = try ModelState.empty(for: network)
        HashingFixtures.fill(state)
        let (height, width) = (32, 32)
        let depth = HashingFixtures.input("depth", height * width)
        let mask = HashingFixtures.input("mask", height * width).map { Float($0 > 0.7 ? 1 : 0) }
        var fields = ["background", "image"].map { HashingFixtures.picture($0, batch: 1, height: height, width: width) }
        fields += [
            NamedTensor("mask", [1, 1, height, width], mask), NamedTensor("depth", [1, 1, height, width], depth),
        ]
        let results = try Self.step(network, state, fields, .eval)
        func values(_ name: String) throws -> [Double] {
            try #require(results.first { $0.name == "eval.\(name)" }).values.map(Double.init)
        }
        func term(_ term: String, _ map: String) throws -> Double {
            let (x, p) = (try values(map + ".logits"), try values(map))
            let y = (map == "mask" ? mask : depth).map(Double.init)
            let count = Double(y.count)
            switch term {
            case "bce":
                return zip(x, y).reduce(0) { $0 + max($1.0, 0) - $1.0 * $1.1 + log1p(exp(-abs($1.0))) } / count
            case "rmse":
                return (zip(p, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / count + 1e-6).squareRoot()
            case "dice":
                let common = zip(p, y).reduce(0) { $0 + $1.0 * $1.1 }
                return 1 - (2 * common + 1) / (p.reduce(0, +) + y.reduce(0, +) + 1)
            default:
                return 1 - Self.similarity(p, y, height: height, width: width)
            }
        }
        let parts = name.split(separator: "-").map(String.init)
        let expected =
            parts.count == 3
            ? try 2 * term("rmse", "mask") + term("bce", "depth") + 2 * term("dice", "depth")
            : try term(parts[0], "mask") + 2 * term(parts[1], "depth")
        let found = try values("loss")[0]
        #expect(abs(found - expected) < 1e-5 * max(1, expected), "\(found) instead of \(expected)")
        #expect(try values("mask.\(parts[0])").count == 1)
    }

    /// SSIM of one map by plain loops: 11 x 11 Gaussian of deviation 1.5, whole windows, range 1.
    static func similarity(_ x: [Double], _ y: [Double], height: Int, width: Int) -> Double {
        let line = (0..<11).map { exp(-Double(($0 - 5) * ($0 - 5)) / 4.5) }
        let total = line.reduce(0, +)
        var (sum, count) = (0.0, 0.0)
        for top in 0...(height - 11) {
            for left in 0...(width - 11) {
                var (mx, my, xx, yy, xy) = (0.0, 0.0, 0.0, 0.0, 0.0)
                for i in 0..<11 {
                    for j in 0..<11 {
                        let weight = line[i] * line[j] / (total * total)
                        let (a, b) = (x[(top + i) * width + left + j], y[(top + i) * width + left + j])
                        mx += weight * a
                        my += weight * b
                        xx += weight * a * a
                        yy += weight * b * b
                        xy += weight * a * b
                    }
                }
                let (c1, c2) = (1e-4, 9e-4)
                sum +=
                    (2 * mx * my + c1) / (mx * mx + my * my + c1) * (2 * (xy - mx * my) + c2)
                    / (xx - mx * mx + yy - my * my + c2)
                count += 1
            }
        }
        return sum / count
    }

    /// The published loss of the logits in a fixture, by PyTorch in float64, with unknown pixels.
    @Test func scaleInvariantLoss() throws {
        let shape: Shape = [2, 24, 32, 1]
        let (a, b) = (HashingFixtures.input("a", shape.count), HashingFixtures.input("b", shape.count))
        let known = HashingFixtures.input("mask", shape.count)
        let builder = GraphBuilder(mode: .inference)
        let (p, t) = (builder.input("p", shape), builder.input("t", shape))
        builder.output("loss", p.scaleInvariantError(to: t, balance: 0.5))
        let pool = ForkJoinPool(threadCount: 1)
        defer { pool.shutDown() }
        let executor = Executor(
            try builder.build(),
            memory: .calibration(parameters: FloatArena(count: 0), batchStatistics: FloatArena(count: 0)),
            kernels: KernelContext(pool: pool))
        for i in 0..<shape.count {
            executor.input("p")?.base[i] = (a[i] - 0.5) * 4
            executor.input("t")?.base[i] = known[i] > 0.3 ? (b[i] - 0.5) * 4 : .nan
        }
        executor.run(.deterministic)
        let found = Double(try #require(executor.output("loss")).base[0])
        #expect(abs(found - 2.482873435326587) < 1e-5 * 2.48)
    }

    /// Depth that is not positive is unknown, like NaN: metres 0 must not become −∞.
    @Test func depthOfZeroIsUnknown() {
        #expect(Eigen.encoding.isKnown(0) == false && Eigen.encoding.isKnown(.nan) == false)
        let metres: Float = 3.7
        #expect(abs(Eigen.encoding.decoded(Eigen.encoding.encoded(metres, channel: 0), channel: 0) - metres) < 1e-5)
    }
}
