import Basics

/// Middlebury scenes: one scene's folder, or a folder of such folders. Recognised by their files, in this order:
///
/// | sets | views | disparities | geometry |
/// |---|---|---|---|
/// | 2001, 2003 | `im2`, `im6` (.png, .ppm) | `disp2`, `disp6` (8 bits × scale) | – |
/// | 2005, 2006 | `view1`, `view5` | `disp1`, `disp5` (8 bits × scale) | `dmin.txt` |
/// | 2014, 2021, MiddEval3 | `im0.png`, `im1.png` | `disp0.pfm` or `disp0GT.pfm`, the same of view 1 | `calib.txt` |
/// | 2001 map | `im0.pgm`, `im1.pgm` | `disp0.pgm`, `disp1.pgm` (× 8) | – |
/// | 2001 Tsukuba | `scene1.row3.col3.ppm`, `.col4.ppm` | `truedisp.row3.col3.pgm` (× 16) | – |
///
/// Maps are optional. 0 (8 bits) and infinity (PFM) are unknown. The scale of 8-bit maps follows from the size at which
/// the sets were published unless it is given. `mask0nocc.png` (255 = seen by both views, 128 = occluded, 0 = unknown)
/// becomes `visible`, `mask1nocc.png` `visible_right`.
///
/// **Source:** vision.middlebury.edu/stereo/data: 2001: scale 8, Tsukuba 16; 2003 full, half, quarter size: 1, 2, 4;
/// 2005/2006 full, half, third size: 1, 2, 3, focal length 3740 pixels at full size, baseline 160 mm, `dmin.txt` is
/// added to disparities before they become depth; 2014: `calib.txt`.
public struct Middlebury: FrameSource {
    /// The right view of the sets with several exposures and lights.
    public enum RightView: String, Sendable, CaseIterable {
        /// `im1.png`.
        case same
        /// `im1E.png`: another exposure.
        case exposure
        /// `im1L.png`: another light.
        case light

        fileprivate var file: String {
            switch self {
            case .same: "im1.png"
            case .exposure: "im1E.png"
            case .light: "im1L.png"
            }
        }
    }

    public let root: String
    /// What 8-bit disparities are divided by; nil = by set and size.
    public let disparityScale: Float?
    public let rightView: RightView

    public init(root: String, disparityScale: Float? = nil, rightView: RightView = .same) {
        self.root = root
        self.disparityScale = disparityScale
        self.rightView = rightView
    }

    public var name: String { "middlebury" }

    /// The files of one kind of scene; of several names, the first that is there.
    private struct Kind {
        let left: [String]
        let right: [String]
        let leftMaps: [String]
        let rightMaps: [String]
        /// Scale of 8-bit maps by width of the view.
        let scale: @Sendable (Int) -> Float
        var offset = false
    }

    private static let kinds = [
        // The sets of 2001 are narrower than 450 pixels, the quarter size of 2003 is not.
        Kind(
            left: ["im2.ppm"], right: ["im6.ppm"], leftMaps: ["disp2.pgm"], rightMaps: ["disp6.pgm"],
            scale: { $0 < 450 ? 8 : $0 <= 600 ? 4 : $0 <= 1200 ? 2 : 1 }),
        Kind(
            left: ["im2.png", "im2.ppm"], right: ["im6.png", "im6.ppm"], leftMaps: ["disp2.png", "disp2.pgm"],
            rightMaps: ["disp6.png", "disp6.pgm"], scale: { $0 <= 600 ? 4 : $0 <= 1200 ? 2 : 1 }),
        Kind(
            left: ["view1.png"], right: ["view5.png"], leftMaps: ["disp1.png"], rightMaps: ["disp5.png"],
            scale: { $0 <= 550 ? 3 : $0 <= 1000 ? 2 : 1 }, offset: true),
        Kind(
            left: ["im0.png"], right: ["im1.png"], leftMaps: ["disp0GT.pfm", "disp0.pfm"],
            rightMaps: ["disp1GT.pfm", "disp1.pfm"], scale: { _ in 1 }),
        Kind(
            left: ["im0.pgm"], right: ["im1.pgm"], leftMaps: ["disp0.pgm"], rightMaps: ["disp1.pgm"],
            scale: { _ in 8 }),
        Kind(
            left: ["scene1.row3.col3.ppm"], right: ["scene1.row3.col4.ppm"], leftMaps: ["truedisp.row3.col3.pgm"],
            rightMaps: [], scale: { _ in 16 }),
    ]

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        if let item = try item(folder: root, key: root.split(separator: "/").last.map(String.init) ?? "scene") {
            return [item]
        }
        let folders = try SourceFolder.folders(in: root)
        let items = try folders.compactMap { try item(folder: root + "/" + $0, key: $0) }
        guard !items.isEmpty else {
            // One level too high is the usual mistake: MiddEval3 holds trainingQ, which holds the scenes.
            let inner = try folders.first { outer in
                try SourceFolder.folders(in: root + "/" + outer).contains {
                    try item(folder: "\(root)/\(outer)/\($0)", key: $0) != nil
                }
            }
            throw ImageError(
                path: root, "no scene (im2.png, view1.png or im0.png) here or in its sub-folders",
                remedy: inner.map { "its sub-folder \($0) holds scenes: give that" }
                    ?? "give a scene's folder, or the folder that holds the scenes", exitCode: .missingInput)
        }
        return items
    }

    private func item(folder: String, key: String) throws -> FrameItem? {
        let names = Set(try Files.list(folder))
        guard let kind = Self.kinds.first(where: { !names.isDisjoint(with: $0.left) }),
            let left = kind.left.first(where: names.contains)
        else { return nil }
        var right = kind.right.first(where: names.contains) ?? kind.right[0]
        if rightView != .same {
            guard left == "im0.png" else {
                return FrameItem(
                    key: key,
                    broken: ImageError(
                        path: folder, "is of a set without \(rightView.file)",
                        remedy: "only 2014 and MiddEval3 have it; leave --right-view out"))
            }
            right = rightView.file
        }
        var files = SampleFiles.pair(key, left: "\(folder)/\(left)", right: "\(folder)/\(right)")
        let given = disparityScale
        for (field, candidates) in [(FieldName.disparity, kind.leftMaps), (FieldName.disparityRight, kind.rightMaps)] {
            guard let map = candidates.first(where: names.contains) else { continue }
            files.maps.append(
                .init(field, "\(folder)/\(map)") { path, view in
                    try PairLoader.disparity(path, divisor: given ?? kind.scale(view.width), like: view)
                })
        }
        if left == "im0.png" {
            for (field, mask) in [
                (FieldName.visible, "mask0nocc.png"), (FieldName.visibleRight, "mask1nocc.png"),
            ] where names.contains(mask) {
                files.maps.append(.init(field, "\(folder)/\(mask)", PairLoader.mask { $0 == 255 }))
            }
            if names.contains("calib.txt") {
                files.calibration = { try Calibration.middlebury("\(folder)/calib.txt") }
            }
        }
        if kind.offset && names.contains("dmin.txt") {
            files.calibration = {
                let scale = try given ?? kind.scale(PairLoader.picture("\(folder)/\(left)").width)
                return try Self.calibration(dmin: "\(folder)/dmin.txt", scale: scale)
            }
        }
        return files.item
    }

    /// The rig of 2005 and 2006. `dmin.txt` counts full-size pixels, as the samples of the maps do.
    private static func calibration(dmin path: String, scale: Float) throws -> Calibration {
        guard let line = try TextFile.lines(path).first, let offset = Float(line), offset.isFinite else {
            throw ImageError(path: path, "holds no number", remedy: "download the scene again")
        }
        return Calibration(focalLengthPixels: 3740 / scale, baselineMetres: 0.16, offsetPixels: offset / scale)
    }
}
