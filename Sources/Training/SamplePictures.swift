import Basics
import FrameSources
import Models
import Streaming
import Tensors

/// A sheet of what the network makes of some records: a row per record with left view, right view, the exact disparity of
/// the left view if the record has it, the network's disparity (in the same colours), the rebuilt right view, its error.
public final class SamplePictures {
    private var rows: [PixelArray] = []

    public init() {}

    public var isEmpty: Bool { rows.isEmpty }

    /// Adds a row after `validator` has run on the sample.
    public func add(_ validator: Validator, _ batch: LaneBatch, position: Int) {
        let (height, width) = (batch.height, batch.width)
        let count = height * width * 3
        func picture(_ base: UnsafePointer<Float>) -> PixelArray {
            PixelArray(
                height: height, width: width, channels: 3, element: .uint8,
                bytes: (0..<count).map { UInt8(max(0, min(255, base[$0] * 255 + 0.5))) })
        }
        let (left, right) = (batch.left.base + position * count, batch.right.base + position * count)
        var pictures = [picture(left), picture(right)]
        if let map = validator.maps.first(where: { $0.eye == .left }), let view = validator.output(map.output) {
            let found = PixelArray(height: height, width: width, channels: 1, floats: Array(view.buffer))
            var range = Colormap.range(of: found) ?? 0...1
            if let base = batch.disparity?.base {
                let truth = PixelArray(
                    height: height, width: width, channels: 1,
                    floats: Array(UnsafeBufferPointer(start: base + position * height * width, count: height * width)))
                if let known = Colormap.range(of: truth) {
                    range = known
                    pictures.append(Colormap.colours(of: truth, in: known))
                }
            }
            pictures.append(Colormap.colours(of: found, in: range))
        }
        if let rebuilt = validator.reconstructions.first(where: { $0.eye == .right }),
            let view = validator.output(rebuilt.output)
        {
            pictures.append(picture(view.base))
            let error = (0..<(height * width)).map { i -> Float in
                (0..<3).reduce(0) { $0 + abs(view.base[i * 3 + $1] - right[i * 3 + $1]) } / 3
            }
            pictures.append(
                Colormap.colours(of: PixelArray(height: height, width: width, channels: 1, floats: error), in: 0...0.3))
        }
        rows.append(ContactSheet.row(pictures))
    }

    /// - Throws: `FileError`.
    public func write(to path: String) throws {
        guard !rows.isEmpty else { return }
        try ImageFile.write(ContactSheet.column(rows), to: path)
    }
}
