import ArgumentParser
import Basics
import FrameSources
import Models
import Telemetry
import Training

/// `vergence predict`: depth maps of the user's own pictures.
struct PredictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "predict", abstract: "Makes depth maps, views and films of pictures and films.",
        discussion: """
            Inputs are pictures that hold both views, folders of such pictures, folders with left/ and right/ in them, or two \
            files a pair (--layout pairs left.png right.png). A \
            network that reads one picture takes pictures and folders of pictures (of packed views with --layout); one that \
            reads others takes folders with one folder for each field, such as image/ and background/.
            Maps are named by the eye whose pixels they are, in pixels of the picture's own width, positive = nearer:
              KEY_disparity_left.png     colours, blue far, red near
              KEY_disparity_left_16.png  (d + 128) · 256 in 16 bits: signed disparities survive
              KEY_disparity_left.pfm     float32; also .npy
              KEY_depth.png, .pfm, .npy  metres; KEY_depth_16.png: metres · 256, 0 = unknown
              KEY_mask.png, .pfm, .npy   probability, 0…255 in the picture
              KEY_right_rebuilt.png      the right view as the network rebuilds it from the left one, at the picture's size
              KEY_sbs.png                left and right view side by side, if the network makes one from the other alone
              KEY_anaglyph.png           the same for red-cyan glasses
              KEY_depth_left.png, …      metres, with --calibration; KEY_points.ply: points in space, with --ply
            Films (read and written by ffmpeg) become films with their sound, subtitles and times:
              NAME_depth.mkv, NAME_depth_gray.mkv, NAME_depth_16.mkv (the numbers of _16.png, lossless),
              NAME_right_rebuilt.mkv, NAME_LRF_Full_SBS.mkv, NAME_LR.mkv (half), NAME_TBF_fulltb.mkv, NAME_TB.mkv (half),
              NAME_redcyan.mkv; what a killed run has done, --resume goes on with.
            Example: vergence predict film.mkv --checkpoint run --output maps --film depth,sbs
            Example: vergence predict frames --layout side-by-side --checkpoint run/checkpoints/best.safetensors --output maps
            """)

    enum Layout: String, CaseIterable, ExpressibleByArgument {
        case sideBySide = "side-by-side"
        case topBottom = "top-bottom"
        case folders
        /// Two files a pair, the left view first.
        case pairs
    }

    enum Format: String, CaseIterable { case color, png16, pfm, npy, views, sbs, anaglyph }

    @Argument(help: ArgumentHelp("Pictures, folders of them, or films.", valueName: "input"))
    var inputs: [String]
    @OptionGroup var network: CheckpointOptions
    @Option(help: ArgumentHelp("Folder to write into; or, of one film, the file.", valueName: "folder|file"))
    var output: String
    @Option(help: "How views are packed. (default: folders for a folder with left/ and right/, else side-by-side)")
    var layout: Layout?
    @Flag(help: "The other half (or folder) is the left view.")
    var swapEyes = false
    @Option(help: "Height x width at which the network runs. (default: that of its training)")
    var size: PixelSize?
    @Flag(help: "Average each map with that of the mirrored picture: better depth in twice the time.")
    var flip = false
    @Option(help: "What to write: \(Format.allCases.map(\.rawValue).joined(separator: ",")); commas between.")
    var formats = "color,png16,pfm,views,sbs,anaglyph"
    @Option(
        parsing: .unconditional,
        help: "Disparities of the colour map's ends, LOW:HIGH; without it each map, or film, has its own.")
    var range: String?
    @OptionGroup(title: "Space") var space: SpaceOptions
    @OptionGroup(title: "Films") var film: FilmOutputOptions
    @OptionGroup var machine: MachineOptions
    @OptionGroup var logging: LogOptions

    func run() throws {
        let chosen = try formats.split(separator: ",").map { name in
            guard let format = Format(rawValue: String(name)) else {
                let names = Format.allCases.map(\.rawValue)
                throw Failure(
                    .usage,
                    "--formats: unknown '\(name)'\(suggestion(for: String(name), among: names)); known: "
                        + names.joined(separator: ", "))
            }
            return format
        }
        let ending = output.split(separator: "/").last?.split(separator: ".").dropFirst().last.map { $0.lowercased() }
        if let ending, Self.pictureEndings.contains(ending), !Files.isFolder(output) {
            throw Failure(
                .usage, "--output \(output): is a picture's name, but several files are written; give a folder")
        }
        let fixedRange = try range.map(parseRange)
        let rig = try space.rig()
        let films = try filmJobs(fixedRange, rig)
        let inputs = self.inputs.filter { !isFilm($0) }
        let predictor = try Predictor(
            network.load(), size: size.map { ($0.height, $0.width) }, averagesMirrored: flip, kernels: machine.kernels()
        )
        if !films.isEmpty {
            FilmInterrupt.install()
            defer { FilmInterrupt.remove() }
            for film in films { print(try film.run(predictor)) }
        }
        if inputs.isEmpty { return }
        let fields = predictor.network.inputs.map(\.name)
        let items =
            try layout == .pairs
            ? pairs(fields: fields) : inputs.flatMap { try self.items(of: $0, fields: fields) }
        if Set(fields) == [FieldName.left, FieldName.right] {
            for warning in PairSurvey(items).warnings {
                Console.warn(
                    warning + (layout == nil && warning.hasSuffix("--layout") ? " (pairs: two files a pair)" : ""))
            }
        }
        if fields == [FieldName.left], layout == nil, let warning = PairSurvey.packingWarning(items) {
            Console.warn(warning)
        }
        var keys: Set<String> = []
        for item in items where !keys.insert(item.key).inserted {
            throw Failure(
                .usage,
                "two inputs are called \(item.key) and would share their maps; predict them into different folders")
        }
        let reporter = ProgressReporter(task: "predict", unit: "picture", items: "pictures", total: items.count)
        defer { reporter.finish() }
        var sheets = ContactSheetWriter(folder: output)
        var (error, measured) = (0.0, 0)
        for (number, item) in items.enumerated() {
            let record = try item.load()
            let prediction = try predictor.predict(record)
            // Not before something goes into it.
            if number == 0 { try Files.createFolder(output) }
            let maps = space.withDepth(prediction.maps, rig)
            try write(prediction, maps, key: item.key, chosen, fixedRange)
            if space.ply, let rig { try space.writePoints(maps, of: record, rig, to: "\(output)/\(item.key)") }
            if space.contactSheet { try sheets.add(record, prediction, range: fixedRange) }
            try writeStereo(prediction, of: record, for: predictor.network, chosen)
            if !prediction.errors.isEmpty {
                error += prediction.errors.map(\.value).reduce(0, +) / Double(prediction.errors.count)
                measured += 1
            }
            reporter.update(position: number + 1)
        }
        try sheets.write()
        reporter.finish()
        let quality =
            measured > 0
            ? ", mean absolute error of the rebuilt views \(ProgressFormat.loss(error / Double(measured)))" : ""
        print(
            "\(items.count) picture\(items.count == 1 ? "" : "s") at \(predictor.height)x\(predictor.width)\(quality); "
                + "maps in \(output)")
    }

    private static let pictureEndings: Set<String> = ["png", "jpg", "jpeg", "gif", "pfm", "npy", "ply", "tif", "tiff"]

    private var rigIsGiven: Bool { space.calibration != nil }

    /// A file that has a film's name.
    private func isFilm(_ input: String) -> Bool { Films.isFilm(input) && !Files.isFolder(input) }

    private func filmJobs(_ range: ClosedRange<Float>?, _ rig: RigCalibration?) throws -> [FilmJob] {
        let kinds = try film.kinds()
        let films = inputs.filter(isFilm)
        guard !films.isEmpty else {
            if kinds != nil { throw Failure(.usage, "--film: none of the inputs is a film") }
            return []
        }
        if space.ply || space.contactSheet {
            throw Failure(
                .usage, "--ply and --contact-sheet are for pictures; take frames of the film with ffmpeg first")
        }
        for path in films where !Files.exists(path) { throw Failure(.missingInput, "\(path): no such film") }
        let isFile = Films.isFilm(output) && !Files.isFolder(output)
        if isFile, inputs.count > 1 {
            throw Failure(
                .usage, "--output \(output): is one film, but there are \(inputs.count) inputs; give a folder")
        }
        var reading = FilmOptions()
        reading.swapsEyes = swapEyes
        reading.packing = film.packing
        if reading.packing == .auto {
            switch layout {
            case .sideBySide: reading.packing = .sideBySide
            case .topBottom: reading.packing = .topBottom
            case .folders, .pairs:
                throw Failure(.usage, "--layout \(layout?.rawValue ?? "") is not for films; give --packing")
            case nil: break
            }
        }
        let weights = Hash.xxh64(try Files.read(try CheckpointPath.file(network.checkpoint), limit: 1 << 34))
        let jobs = films.map {
            FilmJob(
                input: $0, options: film, kinds: kinds, output: output, isFile: isFile, reading: reading, range: range,
                rig: rig, weights: Hash.hexadecimal(weights))
        }
        var stems: Set<String> = []
        for job in jobs where !stems.insert(job.stem).inserted {
            throw Failure(
                .usage, "two films are called \(job.stem) and would share a name; give different --output folders")
        }
        return jobs
    }

    private func parseRange(_ text: String) throws -> ClosedRange<Float> {
        let parts = text.split(separator: ":").map { Float($0) }
        guard parts.count == 2, let low = parts[0], let high = parts[1], low < high else {
            throw Failure(.usage, "--range \(text): write LOW:HIGH, e.g. --range=-8:8")
        }
        return low...high
    }

    /// - Parameter fields: what the network reads.
    private func items(of input: String, fields: [String]) throws -> [FrameItem] {
        guard Files.exists(input) else { throw Failure(.missingInput, "\(input): no such picture or folder") }
        // Packed views are a picture too, for a network that reads the left one.
        let hasViews = Files.isFolder(input + "/left") && Files.isFolder(input + "/right")
        let takesViews =
            Set(fields) == [FieldName.left, FieldName.right]
            || fields == [FieldName.left] && (layout != nil || hasViews)
        if !takesViews {
            guard layout == nil || layout == .folders && fields.count > 1 else {
                throw Failure(
                    .usage,
                    "--layout \(layout?.rawValue ?? ""): the network reads \(fields.joined(separator: " and ")), "
                        + "no packed views; leave --layout out")
            }
            return try PictureFolders(root: input, fields: fields).items()
        }
        if Files.isFolder(input) {
            switch layout ?? (hasViews ? .folders : .sideBySide) {
            case .folders: return try FolderPairs(root: input, isSwapped: swapEyes).items()
            case .sideBySide: return try PackedFrames(root: input, packing: .sideBySide, isSwapped: swapEyes).items()
            case .topBottom: return try PackedFrames(root: input, packing: .topBottom, isSwapped: swapEyes).items()
            case .pairs: throw Failure(.usage, "\(input): is a folder, --layout pairs takes files: left right …")
            }
        }
        let packing: PackedFrames.Packing
        switch layout {
        case .folders: throw Failure(.usage, "\(input): is a picture, --layout folders needs a folder")
        case .topBottom: packing = .topBottom
        case .sideBySide, .pairs, nil: packing = .sideBySide
        }
        let frames = PackedFrames(root: input, packing: packing, isSwapped: swapEyes)
        let key = FilePairs.key(of: input)
        return [
            FrameItem(key: key) { Record(key: key, fields: try frames.split(ImageFile.read(input), path: input)) }
        ]
    }

    /// Two files a pair.
    private func pairs(fields: [String]) throws -> [FrameItem] {
        guard Set(fields) == [FieldName.left, FieldName.right] else {
            throw Failure(
                .usage, "--layout pairs: the network reads \(fields.joined(separator: " and ")); leave --layout out")
        }
        return try FilePairs(files: inputs, isSwapped: swapEyes).items()
    }

    private func write(
        _ prediction: Predictor.Prediction, _ maps: [Predictor.PredictedMap], key: String, _ formats: [Format],
        _ fixedRange: ClosedRange<Float>?
    ) throws {
        let base = "\(output)/\(key)"
        if key.contains("/") {
            try Files.createFolder(
                base.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/"))
        }
        for predicted in maps {
            let (kind, map, name) = (predicted.map.kind, predicted.array, "\(base)_\(predicted.map.name)")
            for format in formats {
                switch format {
                case .color where kind == .mask:
                    try ImageFile.write(MapFiles.gray(map), to: name + ".png")
                case .color:
                    // The range is that of disparities, where there are any.
                    let own = kind == .depth && rigIsGiven ? nil : fixedRange
                    let range = own ?? (kind == .relativeDepth ? 0...1 : Colormap.range(of: map) ?? 0...1)
                    try ImageFile.write(Colormap.colours(of: map, in: range), to: name + ".png")
                case .png16 where kind == .disparity:
                    try ImageFile.write(DisparityFiles.png16(map), to: name + "_16.png")
                case .png16: try ImageFile.write(MapFiles.png16(map, kind), to: name + "_16.png")
                case .pfm: try ImageFile.write(map, to: name + ".pfm")
                case .npy: try ImageFile.write(map, to: name + ".npy")
                case .views, .sbs, .anaglyph: break
                }
            }
        }
        if formats.contains(.views) {
            for (eye, picture) in prediction.reconstructions {
                try ImageFile.write(picture, to: "\(base)_\(eye.rawValue)_rebuilt.png")
            }
        }
    }

    /// Both views as one picture, where the network makes one of them from the other alone.
    private func writeStereo(
        _ prediction: Predictor.Prediction, of record: Record, for network: any Network, _ formats: [Format]
    ) throws {
        guard network.inputs.count == 1, let made = prediction.reconstructions.first,
            let source = network.inputs[0].streamed.candidates.lazy.compactMap({ record[$0] }).first
        else { return }
        let other = ContactSheet.displayable(source)
        let (left, right) = made.eye == .right ? (other, made.picture) : (made.picture, other)
        if formats.contains(.sbs) {
            try ImageFile.write(
                StereoPictures.sideBySide(left: left, right: right), to: "\(output)/\(record.key)_sbs.png")
        }
        if formats.contains(.anaglyph) {
            try ImageFile.write(
                StereoPictures.anaglyph(left: left, right: right), to: "\(output)/\(record.key)_anaglyph.png")
        }
    }
}
