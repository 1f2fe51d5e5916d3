import Basics

/// NYU Depth v2 in the three forms in which it goes around. Each sample has `image` and `depth` in metres, 0 = unknown.
///
/// | form | recognised by | depth | parts |
/// |---|---|---|---|
/// | labelled | `nyu_depth_v2_labeled.mat` (or a .mat as the root) | float32 metres | `splits.mat` beside it |
/// | DenseDepth | `nyu2_train.csv`, `nyu2_test.csv`, here or in `data/` | 8 bits: / 25.5; 16 bits: / 1000 | the two files |
/// | MMSegmentation | `images/{train,test}/`, `annotations/{train,test}/` | 16 bits / 1000 | the folders |
/// | BTS | `rgb_*.jpg` beside `sync_depth_*.png`, any number of folders down | 16 bits / 1000 | lists, or folders |
///
/// Lists are those of BTS (`rgb depth focal`; paths relative to the root, or to `sync/` or `test/` in it). Without lists a
/// folder named `test` makes the part `test`, and everything else is left to the caller. A scene is a group.
///
/// **Source:** cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html; Alhashim and Wonka's DenseDepth (`data.py`: 8-bit depth
/// is 0…10 m); Lee et al.'s BTS (`train_test_inputs/`); MMSegmentation's data preparation.
public struct NYUDepth: FrameSource {
    public let root: String
    public let lists: [PartList]

    public init(root: String, lists: [PartList] = []) {
        self.root = root
        self.lists = lists
    }

    public var name: String { "nyu" }

    public func items() throws -> [FrameItem] {
        if fileExtension(root) == "mat", Files.exists(root), !Files.isFolder(root) {
            return try NYULabelled(path: root).items()
        }
        try SourceFolder.require(root)
        let labelled = root + "/nyu_depth_v2_labeled.mat"
        if Files.exists(labelled) { return try NYULabelled(path: labelled).items() }
        for folder in [root + "/data", root] where Files.exists(folder + "/nyu2_train.csv") {
            return try denseDepth(folder)
        }
        if Files.isFolder(root + "/images") || Files.isFolder(root + "/annotations") { return try segmentation() }
        let items = lists.isEmpty ? try folders() : try listed()
        guard !items.isEmpty else {
            throw ImageError(
                path: root,
                "no nyu_depth_v2_labeled.mat, no data/nyu2_train.csv, no sub-folder images, and no rgb_*.jpg below",
                remedy: "give the folder into which the archive was unpacked", exitCode: .missingInput)
        }
        return items
    }

    @Sendable private static func metres(_ path: String, like view: PixelArray) throws -> PixelArray {
        try PairLoader.depth(path, divisors: (25.5, 1000), like: view)
    }

    private func sample(
        _ key: String, part: FrameItem.Part?, image: String, depth: String
    ) -> FrameItem {
        var files = SampleFiles.picture(key, FieldName.image, image)
        files.part = part
        files.group = key.lastIndex(of: "/").map { String(key[..<$0]) }
        files.maps = [.init(FieldName.depth, depth, Self.metres)]
        return files.item
    }

    /// Rows `data/nyu2_train/<scene>/<n>.jpg,data/nyu2_train/<scene>/<n>.png`; `folder` is what they call `data`.
    private func denseDepth(_ folder: String) throws -> [FrameItem] {
        var items: [FrameItem] = []
        for (file, part) in [("nyu2_train.csv", FrameItem.Part.train), ("nyu2_test.csv", .test)] {
            let path = folder + "/" + file
            guard Files.exists(path) else {
                throw ImageError(
                    path: folder, "no file \(file)", remedy: "unpack the archive again", exitCode: .missingInput)
            }
            for row in try TextFile.lines(path) {
                let names = row.split(separator: ",").map { name in
                    name.hasPrefix("data/") ? String(name.dropFirst(5)) : String(name)
                }
                guard names.count == 2, names.allSatisfy(TextFile.isInside) else {
                    throw ImageError(
                        path: path, "'\(row.prefix(80))' is no row", remedy: "rows are 'picture,depth', relative")
                }
                let dot = names[0].lastIndex(of: ".") ?? names[0].endIndex
                var item = sample(
                    String(names[0][..<dot]), part: part, image: "\(folder)/\(names[0])", depth: "\(folder)/\(names[1])"
                )
                // All test pictures lie in one folder, each of a scene of its own.
                if part == .test { item = FrameItem(key: item.key, part: .test, load: item.load) }
                items.append(item)
            }
        }
        return items
    }

    private func segmentation() throws -> [FrameItem] {
        let layout = "images/{train,test}/ and annotations/{train,test}/"
        try SourceFolder.require(["images", "annotations"], in: root, layout: layout)
        var items: [FrameItem] = []
        for part in [FrameItem.Part.train, .test] where Files.isFolder("\(root)/images/\(part.rawValue)") {
            let (images, maps) = ("\(root)/images/\(part.rawValue)", "\(root)/annotations/\(part.rawValue)")
            try SourceFolder.require([part.rawValue], in: root + "/annotations", layout: layout)
            let pictures = SourceFolder.byKey(try SourceFolder.pictures(in: images, formats: [.jpeg, .png])).paths
            let depths = try SourceFolder.pictures(in: maps, formats: [.png]).map(\.key)
            for key in Set(pictures.keys).union(depths).sorted(by: { $0.precedes($1) }) {
                items.append(
                    sample(
                        "\(part.rawValue)/\(key)", part: part, image: pictures[key] ?? "\(images)/\(key).jpg",
                        depth: "\(maps)/\(key).png"))
            }
        }
        guard !items.isEmpty else {
            throw ImageError(
                path: root, "no pictures in images/train or images/test", remedy: "the layout is \(layout)")
        }
        return items
    }

    /// Every `rgb_N` and `sync_depth_N` below the root.
    private func folders() throws -> [FrameItem] {
        var pictures: [String: String] = [:]
        var keys: Set<String> = []
        for picture in try SourceFolder.pictures(in: root, formats: [.jpeg, .png]) {
            let name = picture.key.split(separator: "/").last ?? ""
            let folder = picture.key.dropLast(name.count)
            if name.hasPrefix("rgb_") {
                let key = "\(folder)\(name.dropFirst(4))"
                pictures[key] = picture.path
                keys.insert(key)
            } else if name.hasPrefix("sync_depth_") {
                keys.insert("\(folder)\(name.dropFirst(11))")
            }
        }
        return keys.sorted { $0.precedes($1) }.map { key in
            let steps = key.split(separator: "/").map(String.init)
            let folder = ([root] + steps.dropLast()).joined(separator: "/")
            let number = steps.last ?? key
            return sample(
                key, part: steps.dropLast().contains("test") ? .test : nil,
                image: pictures[key] ?? "\(folder)/rgb_\(number).jpg", depth: "\(folder)/sync_depth_\(number).png")
        }
    }

    private func listed() throws -> [FrameItem] {
        var items: [FrameItem] = []
        for list in lists {
            let lines = try TextFile.lines(list.path)
            // Lists of both parts are relative to folders of their own: the one in which the first file is.
            let bases = ["", "/sync", "/test", "/official_splits/test", "/nyu_depth_v2/sync"].map { root + $0 }
            let first = lines.first?.split(whereSeparator: \.isWhitespace).first.map(Self.relative) ?? ""
            let base = bases.first { Files.exists($0 + "/" + first) } ?? root
            for line in lines {
                let words = line.split(whereSeparator: \.isWhitespace)
                let names = words.prefix(2).map(Self.relative)
                guard (2...3).contains(words.count), names.allSatisfy(TextFile.isInside) else {
                    throw ImageError(
                        path: list.path, "'\(line.prefix(80))' is no line of a split",
                        remedy: "lines are 'picture depth focal-length'")
                }
                // Depth is missing by design where a frame was dropped: the list then says None.
                if names[1] == "None" { continue }
                let dot = names[0].lastIndex(of: ".") ?? names[0].endIndex
                items.append(
                    sample(
                        String(names[0][..<dot]), part: list.part, image: "\(base)/\(names[0])",
                        depth: "\(base)/\(names[1])"))
            }
        }
        return items
    }

    /// BTS begins the paths of training lists with a slash.
    private static func relative(_ path: Substring) -> String { String(path.drop { $0 == "/" }) }
}
