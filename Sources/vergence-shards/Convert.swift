import ArgumentParser
import Basics
import FrameSources
import Shards

enum Layout: String, CaseIterable, ExpressibleByArgument {
    case sideBySide = "side-by-side"
    case topBottom = "top-bottom"
    case folders
    case kitti
    case middlebury
    case movie
}

extension KITTI.GroundTruth: ExpressibleByArgument {}

struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turns a folder of pictures, or films, into a data set.",
        discussion: """
            Layouts:
              side-by-side  pictures whose left half is the left view
              top-bottom    pictures whose top half is the left view
              folders       left/ and right/ with the same names, and if there are
                            maps, disparity/ and disparity_right/
              kitti         KITTI 2012 or 2015 as unpacked, with its ground truth
              middlebury    one scene's folder, or a folder of scenes
              movie         a stereo film, or a folder of films (needs ffmpeg)

            Pictures are PNG or JPEG of 8 or 16 bits. Every broken input is listed; if there are more than --max-bad, \
            nothing is written.

            Example:
              vergence-shards convert frames films.data --layout side-by-side \\
                --size 192x336 --split val=every:7
              vergence-shards convert film.mkv film.data --layout movie --rate 1
            """)

    @Argument(help: "Folder with the pictures; a film or a folder of films for movie.")
    var input: String

    @Argument(help: "Folder for the data set: empty or not there yet.")
    var output: String

    @Option(help: "How INPUT is laid out.")
    var layout: Layout

    @Flag(help: "The halves or folders are exchanged: right view first.")
    var swapEyes = false

    @Option(
        help: ArgumentHelp("Resize every view, by area; disparities are scaled along.", valueName: "HxW"),
        transform: Size.init(argument:))
    var size: Size?

    @Option(help: ArgumentHelp("Broken inputs that may be left out.", valueName: "N"))
    var maxBad: Int = 0

    @Option(help: "kitti: ground truth of non-occluded pixels (noc) or of all (occ), if both are there.")
    var groundTruth: KITTI.GroundTruth = .nonOccluded

    @Flag(help: "kitti: take colored_0 and colored_1 rather than the gray views.")
    var colour = false

    @Option(help: "middlebury: what 8-bit disparities are divided by. (default: by set and size)")
    var disparityScale: Float?

    @OptionGroup(title: "Films")
    var films: MovieOptions

    @OptionGroup(title: "Writing")
    var writing: WritingOptions

    func validate() throws {
        guard maxBad >= 0 else { throw ValidationError("--max-bad \(maxBad) is negative") }
        if let disparityScale, !(disparityScale > 0 && disparityScale.isFinite) {
            throw ValidationError("--disparity-scale \(disparityScale) is not positive")
        }
        if layout != .movie, let option = films.given {
            throw ValidationError("\(option) is for --layout movie")
        }
        if swapEyes && (layout == .kitti || layout == .middlebury) {
            throw ValidationError("--swap-eyes makes no sense with --layout \(layout.rawValue), whose eyes are known")
        }
    }

    func run() throws {
        let folder = try OutputFolder(output)
        let source = self.source
        let items = try source.items(note: Console.note)
        if layout == .movie { films.noteSplits(items, writing.split) }
        let outcome = try Conversion(
            items: items, size: size, rules: writing.split, output: folder, workerCount: writing.workerCount,
            shardByteCount: writing.shardSize << 20, level: writing.level, maxBad: maxBad, provenance: provenance
        ).run()
        Report.written(outcome, to: folder.path)
    }

    private var source: any FrameSource {
        switch layout {
        case .sideBySide: PackedFrames(root: input, packing: .sideBySide, isSwapped: swapEyes)
        case .topBottom: PackedFrames(root: input, packing: .topBottom, isSwapped: swapEyes)
        case .folders: FolderPairs(root: input, isSwapped: swapEyes)
        case .kitti: KITTI(root: input, groundTruth: groundTruth, prefersColour: colour)
        case .middlebury: Middlebury(root: input, disparityScale: disparityScale)
        case .movie: Films(root: input, options: films.options(swapEyes: swapEyes, size: size))
        }
    }

    /// What the records depend on; no path but the input's own name.
    private var provenance: [String: String] {
        var values = ["layout": layout.rawValue]
        values["input"] = input.split(separator: "/").last { $0 != "." && $0 != ".." }.map(String.init)
        if swapEyes { values["swap-eyes"] = "true" }
        if let size { values["size"] = "\(size.height)x\(size.width)" }
        if !writing.split.isEmpty { values["split"] = writing.split.map(\.text).joined(separator: " ") }
        if layout == .movie { values.merge(films.provenance) { $1 } }
        if layout == .kitti {
            values["ground-truth"] = groundTruth.rawValue
            if colour { values["colour"] = "true" }
        }
        if let disparityScale { values["disparity-scale"] = "\(disparityScale)" }
        if maxBad > 0 { values["max-bad"] = "\(maxBad)" }
        return values
    }
}
