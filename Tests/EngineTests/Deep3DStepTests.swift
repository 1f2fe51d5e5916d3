import Foundation
import Kernels
import Models
import Tensors
import Testing
import Threads
import Training

/// A training step of each variant against PyTorch in float64, on 2 pairs of 32x64, fc 32, without dropout, on weights and
/// pictures that integer hashing makes: loss, every gradient, statistics after it.
@Suite struct Deep3DStepTests {
    struct Step: Decodable {
        let settings: [[String]]
        let loss: Double
        /// Length of a tensor, and its dot product with u(name, i).
        let gradients: [String: [Double]]
        let statistics: [String: [Double]]
    }

    @Test(arguments: ["paper", "mxnet", "tf"])
    func aStepOfPyTorch(_ variant: String) throws {
        let steps = try JSONDecoder().decode(
            [String: Step].self, from: Data(contentsOf: ZooGolden.fixture("deep3d_steps", "json")))
        let step = try #require(steps["deep3d/" + variant])
        let network = try NetworkRegistry.make("deep3d", settings: step.settings.map { (name: $0[0], value: $0[1]) })
        let state = try ModelState.empty(for: network)
        HashingFixtures.fill(state)
        let (left, right) = (
            HashingFixtures.input("x0", 2 * 3 * 32 * 64), HashingFixtures.input("x1", 2 * 3 * 32 * 64)
        )
        // tf measures in 0…1.
        let unit: Float = variant == "tf" ? 1 : 255
        let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let results = try DebugStep.run(
            network: network, state: state,
            fields: [
                NamedTensor("left", [2, 3, 32, 64], left.map { $0 * 255 - 128 }),
                NamedTensor("right", [2, 3, 32, 64], right.map { $0 * unit }),
            ], mode: .train, kernels: KernelContext(pool: pool))
        func values(_ name: String) throws -> [Float] {
            try #require(results.first { $0.name == name }, "\(name)").values
        }
        let loss = Double(try values("train.loss")[0])
        #expect(abs(loss - step.loss) < 1e-5 * step.loss, "loss \(loss), expected \(step.loss)")
        #expect(step.gradients.count == results.count { $0.name.hasPrefix("grad.") })
        for (prefix, tensors, tolerance) in [("grad.", step.gradients, 2e-3), ("after.", step.statistics, 1e-5)] {
            for (name, expected) in tensors {
                let found = try values(prefix + name)
                let length = found.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
                let random = HashingFixtures.uniform(name, found.count)
                let dot = zip(found, random).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                // The random vector's length is about √(count / 12), of which a difference in a fixed direction sees little.
                let extent = expected[0] * min(max((Double(found.count) / 12).squareRoot(), 1), 30)
                let difference = max(abs(length - expected[0]) / expected[0], abs(dot - expected[1]) / extent)
                #expect(difference < tolerance, "\(name): \(length), \(dot), not \(expected)")
            }
        }
    }
}
