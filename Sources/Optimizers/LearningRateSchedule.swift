import Glibc

/// The learning rate as a pure function of the step, so that resuming is evaluating it somewhere else.
///
/// Written as `constant`, `step:every=1000,gamma=0.5`, `polynomial:steps=10000,power=0.9,floor=0.01`,
/// `cosine:steps=10000,floor=0.01`, each with `warmup=N`: during the first N steps the rate rises linearly, step s having
/// (s + 1) / N of the base rate, and the curve itself starts after them.
public struct LearningRateSchedule: Sendable, Hashable, Codable, CustomStringConvertible {
    public enum Curve: Sendable, Hashable, Codable {
        case constant
        /// Multiplied by gamma after every `every` steps.
        case step(every: Int, gamma: Double)
        /// (1 − s / steps)^power from the base rate down to floor · base; stays there.
        case polynomial(steps: Int, power: Double, floor: Double)
        /// Half a cosine from the base rate down to floor · base; stays there.
        /// **Source:** I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
        case cosine(steps: Int, floor: Double)
    }

    public var curve: Curve
    public var warmupSteps: Int

    public init(_ curve: Curve = .constant, warmupSteps: Int = 0) {
        self.curve = curve
        self.warmupSteps = warmupSteps
    }

    /// The rate of step `step`, counted from 0; `steps` of a curve counts from the end of the warm-up.
    public func learningRate(at step: Int, base: Double) -> Double {
        precondition(step >= 0, "step \(step)")
        if step < warmupSteps { return base * (Double(step + 1) / Double(warmupSteps)) }
        let position = step - warmupSteps
        switch curve {
        case .constant: return base
        case .step(let every, let gamma): return base * power(gamma, position / every)
        case .polynomial(let steps, let power, let floor):
            let rest = max(0, 1 - Double(position) / Double(steps))
            return base * (floor + (1 - floor) * pow(rest, power))
        case .cosine(let steps, let floor):
            let part = min(1, Double(position) / Double(steps))
            return base * (floor + (1 - floor) * 0.5 * (1 + cos(Double.pi * part)))
        }
    }

    public func validate() throws(OptimizerError) {
        func count(_ value: Int, _ name: String) throws(OptimizerError) {
            if value < 1 { throw .outOfRange(name: name, value: Double(value), allowed: "of at least 1") }
        }
        if warmupSteps < 0 {
            throw .outOfRange(name: "schedule warmup", value: Double(warmupSteps), allowed: "of at least 0")
        }
        switch curve {
        case .constant: break
        case .step(let every, let gamma):
            try count(every, "schedule every")
            try check(gamma, "schedule gamma", from: 0)
        case .polynomial(let steps, let power, let floor):
            try count(steps, "schedule steps")
            try check(power, "schedule power", from: 0)
            try check(floor, "schedule floor", from: 0)
        case .cosine(let steps, let floor):
            try count(steps, "schedule steps")
            try check(floor, "schedule floor", from: 0)
        }
    }

    private func power(_ base: Double, _ exponent: Int) -> Double {
        var (result, square, rest) = (1.0, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 { result *= square }
            square *= square
            rest >>= 1
        }
        return result
    }
}

// Its text form.
extension LearningRateSchedule {
    static func settingNames(of schedule: String) -> [String] {
        switch schedule {
        case "step": ["every", "gamma", "warmup"]
        case "polynomial": ["steps", "power", "floor", "warmup"]
        case "cosine": ["steps", "floor", "warmup"]
        default: ["warmup"]
        }
    }

    /// `steps` that are not given are `defaultSteps` (those of the run) less the warm-up.
    public init(parsing text: String, defaultSteps: Int? = nil) throws(OptimizerError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        guard ["constant", "step", "polynomial", "cosine"].contains(name) else { throw .unknownSchedule(name) }
        var values: [String: String] = [:]
        if parts.count > 1 {
            for pair in parts[1].split(separator: ",") {
                let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                let key = String(sides[0])
                guard Self.settingNames(of: name).contains(key) else {
                    throw .unknownScheduleSetting(key, schedule: name)
                }
                values[key] = sides.count > 1 ? String(sides[1]) : ""
            }
        }
        func integer(_ key: String, default other: Int?) throws(OptimizerError) -> Int {
            guard let text = values[key] else {
                guard let other else { throw .missingScheduleSetting(key, schedule: name) }
                return other
            }
            guard let value = Int(text) else { throw .notANumber(text, setting: key) }
            return value
        }
        func real(_ key: String, default other: Double) throws(OptimizerError) -> Double {
            guard let text = values[key] else { return other }
            guard let value = Double(text), value.isFinite else { throw .notANumber(text, setting: key) }
            return value
        }
        let warmup = try integer("warmup", default: 0)
        let steps = defaultSteps.map { max(1, $0 - max(0, warmup)) }
        let curve: Curve =
            switch name {
            case "step": .step(every: try integer("every", default: nil), gamma: try real("gamma", default: 0.1))
            case "polynomial":
                .polynomial(
                    steps: try integer("steps", default: steps), power: try real("power", default: 1),
                    floor: try real("floor", default: 0))
            case "cosine":
                .cosine(steps: try integer("steps", default: steps), floor: try real("floor", default: 0))
            default: .constant
            }
        self.init(curve, warmupSteps: warmup)
        try validate()
    }

    /// The text form with every setting; `init(parsing:)` reads it back.
    public var description: String {
        let text =
            switch curve {
            case .constant: "constant:"
            case .step(let every, let gamma): "step:every=\(every),gamma=\(gamma),"
            case .polynomial(let steps, let power, let floor):
                "polynomial:steps=\(steps),power=\(power),floor=\(floor),"
            case .cosine(let steps, let floor): "cosine:steps=\(steps),floor=\(floor),"
            }
        return text + "warmup=\(warmupSteps)"
    }
}
