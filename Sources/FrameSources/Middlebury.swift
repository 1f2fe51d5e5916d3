import Basics

/// Middlebury scenes: one scene's folder, or a folder of such folders. Recognised by their files:
///
/// | sets | views | disparities |
/// |---|---|---|
/// | 2001, 2003 | `im2`, `im6` | `disp2`, `disp6` (8 bits × scale) |
/// | 2005, 2006 | `view1`, `view5` | `disp1`, `disp5` (8 bits × scale) |
/// | 2014, 2021, MiddEval3 | `im0`, `im1` | `disp0.pfm` or `disp0GT.pfm`, `disp1.pfm` or `disp1GT.pfm` |
///
/// Maps are optional. 0 (8 bits) and infinity (PFM) are unknown. The scale of 8-bit maps follows from the size at which
/// the sets were published unless it is given.
///
/// **Source:** vision.middlebury.edu/stereo/data: 2003 full, half, quarter size: 1, 2, 4; 2005/2006 full, half, third
/// size: 1, 2, 3. The 2001 sets (scale 8 or 16) need the scale given.
public struct Middlebury: FrameSource {
    public let root: String
    /// What 8-bit disparities are divided by; nil = by set and size.
    public let disparityScale: Float?

    public init(root: String, disparityScale: Float? = nil) {
        self.root = root
        self.disparityScale = disparityScale
    }

    public var name: String { "middlebury" }

    private struct Kind {
        let left: String
        let right: String
        let leftMaps: [String]
        let rightMaps: [String]
        /// Scale of 8-bit maps by width of the view.
        let scale: @Sendable (Int) -> Float
    }

    private static let kinds = [
        Kind(
            left: "im2", right: "im6", leftMaps: ["disp2.png"], rightMaps: ["disp6.png"],
            scale: { $0 <= 600 ? 4 : $0 <= 1200 ? 2 : 1 }),
        Kind(
            left: "view1", right: "view5", leftMaps: ["disp1.png"], rightMaps: ["disp5.png"],
            scale: { $0 <= 550 ? 3 : $0 <= 1000 ? 2 : 1 }),
        Kind(
            left: "im0", right: "im1", leftMaps: ["disp0.pfm", "disp0GT.pfm"], rightMaps: ["disp1.pfm", "disp1GT.pfm"],
            scale: { _ in 1 }),
    ]

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        if let item = item(folder: root, key: root.split(separator: "/").last.map(String.init) ?? "scene") {
            return [item]
        }
        let items = try Files.list(root).filter { !$0.hasPrefix(".") && Files.isFolder(root + "/" + $0) }
            .compactMap { item(folder: root + "/" + $0, key: $0) }
        guard !items.isEmpty else {
            throw ImageError(
                path: root, "no scene (im2.png, view1.png or im0.png) here or in its sub-folders",
                remedy: "give a scene's folder, or the folder that holds the scenes", exitCode: .missingInput)
        }
        return items
    }

    private func item(folder: String, key: String) -> FrameItem? {
        guard let kind = Self.kinds.first(where: { Files.exists("\(folder)/\($0.left).png") }) else { return nil }
        let right = "\(folder)/\(kind.right).png"
        guard Files.exists(right) else {
            return FrameItem(
                key: key,
                broken: ImageError(path: right, "not there, but the scene needs it", remedy: "download it again"))
        }
        let maps = [(FieldName.disparity, kind.leftMaps), (FieldName.disparityRight, kind.rightMaps)].compactMap {
            (field, names) in
            names.map { "\(folder)/\($0)" }.first { Files.exists($0) }.map { (field, $0) }
        }
        let given = disparityScale
        return FrameItem(key: key) {
            var fields = try PairLoader.views(left: "\(folder)/\(kind.left).png", right: right)
            let view = fields[0].array
            for (field, path) in maps {
                let divisor = given ?? kind.scale(view.width)
                fields.append(Record.Field(field, try PairLoader.disparity(path, divisor: divisor, like: view)))
            }
            return Record(key: key, fields: fields)
        }
    }
}
