import Basics

/// A list of samples that make one part of a data set, as publishers of splits hand them out.
public struct PartList: Sendable, Equatable {
    public let part: FrameItem.Part
    public let path: String

    public init(part: FrameItem.Part, path: String) {
        self.part = part
        self.path = path
    }
}

/// KITTI raw, synced and rectified: `<date>/calib_cam_to_cam.txt` and
/// `<date>/<date>_drive_<number>_sync/image_02/data/<10 digits>.png` (left), `image_03` (right), `.png` or `.jpg`; the gray
/// views `image_00`, `image_01` where the colour ones are not there. A drive is a group.
///
/// Without lists, every frame is taken. Lists are those of Monodepth (`left right`, two paths) and of Monodepth2
/// (`drive frame l|r`, in any order, frames named twice count once); their endings may differ from the files', because
/// both train on JPEG copies. The key is `<drive folder>/<frame>`.
///
/// Where the depth benchmark's `{train,val}/<drive>/proj_depth/groundtruth/image_02/<frame>.png` stands beside the dates or
/// in `depth/`, its frames get `depth` (sample / 256 metres, 0 = unknown) and, by the calibration, `disparity`.
///
/// **Source:** development kit of KITTI raw; Godard et al., CVPR 2017 and ICCV 2019 (split files); development kit of the
/// depth benchmark.
public struct KITTIRaw: FrameSource {
    public let root: String
    public let lists: [PartList]

    public init(root: String, lists: [PartList] = []) {
        self.root = root
        self.lists = lists
    }

    public var name: String { "kitti-raw" }

    private struct Frame: Hashable {
        /// `<date>/<date>_drive_0001_sync`.
        let drive: String
        let number: String
    }

    public func items() throws -> [FrameItem] {
        try SourceFolder.require(root)
        let dates = try SourceFolder.folders(in: root).filter(Self.isDate)
        guard !dates.isEmpty else {
            let isOneDate = Files.exists(root + "/calib_cam_to_cam.txt")
            throw ImageError(
                path: root, "no sub-folder named like 2011_09_26",
                remedy: isOneDate ? "give the folder above this one" : "give the folder that holds the dates",
                exitCode: .missingInput)
        }
        for date in dates where !Files.exists("\(root)/\(date)/calib_cam_to_cam.txt") {
            throw ImageError(
                path: "\(root)/\(date)", "no calib_cam_to_cam.txt", remedy: "unpack \(date)_calib.zip too",
                exitCode: .missingInput)
        }
        let frames = lists.isEmpty ? try allFrames(dates) : try listedFrames()
        guard !frames.isEmpty else {
            throw ImageError(
                path: root, "no *_drive_*_sync with pictures in its dates", remedy: "unpack the synced drives here")
        }
        var folders: [String: (left: String, right: String)] = [:]
        return try frames.map { frame, part in
            if folders[frame.drive] == nil { folders[frame.drive] = try viewFolders(frame.drive) }
            return item(frame, part, folders[frame.drive] ?? ("image_02", "image_03"))
        }
    }

    private static func isDate(_ name: String) -> Bool {
        let parts = name.split(separator: "_")
        return parts.map(\.count) == [4, 2, 2] && parts.allSatisfy { $0.allSatisfy(\.isNumber) }
    }

    /// Names of the folders of the left and right views of a drive.
    private func viewFolders(_ drive: String) throws -> (left: String, right: String) {
        let folder = root + "/" + drive
        guard Files.isFolder(folder) else {
            throw ImageError(
                path: root, "no sub-folder \(drive), which a list names", remedy: "download this drive too",
                exitCode: .missingInput)
        }
        for (left, right) in [("image_02", "image_03"), ("image_00", "image_01")] {
            let there = [left, right].filter { Files.isFolder("\(folder)/\($0)/data") }
            if there.count == 2 { return (left, right) }
            if there.count == 1 {
                throw ImageError(
                    path: folder, "no sub-folder \(there[0] == left ? right : left)/data",
                    remedy: "unpack the drive again", exitCode: .missingInput)
            }
        }
        throw ImageError(
            path: folder, "no sub-folder image_02/data", remedy: "unpack the drive again", exitCode: .missingInput)
    }

    private func allFrames(_ dates: [String]) throws -> [(Frame, FrameItem.Part?)] {
        var frames: [(Frame, FrameItem.Part?)] = []
        for date in dates {
            for name in try SourceFolder.folders(in: "\(root)/\(date)") where name.hasSuffix("_sync") {
                let drive = "\(date)/\(name)"
                let (left, right) = try viewFolders(drive)
                let numbers = try [left, right].flatMap { side in
                    try SourceFolder.pictures(
                        in: "\(root)/\(drive)/\(side)/data", formats: [.png, .jpeg], depth: 0
                    ).map(\.key)
                }
                frames += Set(numbers).sorted { $0.precedes($1) }.map { (Frame(drive: drive, number: $0), nil) }
            }
        }
        return frames
    }

    /// - Throws: `ImageError` (65) naming file and line of what is no split line, or of a frame in two parts.
    private func listedFrames() throws -> [(Frame, FrameItem.Part?)] {
        var parts: [Frame: FrameItem.Part] = [:]
        var frames: [(Frame, FrameItem.Part?)] = []
        for list in lists {
            for line in try TextFile.lines(list.path) {
                guard let frame = Self.frame(line) else {
                    throw ImageError(
                        path: list.path, "'\(line.prefix(80))' is no line of a split",
                        remedy: "lines are 'drive frame l|r' or 'left.png right.png'")
                }
                if let other = parts[frame], other != list.part {
                    throw ImageError(
                        path: list.path, "\(frame.drive) \(frame.number) is in \(other.rawValue) too",
                        remedy: "a frame belongs to one part")
                }
                if parts.updateValue(list.part, forKey: frame) == nil { frames.append((frame, list.part)) }
            }
        }
        return frames
    }

    private static func frame(_ line: Substring) -> Frame? {
        let words = line.split(whereSeparator: \.isWhitespace)
        guard let first = words.first, TextFile.isInside(first) else { return nil }
        let steps = first.split(separator: "/").map(String.init)
        if steps.count == 2, words.count >= 2, words[1].allSatisfy(\.isNumber) {
            // Monodepth2 writes frame numbers with and without leading zeros.
            let digits = String(words[1])
            let zeros = String(repeating: "0", count: max(0, 10 - digits.count))
            return Frame(drive: steps.joined(separator: "/"), number: zeros + digits)
        }
        if steps.count == 5, steps[3] == "data", steps[2].hasPrefix("image_0"), let dot = steps[4].lastIndex(of: ".") {
            return Frame(drive: steps[0] + "/" + steps[1], number: String(steps[4][..<dot]))
        }
        return nil
    }

    private func item(_ frame: Frame, _ part: FrameItem.Part?, _ folders: (left: String, right: String)) -> FrameItem {
        let drive = root + "/" + frame.drive
        func picture(_ folder: String) -> String {
            let base = "\(drive)/\(folder)/data/\(frame.number)"
            return [".png", ".jpg", ".jpeg"].map { base + $0 }.first(where: Files.exists) ?? base + ".png"
        }
        let steps = frame.drive.split(separator: "/").map(String.init)
        var files = SampleFiles.pair(
            "\(steps[1])/\(frame.number)", left: picture(folders.left), right: picture(folders.right))
        files.part = part
        files.group = frame.drive
        let path = "\(root)/\(steps[0])/calib_cam_to_cam.txt"
        let isGray = folders.left == "image_00"
        let calibration: @Sendable () throws -> Calibration = {
            try Calibration.kitti(
                path, left: isGray ? "P_rect_00" : "P_rect_02", right: isGray ? "P_rect_01" : "P_rect_03")
        }
        files.calibration = calibration
        let relative = "\(steps[1])/proj_depth/groundtruth/\(folders.left == "image_00" ? "image_00" : "image_02")"
        let truth = ["", "depth/"].flatMap { outer in ["train", "val"].map { "\(root)/\(outer)\($0)/\(relative)" } }
            .map { "\($0)/\(frame.number).png" }.first(where: Files.exists)
        if let truth {
            let depth: @Sendable (String, PixelArray) throws -> PixelArray = { path, view in
                try PairLoader.depth(path, divisors: (256, 256), like: view)
            }
            files.maps = [
                .init(FieldName.depth, truth, depth),
                .init(FieldName.disparity, truth) { path, view in
                    let (rig, map) = (try calibration(), try depth(path, view))
                    let scale = rig.focalLengthPixels * rig.baselineMetres
                    return PixelArray(
                        height: map.height, width: map.width, channels: 1,
                        floats: map.withFloats { $0.map { scale / $0 - rig.offsetPixels } })
                },
            ]
        }
        return files.item
    }
}
