import ArgumentParser
import Basics
import FrameSources
import Shards

struct Synth: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Renders synthetic stereo scenes with exact disparity.",
        discussion: """
            Textured shapes and slanted planes with occlusions, disparities of both signs, and small differences of \
            light and noise between the views. Pair i depends on the size, the seed and i alone.

            Example:
              vergence-shards synth scenes.data --pairs 400 --size 64x96 --seed 1 \\
                --split val=0.1
            """)

    @Argument(help: "Folder for the data set: empty or not there yet.")
    var output: String

    @Option(help: ArgumentHelp("How many pairs.", valueName: "N"))
    var pairs: Int

    @Option(help: ArgumentHelp("Height and width of a view.", valueName: "HxW"), transform: Size.init(argument:))
    var size: Size

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

    @OptionGroup(title: "Writing")
    var writing: WritingOptions

    func run() throws {
        let source = try SyntheticScenes(
            height: size.height, width: size.width, count: pairs, seed: seed, disparityRange: disparities?.range,
            lighting: lighting)
        let folder = try OutputFolder(output)
        var provenance = [
            "layout": source.name, "size": "\(size.height)x\(size.width)", "seed": "\(seed)", "pairs": "\(pairs)",
            "disparities": "\(source.disparityRange.lowerBound)...\(source.disparityRange.upperBound)",
            "lighting": "\(lighting)",
        ]
        if !writing.split.isEmpty { provenance["split"] = writing.split.map(\.text).joined(separator: " ") }
        let outcome = try Conversion(
            items: source.items(), size: nil, rules: writing.split, output: folder, workerCount: writing.workerCount,
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
