import ArgumentParser
import Basics
import FrameSources
import Shards

struct Synth: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Renders synthetic scenes with exact disparity, depth or masks.",
        discussion: """
            stereo: textured shapes and slanted planes with occlusions, disparities of both signs, and small differences \
            of light and noise between the views; fields left, right, disparity and more.
            mono: the left views of such scenes in haze, fields image and depth (1 to 10 metres).
            overlay: figures pasted on rooms, fields background, image, mask and depth (0…1, 8 bits).
            Sample i depends on the kind, the size, the seed and i alone.

            Examples:
              vergence-shards synth scenes.data --pairs 400 --size 64x96 --seed 1 \\
                --split val=0.1
              vergence-shards synth overlays.data --kind overlay --pairs 800 --size 64x64 --seed 1 --split val=0.1
            """)

    enum Kind: String, CaseIterable, ExpressibleByArgument { case stereo, mono, overlay }

    @Argument(help: "Folder for the data set: empty or not there yet.")
    var output: String

    @Option(help: "What to render: stereo, mono or overlay.")
    var kind: Kind = .stereo

    @Option(help: ArgumentHelp("How many pairs (or pictures).", valueName: "N"))
    var pairs: Int

    @Option(help: ArgumentHelp("Height and width of a view.", valueName: "HxW"), transform: PixelSize.parse)
    var size: PixelSize

    @Option(help: "Other seeds give other scenes.")
    var seed: UInt64

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Disparities in pixels, e.g. -6...6. (default: ±6 at width 96, in proportion, within -16...15)",
            valueName: "low...high"), transform: DisparityRange.init(argument:))
    var disparities: DisparityRange?

    @Option(help: "Strength of the differences of light and noise between the views; 0 = none.")
    var lighting: Double = 1

    @Flag(help: "Stereo scenes in haze, which shows depth to a network that sees one view.")
    var haze = false

    @OptionGroup(title: "Writing")
    var writing: WritingOptions

    func run() throws {
        let source: any FrameSource
        var provenance = [
            "size": "\(size.height)x\(size.width)", "seed": "\(seed)", "pairs": "\(pairs)", "lighting": "\(lighting)",
        ]
        guard disparities == nil || kind == .stereo else {
            throw ValidationError("--disparities are for --kind stereo")
        }
        guard !haze || kind == .stereo else {
            throw ValidationError("--haze is for --kind stereo; mono has it, overlay has none")
        }
        switch kind {
        case .stereo:
            let scenes = try SyntheticScenes(
                height: size.height, width: size.width, count: pairs, seed: seed, disparityRange: disparities?.range,
                lighting: lighting, isHazy: haze)
            if haze { provenance["haze"] = "yes" }
            provenance["disparities"] = "\(scenes.disparityRange.lowerBound)...\(scenes.disparityRange.upperBound)"
            source = scenes
        case .mono:
            source = try MonoScenes(
                height: size.height, width: size.width, count: pairs, seed: seed, lighting: lighting)
        case .overlay:
            source = try OverlayScenes(
                height: size.height, width: size.width, count: pairs, seed: seed, lighting: lighting)
        }
        provenance["layout"] = source.name
        let folder = try OutputFolder(output)
        if !writing.split.isEmpty { provenance["split"] = writing.split.map(\.text).joined(separator: " ") }
        let outcome = try Conversion(
            items: try source.items(), size: nil, rules: writing.split, output: folder,
            workerCount: writing.workerCount,
            shardByteCount: writing.shardSize << 20, level: writing.level, maxBad: 0, provenance: provenance
        ).run()
        Report.written(outcome, to: folder.path)
    }
}

/// `-6...6` or `-6:6`.
struct DisparityRange {
    let range: ClosedRange<Double>

    init(argument: String) throws {
        let text =
            argument.split(separator: ":", omittingEmptySubsequences: false).count == 2
            ? argument.split(separator: ":").map(String.init) : Self.parts(argument)
        guard text.count == 2, let low = Double(text[0]), let high = Double(text[1]), low.isFinite, high.isFinite,
            low < high
        else { throw ValidationError("give the lowest and the highest, such as -6...6") }
        range = low...high
    }

    private static func parts(_ text: String) -> [String] {
        guard let dots = text.firstRange(of: "...") else { return [] }
        return [String(text[..<dots.lowerBound]), String(text[dots.upperBound...])]
    }
}
