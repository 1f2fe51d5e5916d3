import ArgumentParser
import Basics
import FrameSources
import Glibc
import Models
import Telemetry
import Training

/// Options of `vergence predict` that only films have.
struct FilmOutputOptions: ParsableArguments {
    enum ViewSource: String, CaseIterable, ExpressibleByArgument { case warped, network }

    @Option(
        help: ArgumentHelp(
            "Films to make, commas between: \(FilmKind.allCases.map(\.rawValue).joined(separator: ", ")). (default: sbs by a "
                + "network that makes the right view of a 2D film, else depth)", valueName: "kinds"))
    var film: String?
    @Option(
        help: ArgumentHelp(
            "How a film's frames hold two views: \(FilmPacking.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "packing"))
    var packing = FilmPacking.auto
    @Option(help: "How pictures are coded: \(FilmCodec.allCases.map(\.rawValue).joined(separator: ", ")).")
    var codec = FilmCodec.h264
    @Option(help: "Constant quality on the codec's scale, smaller = better. (default: 18 for h264, 20 for h265)")
    var quality: Int?
    @Option(help: "Kind of file: mkv, mp4 or mov.")
    var container = "mkv"
    @Option(
        help: """
            Share of the map before in each map of a film, 0…0.95, moved as the picture moved: takes out flicker; 0 leaves \
            maps as the network makes them.
            """)
    var smooth: Float = 0.7
    @Option(
        help: """
            Other views of a film: warped by the disparity at the film's resolution (and smoothed with it), or as the \
            network makes them. (default: network if it makes them from one view alone, else warped)
            """)
    var views: ViewSource?
    @Flag(help: "Leave out a film's sound and subtitles.")
    var noAudio = false
    @Flag(help: "Go on with films that a run before has begun; finished ones are left as they are.")
    var resume = false
    @Flag(help: "Replace films that exist, and begin unfinished ones again.")
    var overwrite = false
    @Option(help: ArgumentHelp("Frames after which a killed run can go on.", visibility: .hidden))
    var segmentFrames = 240

    func kinds() throws -> [FilmKind]? {
        guard (0...0.95).contains(smooth) else { throw Failure(.usage, "--smooth \(smooth): give 0…0.95") }
        guard (1...100_000).contains(segmentFrames) else { throw Failure(.usage, "--segment-frames: give 1…100000") }
        if let quality, !(0...63).contains(quality) { throw Failure(.usage, "--quality \(quality): give 0…63") }
        guard ["mkv", "mp4", "mov"].contains(container) else {
            throw Failure(.usage, "--container \(container): give mkv, mp4 or mov")
        }
        let names = FilmKind.allCases.map(\.rawValue)
        let kinds = try film?.split(separator: ",").map { name in
            guard let kind = FilmKind(rawValue: String(name)) else {
                throw Failure(
                    .usage,
                    "--film: unknown '\(name)'\(suggestion(for: String(name), among: names)); known: "
                        + names.joined(separator: ", "))
            }
            return kind
        }
        if let kinds, kinds.isEmpty || Set(kinds).count != kinds.count {
            throw Failure(.usage, "--film \(film ?? ""): name each kind once")
        }
        return kinds
    }
}

extension FilmPacking: ExpressibleByArgument {}
extension FilmCodec: ExpressibleByArgument {}

/// Films of `vergence predict`, one after the other.
struct FilmJob {
    let input: String
    let options: FilmOutputOptions
    let kinds: [FilmKind]?
    /// A folder, or the film's own path.
    let output: String
    let isFile: Bool
    let reading: FilmOptions
    let range: ClosedRange<Float>?
    let rig: RigCalibration?
    /// What the maps depend on beside these: the weights.
    let weights: String

    var stem: String {
        let name = input.split(separator: "/").last.map(String.init) ?? input
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return name }
        return String(name[..<dot])
    }

    /// - Returns: a line about what was made.
    func run(_ predictor: Predictor) throws -> String {
        let tools = try FFmpeg.find()
        let abilities = try FilmPrediction.Abilities(predictor.network, maps: predictor.maps)
        let kinds = self.kinds ?? abilities.kinds
        let views = try FilmViews(path: input, tools: tools, wantsPair: abilities.wantsPair, options: reading)
        var settings = FilmPrediction.Options()
        settings.smoothing = options.smooth
        settings.range = range
        settings.calibration = rig?.fitted(width: views.width).calibration
        settings.warpsViews = options.views.map { $0 == .warped } ?? abilities.wantsPair
        let prediction = try FilmPrediction(predictor, views, kinds: kinds, options: settings)
        let targets = try targets(kinds, madeEye: prediction.madeEye)
        let folder = isFile ? (output.lastIndex(of: "/").map { String(output[..<$0]) } ?? ".") : output
        let work = isFile ? output + ".unfinished" : "\(output)/\(stem).unfinished"
        if options.resume, try FilmWriter.isDone(targets, work: work) {
            return "\(input): already there: " + targets.map(\.path).joined(separator: ", ")
        }
        Console.note(views.summary)
        for warning in views.warnings { Console.warn("\(input): \(warning)") }
        if !folder.isEmpty { try Files.createFolder(folder) }
        var writing = FilmWriter.Options()
        writing.quality = options.quality
        writing.keepsAudio = !options.noAudio
        writing.resumes = options.resume
        writing.overwrites = options.overwrite
        writing.segmentFrames = options.segmentFrames
        let writer = try FilmWriter(
            views.film, targets, work: work,
            settings: [
                "weights": weights, "size": "\(predictor.height)x\(predictor.width)", "smooth": "\(options.smooth)",
                "range": range.map { "\($0)" } ?? "found", "views": settings.warpsViews ? "warped" : "network",
                "packing": reading.packing.rawValue, "swap-eyes": "\(reading.swapsEyes)",
                "pixel-aspect": reading.pixelAspect.map { "\($0)" } ?? "the film's",
                "calibration": settings.calibration.map { "\($0)" } ?? "none",
            ], options: writing)
        defer { writer.stop() }
        for loss in writer.losses { Console.warn("\(input): \(loss); left out") }
        let start = writer.finishedFrameCount
        if start > 0 { Console.note("\(input): goes on behind frame \(start)") }
        let total = views.film.estimatedFrameCount
        let reporter = ProgressReporter(
            task: "predict", unit: "frame", items: "frames", position: start, total: total.map { max($0, start) })
        defer { reporter.finish() }
        let result = try prediction.run(writer) { reporter.update(position: $0) }
        reporter.finish()
        if result.errorCount > 0 {
            Console.warn(
                "\(input): damaged (\(result.errorCount) complaints of the decoder, first: \(result.firstError)); "
                    + "\(result.frameCount) frames could be read")
        }
        return "\(input): \(result.frameCount) frames at \(predictor.height)x\(predictor.width); "
            + targets.map(\.path).joined(separator: ", ")
    }

    private func targets(_ kinds: [FilmKind], madeEye: Eye?) throws -> [FilmWriter.Target] {
        if isFile, kinds.count > 1 {
            throw Failure(.usage, "--output \(output): is one film, --film names \(kinds.count); give a folder")
        }
        return kinds.map { kind in
            // Sixteen bits survive in this codec alone.
            let codec = kind == .gray16 ? .ffv1 : options.codec
            if isFile { return .init(kind, path: output, codec: codec) }
            let ending = codec == .ffv1 && options.container == "mp4" ? "mkv" : options.container
            let name = stem + kind.suffix(view: "\((madeEye ?? .right).rawValue)_rebuilt")
            return .init(kind, path: "\(output)/\(name).\(ending)", codec: codec)
        }
    }
}

/// What a film's prediction says when it is interrupted; parts that are finished stay where they are.
enum FilmInterrupt {
    static func install() { for number in [SIGINT, SIGTERM] { signal(number, handler) } }

    static func remove() { for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) } }

    private static let handler: @convention(c) (Int32) -> Void = { number in
        // Only what is safe in a signal handler.
        let text: StaticString = "\nstopped; the same command with --resume goes on\n"
        _ = write(2, text.utf8Start, text.utf8CodeUnitCount)
        signal(number, SIG_DFL)
        raise(number)
    }
}
