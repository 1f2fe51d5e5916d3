import Basics

/// Folders of film frames as Inria's 3DMovie has them: `frames/<sequence>/<name>.jpg` is the left view, and the same name
/// with `.right` behind it the right one. The root is the one that holds `frames/`, or a folder of sequences. A sequence
/// is a group.
///
/// `disparity/` beside it holds optical flow that a program estimated, in MATLAB files; it is no ground truth and not
/// read.
///
/// **Source:** README of the Inria 3DMovie Dataset v1 (Alahari, Seguin, Sivic, Laptev, ICCV 2013).
public struct MovieFolders: FrameSource {
    public let root: String
    public let isSwapped: Bool

    public init(root: String, isSwapped: Bool = false) {
        self.root = root
        self.isSwapped = isSwapped
    }

    public var name: String { "inria" }

    private static let ending = ".right"

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        let base = Files.isFolder(root + "/frames") ? root + "/frames" : root
        var left: Set<String> = []
        func visit(_ prefix: String, _ depth: Int) throws {
            for name in try Files.list(base + "/" + prefix) where !name.hasPrefix(".") {
                let stem = name.hasSuffix(Self.ending) ? String(name.dropLast(Self.ending.count)) : name
                if let format = ImageFile.Format(extensionOf: stem), PairLoader.pictureFormats.contains(format) {
                    left.insert(prefix + stem)
                } else if depth > 0, Files.isFolder("\(base)/\(prefix)\(name)") {
                    try visit("\(prefix)\(name)/", depth - 1)
                }
            }
        }
        try visit("", 4)
        guard !left.isEmpty else {
            throw ImageError(
                path: root, "no sub-folder frames with sequences of .jpg and .jpg.right",
                remedy: "give the folder that holds frames/", exitCode: .missingInput)
        }
        return left.sorted { $0.precedes($1) }.map { path in
            let views = ["\(base)/\(path)", "\(base)/\(path)\(Self.ending)"]
            let dot = path.lastIndex(of: ".") ?? path.endIndex
            var files = SampleFiles.pair(
                String(path[..<dot]), left: views[isSwapped ? 1 : 0], right: views[isSwapped ? 0 : 1])
            files.group = path.lastIndex(of: "/").map { String(path[..<$0]) }
            return files.item
        }
    }
}
