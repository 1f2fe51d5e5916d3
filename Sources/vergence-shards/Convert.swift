import ArgumentParser
import Basics
import FrameSources
import Shards

enum Layout: String, CaseIterable, ExpressibleByArgument {
    case sideBySide = "side-by-side"
    case topBottom = "top-bottom"
    case folders
    case list
    case inria
    case kitti
    case kittiRaw = "kitti-raw"
    case middlebury
    case movie
    case eth3d
    case sceneflow
    case sintel
    case tartanair
    case fallingthings
    case nyu
    case overlay
}

struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turns a folder of pictures, or films, into a data set.",
        discussion: """
            Your own pairs:
              side-by-side   pictures whose left half is the left view
              top-bottom     pictures whose top half is the left view
              folders        left/ and right/ with the same names, and if there are
                             maps, disparity/ and disparity_right/
              list           a text file, one pair a line: left right [disparity]
              movie          a stereo film, or a folder of films (needs ffmpeg)
              inria          frames/ with sequences of name.jpg and name.jpg.right
            Stereo data sets as they are unpacked:
              kitti          KITTI 2012 or 2015, with its ground truth
              kitti-raw      KITTI raw, synced drives; --list for published splits
              middlebury     one scene's folder, or a folder of scenes, 2001 to 2021
              eth3d          ETH3D two-view
              sceneflow      FlyingThings3D, Monkaa, Driving, or one of them
              sintel         MPI Sintel's stereo extension
              tartanair      TartanAir, image_left, image_right, depth_left
              fallingthings  Falling Things
            One picture and its depth:
              nyu            NYU Depth v2: labelled .mat, DenseDepth, BTS, MMSegmentation
              overlay        background, overlay, mask and depth (DepthMaskNet)
            A data set's own parts are kept; --split divides what is left, or its training part, and keeps scenes, \
            drives and the like together.

            Pictures are PNG, JPEG, PGM or PPM of 8 or 16 bits. Every broken input is listed; if there are more than \
            --max-bad, nothing is written. After a kill, the same command continues.

            Example:
              vergence-shards convert frames films.data --layout side-by-side \\
                --size 192x336 --split val=every:7
              vergence-shards convert film.mkv film.data --layout movie --rate 1
            """)

    @Argument(
        help: "Folder with the pictures; a file for list and the labelled nyu; a film or a folder of them for movie.")
    var input: String

    @Argument(help: "Folder for the data set: empty, not there yet, or left by a killed run of this command.")
    var output: String

    @Option(help: "How INPUT is laid out.")
    var layout: Layout

    @Flag(help: "The halves or folders are exchanged: right view first.")
    var swapEyes = false

    @Option(
        help: ArgumentHelp(
            "Resize every view, by area; maps are picked, not mixed, and disparities scaled along.", valueName: "HxW"),
        transform: PixelSize.parse)
    var size: PixelSize?

    @Option(help: ArgumentHelp("Broken inputs that may be left out.", valueName: "N"))
    var maxBad: Int = 0

    @OptionGroup(title: "Data sets")
    var dataSets: DataSetOptions

    @OptionGroup(title: "Films")
    var films: MovieOptions

    @OptionGroup(title: "Writing")
    var writing: WritingOptions

    func validate() throws {
        guard maxBad >= 0 else { throw ValidationError("--max-bad \(maxBad) is negative") }
        try dataSets.require(layout)
        if layout != .movie, let option = films.given {
            throw ValidationError("\(option) is for --layout movie")
        }
        if swapEyes && dataSets.source(layout, root: input) != nil {
            throw ValidationError("--swap-eyes makes no sense with --layout \(layout.rawValue), whose eyes are known")
        }
    }

    func run() throws {
        let folder = try OutputFolder(output)
        let source = self.source
        let items = try source.items(note: Console.note)
        for line in SplitRule.complaints(items, writing.split) { Console.note(line) }
        // Films are looked at on their own way; published sets are what they are.
        if [.sideBySide, .topBottom, .folders, .list, .inria].contains(layout) {
            for warning in PairSurvey(items).warnings { Console.note("warning: \(input): \(warning)") }
        }
        let outcome = try Conversion(
            items: items, size: size, rules: writing.split, output: folder, workerCount: writing.workerCount,
            shardByteCount: writing.shardSize << 20, level: writing.level, maxBad: maxBad, provenance: provenance,
            inputs: [input]
        ).run()
        Report.written(outcome, to: folder.path)
    }

    private var source: any FrameSource {
        switch layout {
        case .sideBySide: PackedFrames(root: input, packing: .sideBySide, isSwapped: swapEyes)
        case .topBottom: PackedFrames(root: input, packing: .topBottom, isSwapped: swapEyes)
        case .folders: FolderPairs(root: input, isSwapped: swapEyes)
        case .inria: MovieFolders(root: input, isSwapped: swapEyes)
        case .movie: Films(root: input, options: films.options(swapEyes: swapEyes, size: size))
        default: dataSets.source(layout, root: input) ?? FolderPairs(root: input)
        }
    }

    /// What the records depend on; no path but the input's own name.
    private var provenance: [String: String] {
        var values = ["layout": layout.rawValue]
        values["input"] = input.split(separator: "/").last { $0 != "." && $0 != ".." }.map(String.init)
        if swapEyes { values["swap-eyes"] = "true" }
        if let size { values["size"] = "\(size.height)x\(size.width)" }
        if !writing.split.isEmpty { values["split"] = writing.split.map(\.text).joined(separator: " ") }
        values.merge(dataSets.provenance(layout)) { $1 }
        if layout == .movie { values.merge(films.provenance) { $1 } }
        if maxBad > 0 { values["max-bad"] = "\(maxBad)" }
        return values
    }
}
