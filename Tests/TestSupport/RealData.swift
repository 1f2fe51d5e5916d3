import Foundation

/// Data that is in no repository: the folder that VERGENCE_TEST_DATA names, with parts of published sets in it. Tests
/// that want it are skipped, saying so, where it is not there.
public enum RealData {
    public static let root = ProcessInfo.processInfo.environment["VERGENCE_TEST_DATA"]
    public static let hint: String = "set VERGENCE_TEST_DATA to a folder with real data"

    public static func has(_ name: String) -> Bool {
        root.map { FileManager.default.fileExists(atPath: $0 + "/" + name) } ?? false
    }

    public static func path(_ name: String) -> String { (root ?? "") + "/" + name }
}
