import Basics
import Tensors

extension TrainingSession.Start {
    /// Steps that a checkpoint may have at most.
    var lastStep: Int {
        if case .replaying(let step) = self { step } else { .max }
    }
}

/// What one lane gave.
public struct LaneReplay: Sendable {
    public let lane: Int
    /// As `lanes.csv` has it.
    public let hash: UInt64
    public let records: [Int]
    public let losses: [(name: String, value: Float)]
    /// In PyTorch's names and layout.
    public let gradients: [NamedTensor]
}

extension TrainingSession {
    /// Steps done when it was made.
    public var startStep: Int { position.step }

    /// Trains up to a step (counted from 1) and computes some lanes of it, as any rank of any run would.
    /// - Parameter progress: called with the number of steps done.
    public func replay(step: Int, lanes wanted: [Int], progress: (Int) -> Void) throws -> [LaneReplay] {
        precondition(step > position.step && step <= totalSteps, "step \(step) of \(position.step)…\(totalSteps)")
        let all = Array(exchange.share)
        let before = try loader(lanes: all, steps: position.step..<(step - 1))
        defer { before.shutDown() }
        while position.step < step - 1 {
            _ = try self.step(before, lanes: all)
            progress(position.step)
        }
        let loader = try loader(lanes: wanted, steps: (step - 1)..<step)
        defer { loader.shutDown() }
        return try wanted.map { _ in
            let batch = try compute(loader) { _ in }
            defer { loader.recycle(batch) }
            let result = LaneReplay(
                lane: batch.lane, hash: exchange.hashOfLane(), records: batch.samples.map(\.record),
                losses: engine.layout.lossNames.map { ($0, engine.loss($0)) },
                gradients: state.exported(engine.result, prefix: ""))
            return result
        }
    }
}
