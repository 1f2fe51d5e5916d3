import Basics
import Kernels

/// Breaks something on purpose, to see that it is found: `VERGENCE_INJECT=flip:RANK:STEP` flips a bit of a parameter before
/// that rank's update number STEP; `drift` does so too and hides it from the rank's own check, as a program would that
/// computes something else than the others.
public struct FaultInjection: Sendable, Equatable {
    public enum Kind: String, Sendable { case flip, drift }
    public let kind: Kind
    public let rank: Int
    public let step: Int

    /// - Throws: `Failure` (usage).
    public init(_ text: String) throws {
        let parts = text.split(separator: ":").map(String.init)
        guard parts.count == 3, let kind = Kind(rawValue: parts[0]), let rank = Int(parts[1]), let step = Int(parts[2])
        else { throw Failure(.usage, "VERGENCE_INJECT is '\(text)'; write flip:RANK:STEP or drift:RANK:STEP") }
        (self.kind, self.rank, self.step) = (kind, rank, step)
    }

    /// To be called before update `step` (counted from 1).
    func strike(rank: Int, step: Int, state: ModelState, digest: StateDigest, kernels: KernelContext) {
        guard rank == self.rank, step == self.step, let parameter = state.parameters.dropFirst(2).first else { return }
        let value = state.parameterArena.base + parameter.offset
        value.pointee = Float(bitPattern: value.pointee.bitPattern ^ 1 << 20)
        if kind == .drift { digest.reset(kernels) }
    }
}
