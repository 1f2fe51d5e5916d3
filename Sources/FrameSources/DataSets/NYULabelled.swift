import Basics
import CHDF5
import Synchronization

/// The 1,449 labelled pairs of NYU Depth v2 out of `nyu_depth_v2_labeled.mat`, a MATLAB 7.3 file and so HDF5: `images`
/// uint8 `[n, 3, width, height]`, `depths` float32 metres `[n, width, height]` (holes filled by the authors). Keys are
/// MATLAB's numbers, from 0001. With `splits.mat` beside it, `trainNdxs` are part `train`, `testNdxs` part `test`.
///
/// libhdf5 is opened at run time: without it this one form is refused, with the package's name.
struct NYULabelled {
    let path: String

    func items() throws -> [FrameItem] {
        let file = try HDF5File(path: path)
        let images = try file.shape(of: "images")
        let depths = try file.shape(of: "depths")
        guard images.type == CHDF5_UINT8, images.sides.count == 4, images.sides[1] == 3,
            depths.type == CHDF5_FLOAT32, depths.sides.count == 3,
            depths.sides == [images.sides[0], images.sides[2], images.sides[3]]
        else {
            throw ImageError(
                path: path, "images \(images.sides) and depths \(depths.sides) are not those of NYU Depth v2",
                remedy: "give nyu_depth_v2_labeled.mat")
        }
        let (count, width, height) = (images.sides[0], images.sides[2], images.sides[3])
        guard (1...1_000_000).contains(count), (1...16384).contains(width), (1...16384).contains(height) else {
            throw ImageError(path: path, "\(count) pictures of \(height)x\(width)", remedy: "download it again")
        }
        let parts = try parts(count)
        return (0..<count).map { index in
            let number = "\(index + 1)"
            let key = String(repeating: "0", count: max(0, 4 - number.count)) + number
            return FrameItem(key: key, part: parts?[index]) {
                let picture: [UInt8] = try file.read("images", index, CHDF5_UINT8, count: 3 * width * height, zero: 0)
                let depth: [Float] = try file.read("depths", index, CHDF5_FLOAT32, count: width * height, zero: 0)
                // MATLAB counts columns first: both arrays are transposed.
                var bytes = [UInt8](repeating: 0, count: picture.count)
                var metres = [Float](repeating: .nan, count: depth.count)
                for y in 0..<height {
                    for x in 0..<width {
                        for channel in 0..<3 {
                            bytes[(y * width + x) * 3 + channel] = picture[(channel * width + x) * height + y]
                        }
                        let value = depth[x * height + y]
                        if value > 0 && value.isFinite { metres[y * width + x] = value }
                    }
                }
                return Record(
                    key: key,
                    fields: [
                        .init(
                            FieldName.image,
                            PixelArray(height: height, width: width, channels: 3, element: .uint8, bytes: bytes)),
                        .init(FieldName.depth, PixelArray(height: height, width: width, channels: 1, floats: metres)),
                    ])
            }
        }
    }

    /// By `splits.mat`; nil if there is none.
    private func parts(_ count: Int) throws -> [FrameItem.Part?]? {
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
        let splits = "\(folder)splits.mat"
        guard Files.exists(splits) else { return nil }
        let arrays = try MAT5.read(splits)
        var parts = [FrameItem.Part?](repeating: nil, count: count)
        for (name, part) in [("trainNdxs", FrameItem.Part.train), ("testNdxs", .test)] {
            guard let numbers = arrays[name] else {
                throw ImageError(path: splits, "no array \(name)", remedy: "give the authors' splits.mat")
            }
            for number in numbers {
                guard let index = Int(exactly: number), (1...count).contains(index), parts[index - 1] == nil else {
                    throw ImageError(
                        path: splits, "\(name) holds \(number), which is no number of 1…\(count) or is taken",
                        remedy: "give the authors' splits.mat")
                }
                parts[index - 1] = part
            }
        }
        return parts
    }
}

/// An open HDF5 file. libhdf5 lets one thread in at a time.
final class HDF5File: Sendable {
    private static let gate = Mutex<Void>(())
    private let path: String
    private let handle: Int64

    /// - Throws: `ImageError`: 66 if libhdf5 is not installed, 65 if it is no HDF5 file.
    init(path: String) throws {
        self.path = path
        handle = try Self.gate.withLock { _ in
            var message = [CChar](repeating: 0, count: Int(CHDF5_MESSAGE_SIZE))
            if chdf5_load(&message) != 0 {
                throw ImageError(
                    path: path, "is HDF5, and \(Self.text(message))", remedy: "apt-get install libhdf5-103-1",
                    exitCode: .missingInput)
            }
            let handle = chdf5_open(path, &message)
            if handle < 0 { throw ImageError(path: path, Self.text(message), remedy: "download it again") }
            return handle
        }
    }

    deinit { Self.gate.withLock { _ in chdf5_close(handle) } }

    /// Sides, slowest first, and the type's code.
    func shape(of name: String) throws -> (sides: [Int], type: Int) {
        try Self.gate.withLock { _ in
            var message = [CChar](repeating: 0, count: Int(CHDF5_MESSAGE_SIZE))
            var shape = chdf5_shape()
            guard chdf5_get_shape(handle, name, &shape, &message) == 0 else {
                throw ImageError(path: path, Self.text(message), remedy: "give nyu_depth_v2_labeled.mat")
            }
            let sides = withUnsafeBytes(of: shape.sides) { bytes in
                bytes.bindMemory(to: UInt64.self).prefix(Int(shape.rank)).map { Int(clamping: $0) }
            }
            return (sides, Int(shape.type))
        }
    }

    /// Entry `index` of the first side. `count` must be the product of the others.
    func read<Element: Sendable>(
        _ name: String, _ index: Int, _ type: Int, count: Int, zero: Element
    ) throws -> [Element] {
        try Self.gate.withLock { _ in
            var message = [CChar](repeating: 0, count: Int(CHDF5_MESSAGE_SIZE))
            var elements = [Element](repeating: zero, count: count)
            let status = elements.withUnsafeMutableBytes {
                chdf5_read(handle, name, UInt64(index), Int32(type), count, $0.baseAddress, &message)
            }
            guard status == 0 else { throw ImageError(path: path, Self.text(message), remedy: "download it again") }
            return elements
        }
    }

    private static func text(_ message: [CChar]) -> String {
        String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
