import Foundation

/// Tests that take minutes, skipped visibly unless somebody asks for them.
public enum LongTests {
    public static let areWanted: Bool = ProcessInfo.processInfo.environment["VERGENCE_LONG_TESTS"] == "1"
    public static let hint: String = "long: launch/test --long runs it"
}
