/// A learning rate that falls when a measured loss no longer does.
///
/// **Source:** the semantics of PyTorch's `ReduceLROnPlateau` (mode min, relative threshold): the rate is multiplied by
/// `factor` once the loss has not fallen below (1 − threshold) · best for more than `patience` measurements. Keras
/// reduces at the patience-th, one measurement earlier.
public struct Plateau: Sendable, Hashable {
    public var factor: Double
    public var patience: Int
    public var threshold: Double

    /// What a run has seen so far; part of a checkpoint.
    public struct State: Sendable, Hashable {
        /// Multiplies the rate.
        public var scale = 1.0
        public var best = Double.infinity
        /// Measurements since the best.
        public var waiting = 0

        public init() {}
    }

    public init(factor: Double, patience: Int, threshold: Double) {
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
    }

    /// Takes a measurement in.
    public func update(_ state: inout State, loss: Double) {
        if loss < (state.best.isFinite ? state.best * (1 - threshold) : .infinity) {
            state.best = loss
            state.waiting = 0
        } else {
            state.waiting += 1
        }
        if state.waiting > patience {
            state.scale *= factor
            state.waiting = 0
        }
    }
}
