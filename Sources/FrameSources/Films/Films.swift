import Basics

/// A film with two views, or a folder of films, read through `ffmpeg`. Keys are the film's name and the number of the
/// frame among those that sampling takes; every film is a group of its own, so that splits go between films.
public struct Films: FrameSource {
    public let root: String
    public let options: FilmOptions

    public init(root: String, options: FilmOptions = FilmOptions()) {
        self.root = root
        self.options = options
    }

    public var name: String { "movie" }

    /// What counts as a film in a folder; a single file is tried whatever its name.
    static let extensions: Set<String> = [
        "3gp", "asf", "avi", "divx", "flv", "m2ts", "m2v", "m4v", "mk3d", "mkv", "mov", "mp4", "mpeg", "mpg", "mts",
        "mxf", "ogm", "ogv", "ssif", "ts", "vob", "webm", "wmv",
    ]

    /// Whether a file is a film by its name.
    public static func isFilm(_ path: String) -> Bool { extensions.contains(fileExtension(path)) }

    public func items() throws -> [FrameItem] { try items { _ in } }

    public func items(note: (String) -> Void) throws -> [FrameItem] {
        guard Files.exists(root) else {
            throw ImageError(path: root, "no such film or folder", remedy: "check the path", exitCode: .missingInput)
        }
        let tools = try FFmpeg.find()
        guard Files.isFolder(root) else {
            let name = root.split(separator: "/").last.map(String.init) ?? root
            return try items(of: root, key: Self.stem(Self.plain(name)), tools, note)
        }
        let (films, others) = try list()
        if others > 0 { note("\(root): \(others) other files passed over") }
        guard !films.isEmpty else {
            throw ImageError(
                path: root, "no films in it", remedy: "put films there (.mkv, .mp4, …), or give another folder")
        }
        let stems = Dictionary(grouping: films) { Self.stem(Self.plain($0)) }
        var items: [FrameItem] = []
        var taken: Set<String> = []
        for film in films {
            let stem = Self.stem(Self.plain(film))
            var key = (stems[stem]?.count ?? 0) > 1 ? Self.plain(film) : stem
            while !taken.insert(key).inserted { key += "_" }
            do {
                items += try self.items(of: root + "/" + film, key: key, tools, note)
            } catch let error as ImageError {
                items.append(FrameItem(key: key, group: key) { throw error })
            } catch let error as FileError {
                items.append(FrameItem(key: key, group: key) { throw error })
            }
        }
        return items
    }

    private func items(of path: String, key: String, _ tools: FFmpeg, _ note: (String) -> Void) throws -> [FrameItem] {
        let plan = try withoutActuallyEscaping(note) { note in
            try FilmSurvey(path: path, tools: tools, options: options, note: note).plan()
        }
        note(plan.summary)
        for warning in plan.warnings { note("warning: \(path): \(warning)") }
        let frames = SharedFrames(plan, options: options)
        return plan.kept.map { number in
            let digits = String(number)
            let frameKey = key + "/" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
            return FrameItem(key: frameKey, group: key) { try frames.record(key: frameKey, number: number) }
        }
    }

    /// Relative paths, sorted by bytes, and the number of files that are no films.
    private func list() throws -> (films: [String], others: Int) {
        var films: [String] = []
        var others = 0
        func visit(_ folder: String, _ prefix: String, _ left: Int) throws {
            for name in try Files.list(folder) where !name.hasPrefix(".") {
                let path = folder + "/" + name
                if Files.isFolder(path) {
                    if left > 0 { try visit(path, prefix + name + "/", left - 1) }
                } else if Self.extensions.contains(fileExtension(name)) {
                    films.append(prefix + name)
                } else {
                    others += 1
                }
            }
        }
        try visit(root, "", 8)
        return (films.sorted { $0.precedes($1) }, others)
    }

    /// Keys are text without control characters; names of files may hold any.
    private static func plain(_ name: String) -> String {
        var plain = ""
        for scalar in name.unicodeScalars {
            plain.unicodeScalars.append(scalar.properties.generalCategory == .control ? "_" : scalar)
        }
        return plain
    }

    private static func stem(_ name: String) -> String {
        guard !fileExtension(name).isEmpty, let dot = name.lastIndex(of: ".") else { return name }
        return String(name[..<dot])
    }
}
