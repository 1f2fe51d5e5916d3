import Basics

/// The two-view pairs of ETH3D: a folder of scenes with `im0.png`, `im1.png`, `calib.txt`, and, in the same folders or in
/// those of `two_view_training_gt/`, `disp0GT.pfm` and `mask0nocc.png`. The root is that folder, or the one that holds
/// `two_view_training/`.
///
/// Infinity is unknown. `mask0nocc.png` (255 = seen by both views) becomes `visible`, `calib.txt` `calibration`. Views are
/// gray or colour, as the files are. A scene without ground truth, where others have it, is broken.
///
/// **Source:** Schöps et al., CVPR 2017; eth3d.net/documentation, "Low-res two-view": Middlebury's formats.
public struct ETH3D: FrameSource {
    public let root: String

    public init(root: String) { self.root = root }

    public var name: String { "eth3d" }

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        let nested = root + "/two_view_training"
        let truthOnly = root + "/two_view_training_gt"
        if !Files.isFolder(nested) && Files.isFolder(truthOnly) {
            throw ImageError(
                path: root, "no sub-folder two_view_training beside two_view_training_gt",
                remedy: "unpack two_view_training.7z too", exitCode: .missingInput)
        }
        let base = Files.isFolder(nested) ? nested : root
        let truth = Files.isFolder(nested) && Files.isFolder(truthOnly) ? truthOnly : base
        let scenes = try SourceFolder.folders(in: base).filter {
            Files.exists("\(base)/\($0)/im0.png") || Files.exists("\(base)/\($0)/im1.png")
        }
        guard !scenes.isEmpty else {
            throw ImageError(
                path: root, "no sub-folder two_view_training, and no scene with im0.png in a sub-folder",
                remedy: "give the folder into which two_view_training.7z was unpacked", exitCode: .missingInput)
        }
        let hasTruth = truth != base || scenes.contains { Files.exists("\(base)/\($0)/disp0GT.pfm") }
        return scenes.map { scene in
            var files = SampleFiles.pair(
                scene, left: "\(base)/\(scene)/im0.png", right: "\(base)/\(scene)/im1.png")
            if hasTruth {
                let folder = "\(truth)/\(scene)"
                files.maps.append(
                    .init(FieldName.disparity, "\(folder)/disp0GT.pfm", PairLoader.disparityMap(divisor: 1)))
                if Files.exists(folder + "/mask0nocc.png") {
                    files.maps.append(
                        .init(FieldName.visible, folder + "/mask0nocc.png", PairLoader.mask { $0 == 255 }))
                }
            }
            let calibration = "\(base)/\(scene)/calib.txt"
            if Files.exists(calibration) { files.calibration = { try Calibration.middlebury(calibration) } }
            return files.item
        }
    }
}
