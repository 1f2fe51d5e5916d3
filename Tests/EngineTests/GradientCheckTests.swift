import Kernels
import Models
import Testing
import Threads

@testable import Training

/// Every network, in every variant and with every kind of loss, has the gradient that it says it has; and a wrong one
/// would be found.
@Suite struct GradientCheckTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let model: String
        let settings: String
        let size: (height: Int, width: Int)
        let batch: Int
        /// Gradients that must stand out of the rounding, of all: the others are zero by nature (biases in front of
        /// normalisations) or nearly so.
        let share: Double
        /// Every so many parameters are looked at.
        let every: Int

        init(
            _ model: String, _ settings: String = "", _ height: Int, _ width: Int, batch: Int = 2, share: Double,
            every: Int = 1
        ) {
            (self.model, self.settings, size, self.batch) = (model, settings, (height, width), batch)
            (self.share, self.every) = (share, every)
        }

        var testDescription: String { "\(model) \(settings)" }

        func network() throws -> any Network {
            try NetworkRegistry.make(
                model,
                settings: settings.split(separator: " ").map {
                    let parts = $0.split(separator: "=").map(String.init)
                    return (name: parts[0], value: parts[1])
                })
        }
    }

    private static let deep3D = "width=16 fc=64 input-height=32 input-width=64"
    private static let dense = "encoder=small growth=4 width=32"
    static let cases: [Case] = [
        Case("wnet", "width=8 levels=8", 32, 48, share: 0.7),
        Case("wnet-plus", "width=8 levels=8", 32, 48, share: 0.7, every: 2),
        Case("wnet-plus", "width=8 levels=8 range=positive", 32, 48, share: 0.7, every: 7),
        Case("deep3d", deep3D + " variant=paper", 32, 64, share: 0.6),
        Case("deep3d", deep3D + " variant=mxnet", 32, 64, share: 0.6, every: 2),
        Case("deep3d", deep3D + " variant=tf", 32, 64, share: 0.6),
        Case("densedepth", dense, 64, 64, share: 0.7),
        Case("densedepth", dense + " style=article", 64, 64, share: 0.7, every: 5),
        Case("densedepth", dense + " style=article loss=described", 64, 64, share: 0.7, every: 5),
        Case("masknet3", "loss=bce-rmse", 16, 24, share: 0.7),
        Case("masknet3", "loss=bce-dice", 16, 24, share: 0.7),
        Case("masknet3", "loss=bce-ssim", 16, 24, share: 0.7),
        Case("depthmasknet8", "feed=code", 64, 64, share: 0.6, every: 7),
        Case("depthmasknet8", "feed=diagram loss=ssim-dice", 64, 64, share: 0.6, every: 13),
        Case("depthmasknet8", "loss=rmse-bce-dice", 64, 64, share: 0.6, every: 13),
        Case("eigen-coarse", "hidden=64", 228, 304, batch: 1, share: 0.9),
        Case("eigen-fine", "hidden=64 variant=released", 228, 304, batch: 1, share: 0.9),
        Case("eigen-fine", "hidden=64 variant=paper", 228, 304, batch: 1, share: 0.9),
    ]

    private static func check(
        _ own: Case, only: (String) -> Bool = { _ in true },
        spoiling: @escaping (String, UnsafeMutableBufferPointer<Float>) -> Void = { _, _ in }
    ) throws -> [GradientCheck.Row] {
        let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
        defer { pool.shutDown() }
        return try GradientCheck.run(
            network: own.network(), batch: own.batch, height: own.size.height, width: own.size.width, seed: 1,
            tolerance: 0.02, kernels: KernelContext(pool: pool), only: only, spoiling: spoiling
        ).rows
    }

    @Test(arguments: cases)
    func gradientsAreThoseOfTheLoss(_ own: Case) throws {
        let trained = try ModelState.empty(for: own.network()).parameters.filter(\.isTrained).map(\.name)
        let asked = Set(stride(from: 0, to: trained.count, by: own.every).map { trained[$0] })
        let rows = try Self.check(own, only: asked.contains)
        #expect(rows.count == asked.count)
        let wrong = rows.filter { $0.verdict == .disagrees }
        #expect(wrong.isEmpty, "\(wrong)")
        let clear = rows.filter { $0.verdict == .agrees }
        let hidden = rows.filter { $0.verdict == .hidden }.map { "\($0.parameter) \($0.note)" }
        #expect(Double(clear.count) >= own.share * Double(rows.count), "hidden: \(hidden)")

        // The same errors in each network: a factor of 1.1, seen in every one of some tensors; a wrong sign in one.
        let names = clear.map(\.parameter)
        let chosen = Set([names.count / 5, names.count / 2, names.count - 1].map { names[$0] })
        let larger = try Self.check(
            own, only: chosen.contains,
            spoiling: { _, gradient in
                for i in gradient.indices { gradient[i] *= 1.1 }
            })
        #expect(larger.count == chosen.count)
        #expect(larger.allSatisfy { $0.verdict == .disagrees }, "\(larger)")
        let one = names[names.count / 3]
        let turned = try Self.check(
            own, only: { $0 == one },
            spoiling: { _, gradient in
                for i in gradient.indices { gradient[i] = -gradient[i] }
            })
        #expect(turned.map(\.verdict) == [.disagrees], "\(turned)")
    }

    /// Numbers of one tensor that have changed places, a gradient that is missing, and one where there is none.
    @Test func otherErrors() throws {
        let own = Case("masknet3", "loss=bce-rmse", 16, 24, share: 1)
        func verdict(
            _ name: String, _ spoiling: @escaping (UnsafeMutableBufferPointer<Float>) -> Void
        ) throws -> GradientCheck.Verdict? {
            try Self.check(own, only: { $0 == name }, spoiling: { _, gradient in spoiling(gradient) }).first?.verdict
        }
        #expect(try verdict("body.3.weight") { _ in } == .agrees)
        #expect(
            try verdict("body.3.weight") {
                var numbers = $0
                numbers.reverse()
            } == .disagrees)
        #expect(try verdict("body.6.weight") { $0.update(repeating: 0) } == .disagrees)
        // A bias in front of a normalisation has no gradient.
        #expect(try verdict("body.3.bias") { _ in } == .hidden)
        #expect(try verdict("body.3.bias") { $0.update(repeating: 0.01) } == .disagrees)
    }
}
