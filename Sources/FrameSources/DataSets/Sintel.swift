import Basics

/// The stereo extension of MPI Sintel: `training/{clean,final}_{left,right}/<scene>/frame_0001.png`, with `disparities/`
/// and the masks `occlusions/` and `outofframe/` at the same places. The root is the one that holds `training/`, or that
/// folder.
///
/// The 8-bit samples of a disparity picture mean R · 4 + G / 2⁶ + B / 2¹⁴ pixels, all of them known. `visible` is where
/// neither mask is set. A scene is a group. The focal length stands in another archive (depth), so there is no
/// `calibration`; the baseline is 10 cm.
///
/// **Source:** README and `sdk/` of MPI-Sintel-stereo-training.
public struct Sintel: FrameSource {
    public let root: String
    public let pass: RenderPass

    public init(root: String, pass: RenderPass = .final) {
        self.root = root
        self.pass = pass
    }

    public var name: String { "sintel" }

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        let base = Files.isFolder(root + "/training") ? root + "/training" : root
        let (left, right) = ("\(pass.rawValue)_left", "\(pass.rawValue)_right")
        try SourceFolder.require(
            [left, right, "disparities", "occlusions", "outofframe"], in: base,
            layout: "training/ with \(left)/, \(right)/, disparities/, occlusions/, outofframe/")
        let keys = try [left, right, "disparities"].map { folder in
            try SourceFolder.pictures(in: "\(base)/\(folder)", formats: [.png], depth: 1).map(\.key)
        }
        let all = Set(keys.joined()).sorted { $0.precedes($1) }
        guard !all.isEmpty else {
            throw ImageError(path: base, "no pictures in \(left)/", remedy: "unpack the archive here again")
        }
        return all.map { key in
            var files = SampleFiles.pair(
                key, left: "\(base)/\(left)/\(key).png", right: "\(base)/\(right)/\(key).png")
            files.group = key.split(separator: "/").first.map(String.init)
            let outOfFrame = "\(base)/outofframe/\(key).png"
            files.maps = [
                .init(FieldName.disparity, "\(base)/disparities/\(key).png", Self.disparity),
                .init(FieldName.visible, "\(base)/occlusions/\(key).png") { path, view in
                    try PairLoader.require(outOfFrame)
                    var mask = try PairLoader.mask { $0 == 0 }(path, view)
                    let other = try PairLoader.mask { $0 == 0 }(outOfFrame, view)
                    for index in mask.bytes.indices { mask.bytes[index] &= other.bytes[index] }
                    return mask
                },
            ]
            return files.item
        }
    }

    @Sendable static func disparity(_ path: String, like view: PixelArray) throws -> PixelArray {
        let array = try ImageFile.read(path)
        guard array.channels == 3, array.element == .uint8 else {
            throw ImageError(
                path: path, "\(array.channels) channels of \(array.element.name); Sintel's disparities are 8-bit RGB",
                remedy: "give disparities/, not disparities_viz/")
        }
        guard array.height == view.height, array.width == view.width else {
            throw ImageError(
                path: path, "\(array.width)x\(array.height) pixels, but the view has \(view.width)x\(view.height)",
                remedy: "a disparity map needs the size of its view")
        }
        let floats = stride(from: 0, to: array.count, by: 3).map { index in
            Float(array.bytes[index]) * 4 + Float(array.bytes[index + 1]) / 64 + Float(array.bytes[index + 2]) / 16384
        }
        return PixelArray(height: array.height, width: array.width, channels: 1, floats: floats)
    }
}
