import Kernels
import Optimizers
import Tensors
import Testing
import Threads

@Suite struct OptimizerScheduleTests {
    @Test func curvesFollowTheirClosedForms() {
        let constant = LearningRateSchedule()
        #expect(constant.learningRate(at: 12345, base: 0.5) == 0.5)

        let step = LearningRateSchedule(.step(every: 10, gamma: 0.5))
        #expect([0, 9, 10, 19, 20, 35].map { step.learningRate(at: $0, base: 8) } == [8, 8, 4, 4, 2, 1])

        let polynomial = LearningRateSchedule(.polynomial(steps: 100, power: 2, floor: 0.1))
        #expect(polynomial.learningRate(at: 0, base: 2) == 2)
        #expect(abs(polynomial.learningRate(at: 50, base: 2) - 2 * (0.1 + 0.9 * 0.25)) < 1e-15)
        #expect(abs(polynomial.learningRate(at: 100, base: 2) - 0.2) < 1e-15)
        #expect(abs(polynomial.learningRate(at: 1000, base: 2) - 0.2) < 1e-15)

        let cosine = LearningRateSchedule(.cosine(steps: 100, floor: 0))
        #expect(cosine.learningRate(at: 0, base: 1) == 1)
        #expect(abs(cosine.learningRate(at: 25, base: 1) - 0.853_553_390_593_273_8) < 1e-15)
        #expect(abs(cosine.learningRate(at: 50, base: 1) - 0.5) < 1e-15)
        #expect(abs(cosine.learningRate(at: 100, base: 1)) < 1e-15)
        #expect(abs(cosine.learningRate(at: 200, base: 1)) < 1e-15)
    }

    @Test func warmupRisesLinearlyAndShiftsTheCurve() {
        let schedule = LearningRateSchedule(.step(every: 10, gamma: 0.5), warmupSteps: 4)
        #expect((0..<5).map { schedule.learningRate(at: $0, base: 8) } == [2, 4, 6, 8, 8])
        #expect(schedule.learningRate(at: 13, base: 8) == 8)
        #expect(schedule.learningRate(at: 14, base: 8) == 4)
    }

    @Test(arguments: [
        "constant", "constant:warmup=5", "step:every=10", "step:every=10,gamma=0.25,warmup=2",
        "polynomial:steps=7,power=0.9,floor=0.01", "cosine:steps=50", "cosine:steps=50,floor=0.1,warmup=10",
    ])
    func textFormsReadBack(text: String) throws {
        let schedule = try LearningRateSchedule(parsing: text)
        #expect(try LearningRateSchedule(parsing: schedule.description) == schedule)
    }

    @Test func theRunGivesTheSteps() throws {
        let schedule = try LearningRateSchedule(parsing: "cosine:warmup=10", defaultSteps: 110)
        #expect(schedule == LearningRateSchedule(.cosine(steps: 100, floor: 0), warmupSteps: 10))
    }

    @Test(arguments: [
        ("cosin", "unknown learning-rate schedule 'cosin': use constant, step, polynomial or cosine"),
        ("cosine", "schedule 'cosine' needs 'steps': write for example cosine:steps=1000"),
        ("step:every=x", "schedule setting every: 'x' is not a number that fits: give for example every=10"),
        ("step:gama=1", "schedule 'step' has no setting 'gama': use every, gamma, warmup"),
        ("cosine:steps=0", "schedule steps 0.0 is out of range: give a value of at least 1"),
        ("step:every=3,gamma=-1", "schedule gamma -1.0 is out of range: give a value of at least 0.0"),
        ("constant:warmup=-1", "schedule warmup -1.0 is out of range: give a value of at least 0"),
    ])
    func unfitTextIsRefusedInOneLine(text: String, message: String) {
        do {
            _ = try LearningRateSchedule(parsing: text)
            Issue.record("'\(text)' passed")
        } catch {
            #expect(error.description == message)
        }
    }

    /// `p.grad = torch.tensor([3.0, -4.0, 12.0, 0.5]); torch.nn.utils.clip_grad_norm_([p], 2.0)` → 13.0096, and
    /// [0.4611974, -0.61492991, 1.84478974, 0.07686624].
    @Test func clippingMatchesPyTorch() {
        let context = KernelContext(pool: ForkJoinPool(threadCount: 1))
        let gradients = FloatArena(count: 4)
        func set() { for (i, v) in ([3, -4, 12, 0.5] as [Float]).enumerated() { gradients.base[i] = v } }
        func values() -> [Float] { (0..<4).map { gradients.base[$0] } }
        set()
        #expect(abs(GradientClipping.globalNorm(2).apply(to: gradients.buffer, context: context) - 13.009_611) < 1e-5)
        for (value, expected) in zip(values(), [0.461_197_44, -0.614_929_91, 1.844_789_74, 0.076_866_24] as [Float]) {
            #expect(abs(value - expected) < 2e-7)
        }
        set()
        GradientClipping.globalNorm(14).apply(to: gradients.buffer, context: context)
        #expect(values() == [3, -4, 12, 0.5])
        GradientClipping.value(3.5).apply(to: gradients.buffer, context: context)
        #expect(values() == [3, -3.5, 3.5, 0.5])
        gradients.base[1] = .nan
        #expect(GradientClipping.globalNorm(1).apply(to: gradients.buffer, context: context).isNaN)
        #expect(gradients.base[0] == 3)
        #expect(throws: (any Error).self) { try GradientClipping.value(0).validate() }
    }
}
