import Basics

/// Something about a launch, a machine or a data set that somebody should know before step 0.
public struct Finding: Codable, Sendable, Equatable {
    /// Errors end a run before it writes anything; warnings are said once.
    public enum Severity: String, Codable, Sendable { case error, warning }

    /// Stable names, in the order in which findings are reported. docs/doctor.md explains each.
    public enum Name: String, Codable, Sendable, CaseIterable {
        case singletons
        case differentPrograms = "different-programs"
        case differentVersionsOfMPI = "different-versions-of-mpi"
        case missingMpirun = "missing-mpirun"
        case differentConfigurations = "different-configurations"
        case fewerLanesThanRanks = "fewer-lanes-than-ranks"
        case unusableData = "unusable-data"
        case differentData = "different-data"
        case differentKernels = "different-kernels"
        case slowKernels = "slow-kernels"
        case overlappingCores = "overlapping-cores"
        case boundToTooFewCores = "bound-to-too-few-cores"
        case tooManyThreads = "too-many-threads"
        case unroutableInterface = "unroutable-interface"
        case runFolderNotShared = "run-folder-not-shared"
        case notWritable = "not-writable"
        case noSpace = "no-space"
        case notEnoughMemory = "not-enough-memory"
        case littleLockedMemory = "little-locked-memory"
        case tooFewOpenFiles = "too-few-open-files"
        case clockSkew = "clock-skew"
    }

    public let name: Name
    public let severity: Severity
    /// What a run that an error ends leaves with; 0 for a warning.
    public let exitCode: Int32
    /// Whom it concerns.
    public let ranks: [Int]
    public let hosts: [String]
    /// What is wrong and where, in one line.
    public let text: String
    public let remedy: String

    init(
        _ name: Name, _ severity: Severity, _ exitCode: ExitCode = .usage, of ranks: [RankFacts], _ text: String,
        remedy: String
    ) {
        self.name = name
        self.severity = severity
        self.exitCode = severity == .warning ? 0 : exitCode.rawValue
        self.ranks = ranks.map(\.rank)
        hosts = ranks.map(\.host).uniqued()
        self.text = text
        self.remedy = remedy
    }

    /// One line: name, what, where, what to do.
    public var line: String { "\(name.rawValue): \(text); \(remedy)" }
}

extension Array where Element: Hashable {
    /// Each element once, in the order of first appearance.
    func uniqued() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
