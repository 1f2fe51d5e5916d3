import Kernels
import Optimizers
import Tensors
import Testing
import Threads

/// Three steps of PyTorch 2 on p = [1, -2, 0.5, 3] with g = [0.1, -0.2, 0.3, 0]·(1, 2, -0.3) + 0.05·p, made by
///
///     p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 3.0])); o = make([p])
///     for s in range(3):
///         p.grad = torch.tensor([0.1, -0.2, 0.3, 0.0]) * (s + 1) * (1 if s != 2 else -0.1) + 0.05 * p.detach()
///         o.step(); print(p.detach().tolist())
enum OptimizerCase: String, CaseIterable {
    case plain, momentum, nesterov, adam, adamDecay, adamW, amsgrad

    func make(_ count: Int, spans: [UpdateSpan]? = nil) -> (any Optimizer, learningRate: Double) {
        switch self {
        case .plain: (SGD(parameterCount: count, settings: .init(), spans: spans), 0.1)
        case .momentum: (SGD(parameterCount: count, settings: .init(momentum: 0.9), spans: spans), 0.1)
        case .nesterov:
            (
                SGD(
                    parameterCount: count, settings: .init(momentum: 0.9, weightDecay: 0.01, isNesterov: true),
                    spans: spans),
                0.1
            )
        case .adam: (Adam(parameterCount: count, spans: spans), 0.01)
        case .adamDecay: (Adam(parameterCount: count, settings: .init(weightDecay: 0.1), spans: spans), 0.01)
        case .adamW:
            (Adam(parameterCount: count, settings: .init(weightDecay: 0.1, isDecoupled: true), spans: spans), 0.01)
        case .amsgrad:
            (Adam(parameterCount: count, settings: .init(beta1: 0.8, beta2: 0.9, isAMSGrad: true), spans: spans), 0.01)
        }
    }

    /// `O.SGD(p, 0.1)`, `O.SGD(p, 0.1, momentum=0.9)`, `O.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01)`,
    /// `O.Adam(p, 0.01)`, `O.Adam(p, 0.01, weight_decay=0.1)`, `O.AdamW(p, 0.01, weight_decay=0.1)`,
    /// `O.Adam(p, 0.01, betas=(0.8, 0.9), amsgrad=True)`
    var expected: [Float] {
        switch self {
        case .plain:
            [
                0.985000014, -1.97000003, 0.467500001, 2.9849999, 0.960075021, -1.92015004, 0.405162513, 2.97007489,
                0.958274662, -1.91654932, 0.412136704, 2.95522451,
            ]
        case .momentum:
            [
                0.985000014, -1.97000003, 0.467500001, 2.9849999, 0.946574986, -1.89314997, 0.375912488, 2.95657492,
                0.910259604, -1.82051921, 0.300604165, 2.91620946,
            ]
        case .nesterov:
            [
                0.969600022, -1.93920004, 0.437299997, 2.96580005, 0.907586575, -1.81517315, 0.29158476, 2.9174099,
                0.870363832, -1.74072766, 0.230578423, 2.85661554,
            ]
        case .adam:
            [
                0.99000001, -1.99000001, 0.49000001, 2.99000001, 0.980170369, -1.9801712, 0.480306268, 2.98000097,
                0.972171724, -1.97216356, 0.473442197, 2.97000337,
            ]
        case .adamDecay:
            [
                0.99000001, -1.99000001, 0.49000001, 2.99000001, 0.98004806, -1.98004925, 0.480239362, 2.98000097,
                0.970944405, -1.97093451, 0.472845316, 2.97000337,
            ]
        case .adamW:
            [
                0.989000022, -1.98800004, 0.489500016, 2.98699999, 0.978181303, -1.97618318, 0.479316711, 2.97401428,
                0.969206333, -1.96620119, 0.471973807, 2.96104336,
            ]
        case .amsgrad:
            [
                0.99000001, -1.99000001, 0.49000001, 2.99000001, 0.980148792, -1.98014951, 0.480274707, 2.98000097,
                0.972758949, -1.97274888, 0.474059314, 2.9700036,
            ]
        }
    }
}

@Suite struct OptimizerTests {
    @Test(arguments: OptimizerCase.allCases, InstructionLevel.supported)
    func threeStepsMatchPyTorch(test: OptimizerCase, level: InstructionLevel) {
        let context = KernelContext(pool: ForkJoinPool(threadCount: 1), level: level)
        let (optimizer, rate) = test.make(4)
        let parameters = arena([1, -2, 0.5, 3])
        let gradients = FloatArena(count: 4)
        for step in 0..<3 {
            setGradients(gradients, parameters, step)
            optimizer.update(parameters: parameters, gradients: gradients, learningRate: rate, context: context)
            for index in 0..<4 {
                let expected = test.expected[step * 4 + index]
                #expect(
                    abs(parameters.base[index] - expected) <= 2e-7 * max(1, abs(expected)), "step \(step), \(index)")
            }
        }
        #expect(optimizer.stepCount == 3)
    }

    /// A state taken after one step and put into a new optimizer continues with the same bits.
    @Test(arguments: OptimizerCase.allCases)
    func stateArenasAreTheWholeState(test: OptimizerCase) {
        let context = KernelContext(pool: ForkJoinPool(threadCount: 1))
        func run(restoringAfter restored: Int?) -> [UInt32] {
            var (optimizer, rate) = test.make(4)
            let parameters = arena([1, -2, 0.5, 3])
            let gradients = FloatArena(count: 4)
            for step in 0..<3 {
                if step == restored {
                    let next = test.make(4).0
                    next.stepCount = optimizer.stepCount
                    for (old, new) in zip(optimizer.stateArenas, next.stateArenas) {
                        #expect(old.name == new.name)
                        new.arena.base.update(from: old.arena.base, count: 4)
                    }
                    optimizer = next
                }
                setGradients(gradients, parameters, step)
                optimizer.update(parameters: parameters, gradients: gradients, learningRate: rate, context: context)
            }
            return (0..<4).map { parameters.base[$0].bitPattern }
        }
        #expect(run(restoringAfter: nil) == run(restoringAfter: 1))
        #expect(run(restoringAfter: nil) == run(restoringAfter: 2))
    }

    /// Big enough for several chunks: the same bits for any number of threads at any level.
    @Test(arguments: OptimizerCase.allCases)
    func bitsDoNotDependOnThreadsOrLevel(test: OptimizerCase) {
        let count = 100_003
        let spans = [
            UpdateSpan(0..<33_000), UpdateSpan(33_000..<33_017, learningRateScale: 0.5, weightDecayScale: 0),
            UpdateSpan(40_000..<100_003, learningRateScale: 2),
        ]
        var first: [UInt32]?
        for level in InstructionLevel.supported {
            for threadCount in 1...3 {
                let pool = ForkJoinPool(threadCount: threadCount)
                defer { pool.shutDown() }
                let context = KernelContext(pool: pool, level: level)
                let (optimizer, rate) = test.make(count, spans: spans)
                let parameters = FloatArena(count: count)
                let gradients = FloatArena(count: count)
                var seed: UInt32 = 1
                for index in 0..<count { parameters.base[index] = draw(&seed) }
                for _ in 0..<2 {
                    for index in 0..<count { gradients.base[index] = draw(&seed) }
                    optimizer.update(parameters: parameters, gradients: gradients, learningRate: rate, context: context)
                }
                let bits = (0..<count).map { parameters.base[$0].bitPattern }
                if let first { #expect(bits == first, "\(level), \(threadCount) threads") } else { first = bits }
            }
        }
    }

    /// Scaled spans do what an optimizer with these settings would; what no span covers stays.
    @Test func spansHaveTheirOwnRates() {
        let context = KernelContext(pool: ForkJoinPool(threadCount: 1))
        let parameters = arena([1, 2, 3, 4, 5, 6])
        let gradients = arena([1, 1, 1, 1, 1, 1])
        let optimizer = SGD(
            parameterCount: 6, settings: .init(weightDecay: 0.5),
            spans: [
                UpdateSpan(0..<2), UpdateSpan(2..<3, learningRateScale: 10), UpdateSpan(4..<6, weightDecayScale: 0),
            ])
        optimizer.update(parameters: parameters, gradients: gradients, learningRate: 0.25, context: context)
        let values = (0..<6).map { parameters.base[$0] }
        let expected: [Float] = [0.625, 1.5, -3.25, 4, 4.75, 5.75]
        #expect(values == expected)
    }

    @Test func unfitSettingsAreRefusedInOneLine() {
        #expect(throws: OptimizerError.nesterovWithoutMomentum) { try SGD.Settings(isNesterov: true).validate() }
        #expect(throws: (any Error).self) { try Adam.Settings(beta1: 1).validate() }
        #expect(throws: (any Error).self) { try Adam.Settings(epsilon: 0).validate() }
        #expect(throws: (any Error).self) { try SGD.Settings(weightDecay: .nan).validate() }
        do {
            try SGD.Settings(momentum: 1.5).validate()
            Issue.record("momentum 1.5 passed")
        } catch {
            #expect(error.description == "momentum 1.5 is out of range: give a value in 0.0 ..< 1.0")
            #expect(error.exitCode.rawValue == 64)
        }
    }

    private func setGradients(_ gradients: FloatArena, _ parameters: FloatArena, _ step: Int) {
        let base: [Float] = [0.1, -0.2, 0.3, 0]
        for index in 0..<4 {
            gradients.base[index] =
                base[index] * Float(step + 1) * (step == 2 ? -0.1 : 1) + 0.05 * parameters.base[index]
        }
    }

    private func arena(_ values: [Float]) -> FloatArena {
        let arena = FloatArena(count: values.count)
        for (index, value) in values.enumerated() { arena.base[index] = value }
        return arena
    }

    private func draw(_ seed: inout UInt32) -> Float {
        seed = seed &* 1_664_525 &+ 1_013_904_223
        return Float(seed >> 8) / 8_388_608 - 1
    }
}
