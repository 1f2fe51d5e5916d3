import Basics
import Glibc

/// Writes films that are made of another one, frame by frame, in segments: coded segments lie in a folder beside the film
/// until all are there, and are then joined without coding again. A run that was killed goes on behind the last whole
/// segment; the film comes out with the same frames, and, by the same ffmpeg on as many cores, with the same bytes.
///
/// Frames keep the times of the film that they come from, evenly spaced or not. For one thread at a time.
public final class FilmWriter {
    /// One of the films that are made.
    public struct Target: Sendable {
        public let kind: FilmKind
        public let path: String
        public let codec: FilmCodec

        public init(_ kind: FilmKind, path: String, codec: FilmCodec) {
            self.kind = kind
            self.path = path
            self.codec = codec
        }
    }

    public struct Options: Sendable {
        /// On the codec's scale; nil: its default.
        public var quality: Int?
        public var keepsAudio = true
        public var resumes = false
        public var overwrites = false
        /// Frames after which a killed run can go on.
        public var segmentFrames = 240
        public var silenceSeconds = FilmLimits.silenceSeconds

        public init() {}
    }

    public let targets: [Target]
    /// Streams of the film that do not come along.
    public let losses: [String]
    private let film: FilmInfo
    private let options: Options
    private let journal: FilmJournal
    private let frameSeconds: Double

    private var encoders: [FilmEncoder] = []
    private var timeBase: (numerator: Int, denominator: Int)?
    private var lastTicks: Int?
    private var firstMicroseconds = 0
    private var lastMicroseconds = 0
    private var segmentCount = 0

    /// - Parameters:
    ///   - work: the folder for segments.
    ///   - settings: what the frames depend on; a run that goes on must have the same.
    /// - Throws: `Failure` (64) if a target exists or does not fit its container, or as `FilmJournal` does.
    public init(
        _ film: FilmInfo, _ targets: [Target], work: String, settings: [String: String], options: Options
    ) throws {
        precondition(!targets.isEmpty && options.segmentFrames > 0, "a film writer without films or frames")
        self.film = film
        self.targets = targets
        self.options = options
        frameSeconds = 1 / (film.frameRate ?? 25)
        var losses: [String] = []
        for target in targets {
            guard let container = FilmContainer(extensionOf: target.path) else {
                throw Failure(.usage, "\(target.path): unknown kind of film; end the name in .mkv, .mp4 or .mov")
            }
            if target.codec == .ffv1, container == .mp4 {
                throw Failure(.usage, "\(target.path): MP4 does not hold ffv1; end the name in .mkv")
            }
            // A run that was killed while it joined films has published some of them.
            let isOurs = options.resumes && FilmJournal.isUnfinished(work)
            if Files.exists(target.path), !options.overwrites, !isOurs {
                throw Failure(.usage, "\(target.path): exists; give --overwrite, or another --output")
            }
            let muxer = FilmMuxer(
                film: film, container: container, keepsOthers: options.keepsAudio,
                silenceSeconds: options.silenceSeconds)
            for loss in muxer.streams(input: 1).losses where !losses.contains(loss) { losses.append(loss) }
        }
        self.losses = losses
        var all = settings
        all["targets"] = targets.map { "\($0.kind.rawValue) \($0.codec.rawValue)" }.joined(separator: ", ")
        all["quality"] = options.quality.map(String.init) ?? "default"
        all["segment-frames"] = "\(options.segmentFrames)"
        all["film"] = try Self.fingerprint(film.path)
        journal = try FilmJournal(
            folder: work, settings: all, resumes: options.resumes, overwrites: options.overwrites)
        var tried: Set<String> = []
        for target in targets {
            guard let container = FilmContainer(extensionOf: target.path) else { continue }
            guard options.keepsAudio, tried.insert(container.format).inserted else { continue }
            do {
                try FilmMuxer(
                    film: film, container: container, keepsOthers: true, silenceSeconds: options.silenceSeconds
                )
                .tryStreams(in: work)
            } catch {
                if journal.frameCount == 0 { try? journal.remove() }
                throw error
            }
        }
    }

    /// Whether nothing is left to be done: all films are there, and none is unfinished.
    public static func isDone(_ targets: [Target], work: String) throws -> Bool {
        guard targets.allSatisfy({ Files.exists($0.path) }), !FilmJournal.isUnfinished(work) else { return false }
        try FilmJournal.removeRemnants(of: work)
        return true
    }

    private static func fingerprint(_ path: String) throws -> String {
        var status = stat()
        guard stat(path, &status) == 0 else { throw FileError(path: path, action: "open", code: errno) }
        return "\(status.st_size) bytes of \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }

    /// Frames in finished segments: those that need not be made again.
    public var finishedFrameCount: Int { journal.frameCount }

    /// What the frames that are left depend on, as `write` was told it at the end of the last segment.
    public func state() throws -> [UInt8]? { try journal.state() }

    /// Something found out once for the whole film; nil if a run before did not say.
    public func fact(_ name: String) -> String? { journal.content.facts[name] }
    public func set(fact name: String, _ value: String) throws { try journal.set(fact: name, value) }

    /// Takes the next frame: a picture for each target.
    /// - Parameters:
    ///   - frame: whence it comes; its time is kept.
    ///   - timeBase: of the reader.
    ///   - state: what later frames depend on; asked for at the end of a segment.
    public func write(
        _ pictures: [PixelArray], of frame: FilmFrame, timeBase: (numerator: Int, denominator: Int)?,
        state: () -> [UInt8]?
    ) throws {
        precondition(pictures.count == targets.count, "\(pictures.count) pictures for \(targets.count) films")
        let base = timeBase ?? (1, 1000)
        self.timeBase = base
        if lastTicks == nil, let last = journal.content.segments.last {
            lastTicks = Self.ticks(last.lastMicroseconds, base)
        }
        // Frames without a time, or with one that is past, come right behind.
        let step = max(1, Int((frameSeconds * Double(base.denominator) / Double(base.numerator)).rounded()))
        var ticks = frame.ticks ?? (lastTicks.map { $0 + step } ?? 0)
        if let lastTicks, ticks <= lastTicks { ticks = lastTicks + 1 }
        lastTicks = ticks
        let time = Self.microseconds(ticks, base)
        if encoders.isEmpty { try open(pictures, base, at: time) }
        for (encoder, picture) in zip(encoders, pictures) {
            try encoder.write(picture, microseconds: time - firstMicroseconds)
        }
        lastMicroseconds = time
        segmentCount += 1
        if segmentCount == options.segmentFrames { try closeSegment(state()) }
    }

    static func microseconds(_ ticks: Int, _ base: (numerator: Int, denominator: Int)) -> Int {
        Int((Double(ticks) * Double(base.numerator) / Double(base.denominator) * 1e6).rounded())
    }

    static func ticks(_ microseconds: Int, _ base: (numerator: Int, denominator: Int)) -> Int {
        Int((Double(microseconds) / 1e6 * Double(base.denominator) / Double(base.numerator)).rounded())
    }

    private func open(_ pictures: [PixelArray], _ base: (numerator: Int, denominator: Int), at time: Int) throws {
        let number = journal.content.segments.count
        for (target, picture) in zip(targets, pictures) {
            // Matroska's display size is that of a view, so that half pictures have wide or high pixels there; MP4 has no
            // place for it, and players take such films by their names.
            let isMatroska = FilmContainer(extensionOf: target.path) == .matroska
            let aspect =
                switch target.kind {
                case .halfSideBySide where isMatroska: (2, 1)
                case .halfTopBottom where isMatroska: (1, 2)
                default: (1, 1)
                }
            encoders.append(
                try FilmEncoder(
                    film.tools,
                    .init(
                        kind: target.kind, codec: target.codec, quality: options.quality, height: picture.height,
                        width: picture.width, timeBase: base, frameSeconds: frameSeconds, pixelAspect: aspect),
                    to: journal.path(number, target.kind), silenceSeconds: options.silenceSeconds))
        }
        firstMicroseconds = time
    }

    private func closeSegment(_ state: [UInt8]?) throws {
        for encoder in encoders { try encoder.finish() }
        encoders = []
        try journal.add(
            .init(frameCount: segmentCount, firstMicroseconds: firstMicroseconds, lastMicroseconds: lastMicroseconds),
            state: state)
        segmentCount = 0
    }

    /// Joins the segments; the films appear, and the work folder goes.
    /// - Throws: `ImageError` (65) if there was no frame, else as writing does.
    public func finish() throws {
        if segmentCount > 0 { try closeSegment(nil) }
        let segments = journal.content.segments
        guard let first = segments.first else {
            try journal.remove()
            throw ImageError(path: film.path, "no frames in it")
        }
        for target in targets {
            guard let container = FilmContainer(extensionOf: target.path) else { continue }
            var list = "ffconcat version 1.0\n"
            for (number, segment) in segments.enumerated() {
                let end =
                    number + 1 < segments.count
                    ? segments[number + 1].firstMicroseconds
                    : segment.lastMicroseconds + Int(frameSeconds * 1e6)
                list += "file '\(FilmJournal.segmentName(number, target.kind))'\n"
                list += "duration \(FilmMuxer.seconds(Double(end - segment.firstMicroseconds) / 1e6))\n"
            }
            let listPath = journal.folder + "/list-\(target.kind.rawValue).ffconcat"
            try AtomicFileWriter.write(list, to: listPath)
            let writer = try AtomicFileWriter(path: target.path)
            let clock = timeBase.map { $0.denominator } ?? 90_000
            try FilmMuxer(
                film: film, container: container, keepsOthers: options.keepsAudio,
                silenceSeconds: options.silenceSeconds
            ).join(
                list: listPath, start: Double(first.firstMicroseconds) / 1e6, kind: target.kind, codec: target.codec,
                clock: max(1000, clock), to: writer)
            try writer.publish()
        }
        try journal.remove()
    }

    /// Ends the programs; what is finished stays for a later run.
    public func stop() {
        for encoder in encoders { encoder.stop() }
        encoders = []
    }
}
