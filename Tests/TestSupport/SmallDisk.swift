import Foundation

/// A file system in memory that is soon full, for tests that run as root. Unmounted when the value goes away.
public final class SmallDisk {
    public let path: String

    /// At a path that becomes a folder if it is none; nil where nothing can be mounted.
    public init?(at path: String, kilobytes: Int) {
        self.path = path
        guard let mount = ProcessRunner.find("mount"),
            (try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)) != nil,
            let outcome = try? ProcessRunner.run(
                mount, ["-t", "tmpfs", "-o", "size=\(kilobytes)k", "none", path], in: "/"),
            outcome.exitCode == 0
        else { return nil }
    }

    /// In the folder `small` of another one.
    public convenience init?(below folder: String, megabytes: Int = 1) {
        self.init(at: folder + "/small", kilobytes: megabytes * 1024)
    }

    deinit {
        guard let unmount = ProcessRunner.find("umount") else { return }
        _ = try? ProcessRunner.run(unmount, [path], in: "/")
    }

    public static let isPossible: Bool = SmallDisk(below: TemporaryFolder("mount").path) != nil
    public static let hint: String = "file systems cannot be mounted here"
}
