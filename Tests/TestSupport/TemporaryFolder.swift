import Foundation

/// A fresh folder for one test, removed when the value goes away.
public final class TemporaryFolder: Sendable {
    public let path: String

    public init(_ purpose: String = "test") {
        path = NSTemporaryDirectory() + "vergence-\(purpose)-\(UUID().uuidString)"
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    public func file(_ name: String) -> String { path + "/" + name }
}
