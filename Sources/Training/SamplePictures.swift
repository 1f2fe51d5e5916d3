import Basics
import FrameSources
import Models
import Streaming
import Tensors

/// A sheet of what the network makes of some records. A row per record: what it reads; of each kind of map the truth,
/// if the record has it, and the network's in the same colours; of a rebuilt view also its error.
public final class SamplePictures {
    private var rows: [PixelArray] = []

    public init() {}

    public var isEmpty: Bool { rows.isEmpty }

    /// Adds a row after `validator` has run on the sample.
    public func add(_ network: any Network, _ validator: Validator, _ batch: LaneBatch, position: Int) {
        let (height, width) = (batch.height, batch.width)
        func picture(_ values: some Collection<Float>) -> PixelArray {
            PixelArray(
                height: height, width: width, channels: 3, element: .uint8,
                bytes: values.map { UInt8(max(0, min(255, $0 * 255 + 0.5))) })
        }
        var pictures = network.inputs.compactMap { batch.sample($0.name, at: position).map(picture) }
        for map in shown(validator.network.maps) {
            guard let view = validator.output(map.output) else { continue }
            let truth = map.truth.flatMap { batch.sample($0, at: position) }
            if map.kind == .view {
                let values = map.decoded(view)
                pictures.append(picture(values))
                guard let truth else { continue }
                let error = (0..<(height * width)).map { i -> Float in
                    (0..<3).reduce(0) { $0 + abs(values[i * 3 + $1] - truth[i * 3 + $1]) } / 3
                }
                pictures.append(
                    Colormap.colours(
                        of: PixelArray(height: height, width: width, channels: 1, floats: error), in: 0...0.3))
                continue
            }
            func array(_ values: [Float]) -> PixelArray {
                let (h, w) = (view.shape[1], view.shape[2])
                return PixelArray(
                    height: height, width: width, channels: 1,
                    floats: values.withUnsafeBufferPointer {
                        MapScaling.bilinear($0, height: h, width: w, to: height, width, factor: 1)
                    })
            }
            let found = array(map.decoded(view))
            let hasFixedRange = map.kind == .mask || map.kind == .relativeDepth
            var range = hasFixedRange ? 0...1 : Colormap.range(of: found) ?? 0...1
            if let truth {
                let known = array(Array(truth))
                if let own = Colormap.range(of: known) {
                    if !hasFixedRange { range = own }
                    pictures.append(Colormap.colours(of: known, in: range))
                }
            }
            pictures.append(Colormap.colours(of: found, in: range))
        }
        rows.append(ContactSheet.row(pictures))
    }

    /// One map of each kind: of disparities the left view's, of views the right one, which most networks rebuild.
    private func shown(_ maps: [NetworkResult.Map]) -> [NetworkResult.Map] {
        let kinds: [NetworkResult.Map.Kind] = [.disparity, .depth, .mask, .relativeDepth, .view]
        return kinds.compactMap { kind in
            let own = maps.filter { $0.kind == kind }
            return own.first { $0.eye == (kind == .view ? .right : .left) } ?? own.first
        }
    }

    /// - Throws: `FileError`.
    public func write(to path: String) throws {
        guard !rows.isEmpty else { return }
        try ImageFile.write(ContactSheet.column(rows), to: path)
    }
}
