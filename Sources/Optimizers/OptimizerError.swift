import Basics

/// Why settings of an optimizer, of clipping or of a schedule are refused.
public enum OptimizerError: ExitCoding, Equatable {
    case outOfRange(name: String, value: Double, allowed: String)
    case nesterovWithoutMomentum
    case unknownSchedule(String)
    case unknownScheduleSetting(String, schedule: String)
    case notANumber(String, setting: String)
    case missingScheduleSetting(String, schedule: String)

    public var exitCode: ExitCode { .usage }

    public var description: String {
        switch self {
        case .outOfRange(let name, let value, let allowed):
            "\(name) \(value) is out of range: give a value \(allowed)"
        case .nesterovWithoutMomentum:
            "nesterov needs momentum: set momentum above 0 or turn nesterov off"
        case .unknownSchedule(let name):
            "unknown learning-rate schedule '\(name)': use constant, step, polynomial or cosine"
        case .unknownScheduleSetting(let name, let schedule):
            "schedule '\(schedule)' has no setting '\(name)': use "
                + LearningRateSchedule.settingNames(of: schedule).joined(separator: ", ")
        case .notANumber(let text, let setting):
            "schedule setting \(setting): '\(text)' is not a number that fits: give for example \(setting)=10"
        case .missingScheduleSetting(let name, let schedule):
            "schedule '\(schedule)' needs '\(name)': write for example \(schedule):\(name)=1000"
        }
    }
}

func check(
    _ value: Double, _ name: String, from lower: Double, below upper: Double = .infinity
) throws(OptimizerError) {
    if value.isFinite && value >= lower && value < upper { return }
    throw .outOfRange(
        name: name, value: value, allowed: upper < .infinity ? "in \(lower) ..< \(upper)" : "of at least \(lower)")
}
