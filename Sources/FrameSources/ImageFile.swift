import Basics

/// Pictures and maps in files. The format of a file that is read is recognised by its content, of one that is written
/// by its extension.
public enum ImageFile {
    public enum Format: String, Sendable, CaseIterable {
        case png, jpeg, pfm, npy, pnm

        /// By extension, in any case.
        public init?(extensionOf path: String) {
            switch fileExtension(path) {
            case "png": self = .png
            // .mpo: so that it is read, and refused in words, rather than passed over.
            case "jpg", "jpeg", "mpo": self = .jpeg
            case "pfm": self = .pfm
            case "npy": self = .npy
            case "pgm", "ppm", "pnm": self = .pnm
            default: return nil
            }
        }

        /// By the first bytes of the content.
        public init?(content: [UInt8]) {
            if content.starts(with: PNG.signature) {
                self = .png
            } else if content.starts(with: [0xFF, 0xD8, 0xFF]) {
                self = .jpeg
            } else if content.starts(with: NPY.signature) {
                self = .npy
            } else if content.count > 2, content[0] == 0x50, content[1] == 0x66 || content[1] == 0x46,
                content[2] == 32 || (9...13).contains(content[2])
            {
                self = .pfm
            } else if content.count > 2, content[0] == 0x50, content[1] == 0x35 || content[1] == 0x36,
                content[2] == 32 || (9...13).contains(content[2])
            {
                self = .pnm
            } else {
                return nil
            }
        }
    }

    /// → `[height, width, channels]` as the file holds it.
    /// - Throws: `ImageError` (65) naming the path, `FileError` (66, 74).
    public static func read(_ path: String) throws -> PixelArray {
        let bytes = try Files.read(path, limit: ImageLimits.fileBytes)
        if bytes.isEmpty { throw ImageError(path: path, "the file is empty") }
        return try decode(bytes, path: path)
    }

    /// Decodes the content of a file; `path` only serves messages.
    public static func decode(_ bytes: [UInt8], path: String) throws(ImageError) -> PixelArray {
        guard let format = Format(content: bytes) else {
            if let promised = Format(extensionOf: path) {
                throw ImageError(
                    path: path, "broken \(promised.rawValue.uppercased()): the content does not begin like one")
            }
            throw ImageError(path: path, "neither PNG, JPEG, PFM, PGM, PPM nor NPY")
        }
        do {
            switch format {
            case .png: return try PNG.decode(bytes)
            case .jpeg: return try JPEG.decode(bytes)
            case .pfm: return try PFM.decode(bytes)
            case .npy: return try NPY.decode(bytes)
            case .pnm: return try PNM.decode(bytes)
            }
        } catch {
            throw ImageError(path: path, error.problem)
        }
    }

    /// Writes a file in the format of its extension (.png, .jpg, .jpeg, .pfm, .pgm, .ppm, .npy); it appears only when complete.
    /// - Throws: `ImageError` (64) for an unknown extension or an array that the format cannot hold, `FileError`.
    public static func write(_ array: PixelArray, to path: String) throws {
        try AtomicFileWriter.write(try encode(array, as: path), to: path)
    }

    /// The content that `write` would put into `path`.
    public static func encode(_ array: PixelArray, as path: String) throws(ImageError) -> [UInt8] {
        guard let format = Format(extensionOf: path), fileExtension(path) != "mpo" else {
            throw ImageError(
                path: path, "unknown kind of picture", remedy: "end the name in .png, .jpg, .pfm or .npy",
                exitCode: .usage)
        }
        do {
            switch format {
            case .png: return try PNG.encode(array)
            case .jpeg: return try JPEG.encode(array)
            case .pfm: return try PFM.encode(array)
            case .npy: return NPY.encode(array)
            case .pnm: return try PNM.encode(array)
            }
        } catch {
            throw ImageError(path: path, error.problem, remedy: "choose another kind of file", exitCode: .usage)
        }
    }
}

/// Lower-case extension of a path without the dot, empty if there is none.
func fileExtension(_ path: String) -> String {
    let name = path.split(separator: "/").last ?? ""
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return "" }
    return name[dot...].dropFirst().lowercased()
}
