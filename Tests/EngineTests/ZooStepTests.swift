import Foundation
import Kernels
import Models
import Tensors
import Testing
import Threads
import Training

/// A training step of the mask and depth networks against PyTorch in float64: loss, every gradient, statistics after it;
/// on weights, pictures and maps that integer hashing makes.
@Suite struct ZooStepTests {
    struct Step: Decodable {
        let model: String
        let settings: [[String]]
        let loss: Double
        /// Length of a tensor, and its dot product with u(name, i).
        let gradients: [String: [Double]]
        let statistics: [String: [Double]]
    }

    static let cases = [
        "masknet3/ssim", "masknet3/bce-rmse", "depthmasknet8/bce-rmse", "depthmasknet8/rmse-bce-dice",
        "eigen-coarse/plain", "eigen-fine/released",
    ]

    /// Two samples, as the reference has them.
    static func fields(_ network: any Network) -> [NamedTensor] {
        if let size = network.fixedSize {
            let picture = HashingFixtures.input("x0", 2 * 3 * size.height * size.width).map { $0 * 255 }
            var depth = HashingFixtures.input("t", 2 * 55 * 74).map { $0 * 4 - 1 }
            for index in depth.indices {
                let (sample, row, column) = (index / 4070, index % 4070 / 74, index % 74)
                if row < 6 && column < 20 || sample == 0 && (20..<40).contains(row) { depth[index] = .nan }
            }
            return [
                NamedTensor("image", [2, 3, size.height, size.width], picture),
                NamedTensor("depth", [2, 1, 55, 74], depth),
            ]
        }
        func picture(_ name: String, _ values: String) -> NamedTensor {
            NamedTensor(name, [2, 3, 64, 64], HashingFixtures.input(values, 2 * 3 * 64 * 64).map { $0 * 4 - 2 })
        }
        // Numbers at which no value is so close to 0 that rounding decides on which side of ReLU's kink it lies.
        let mask = HashingFixtures.input("mask.6", 2 * 64 * 64).map { Float($0 > 0.7 ? 1 : 0) }
        let depth = HashingFixtures.input("depth.6", 2 * 64 * 64)
        return [
            picture("background", "x0.6"), picture("image", "x1.6"), NamedTensor("mask", [2, 1, 64, 64], mask),
            NamedTensor("depth", [2, 1, 64, 64], depth),
        ]
    }

    @Test(arguments: cases)
    func aStepOfPyTorch(_ name: String) throws { try Self.check(name, of: "zoo_steps", fields: Self.fields) }

    /// Takes a fixture's step and compares.
    static func check(_ name: String, of fixture: String, fields: (any Network) -> [NamedTensor]) throws {
        let steps = try JSONDecoder().decode(
            [String: Step].self, from: Data(contentsOf: ZooGolden.fixture(fixture, "json")))
        let step = try #require(steps[name])
        let network = try NetworkRegistry.make(step.model, settings: step.settings.map { (name: $0[0], value: $0[1]) })
        let state = try ModelState.empty(for: network)
        HashingFixtures.fill(state)
        let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let results = try DebugStep.run(
            network: network, state: state,
            fields: fields(network).filter { field in network.fields.contains { $0.name == field.name } },
            mode: .train, kernels: KernelContext(pool: pool))
        func values(_ name: String) throws -> [Float] {
            try #require(results.first { $0.name == name }, "\(name)").values
        }
        let loss = Double(try values("train.loss")[0])
        #expect(abs(loss - step.loss) < 1e-5 * step.loss, "loss \(loss), expected \(step.loss)")
        #expect(step.gradients.count == results.count { $0.name.hasPrefix("grad.") })
        // Where rounding decides on which side of ReLU's kink a value lies, single tensors move; the gradient as a whole
        // hardly does.
        var (wrong, all) = (0.0, 0.0)
        for (prefix, tensors, tolerance) in [
            ("grad.", step.gradients, 1e-2), ("after.", step.statistics, 1e-5),
        ] {
            for (name, expected) in tensors {
                let found = try values(prefix + name)
                // A bias in front of a normalisation has no gradient; what is found is rounding.
                if expected[0] < 1e-9 { continue }
                let length = found.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
                let random = HashingFixtures.uniform(name, found.count)
                let dot = zip(found, random).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                #expect(
                    abs(length - expected[0]) < tolerance * expected[0], "\(name): length \(length), not \(expected[0])"
                )
                #expect(abs(dot - expected[1]) < tolerance * expected[0], "\(name): product \(dot), not \(expected[1])")
                if prefix == "grad." {
                    // Of uniform numbers of variance 1/12.
                    wrong += 12 * (dot - expected[1]) * (dot - expected[1])
                    all += expected[0] * expected[0]
                }
            }
        }
        #expect((wrong / all).squareRoot() < 2e-4, "the whole gradient is off by \((wrong / all).squareRoot())")
    }
}
