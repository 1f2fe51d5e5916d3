import ArgumentParser
import Basics
import FrameSources
import Shards

extension FilmPacking: ExpressibleByArgument {}

/// How many frames of a film: `1`, `0.5`, `every`.
struct FrameRate: ExpressibleByArgument {
    let text: String
    let sampling: FilmSampling

    init?(argument: String) {
        text = argument
        if argument == "every" || argument == "all" {
            sampling = .every
        } else if let rate = Double(argument), rate >= 0.0001, rate <= 1000 {
            sampling = .rate(rate)
        } else {
            return nil
        }
    }
}

/// Width and height of a pixel: `24:35`.
struct PixelAspect: ExpressibleByArgument {
    let text: String
    let value: Double

    init?(argument: String) {
        text = argument
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false).map { Double($0) }
        guard parts.count == 2, let width = parts[0], let height = parts[1], width > 0, height > 0,
            (1.0 / 16...16).contains(width / height)
        else { return nil }
        value = width / height
    }
}

/// What `convert --layout movie` takes.
struct MovieOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How views share a frame; full or half (squeezed) by their shape unless said. With auto the film's own "
                + "label counts, then its pictures. (default: auto)", valueName: "packing"))
    var packing: FilmPacking?

    @Option(
        help: ArgumentHelp(
            "Frames per second of the film, or every for every frame. (default: 1)", valueName: "n|every"))
    var rate: FrameRate?

    @Flag(help: "Take the first frame of every scene instead.")
    var scenes = false

    @Option(
        help: ArgumentHelp("Aspect of a pixel of the packed frame, rather than the film's own.", valueName: "W:H"))
    var pixelAspect: PixelAspect?

    @Flag(help: "Take black frames, titles, frames without depth and near-duplicates too.")
    var keepAll = false

    @Flag(help: "Leave black bars on.")
    var keepBars = false

    @Flag(help: "Take what damaged films yield.")
    var keepDamaged = false

    func validate() throws {
        if scenes && rate != nil { throw ValidationError("--rate and --scenes exclude each other") }
    }

    /// The first option that was given, for other layouts.
    var given: String? {
        [
            (packing != nil, "--packing"), (rate != nil, "--rate"), (scenes, "--scenes"),
            (pixelAspect != nil, "--pixel-aspect"), (keepAll, "--keep-all"), (keepBars, "--keep-bars"),
            (keepDamaged, "--keep-damaged"),
        ].first { $0.0 }?.1
    }

    func options(swapEyes: Bool, size: PixelSize?) -> FilmOptions {
        var options = FilmOptions()
        options.packing = packing ?? .auto
        options.swapsEyes = swapEyes
        options.pixelAspect = pixelAspect?.value
        options.sampling = scenes ? .scenes : rate?.sampling ?? .rate(1)
        options.keepsAll = keepAll
        options.keepsBars = keepBars
        options.keepsDamaged = keepDamaged
        options.size = size.map { ($0.height, $0.width) }
        return options
    }

    var provenance: [String: String] {
        var values = ["sampling": scenes ? "scenes" : rate?.text ?? "1"]
        if let packing, packing != .auto { values["packing"] = packing.rawValue }
        if let pixelAspect { values["pixel-aspect"] = pixelAspect.text }
        if keepAll { values["keep-all"] = "true" }
        if keepBars { values["keep-bars"] = "true" }
        if keepDamaged { values["keep-damaged"] = "true" }
        return values
    }
}
