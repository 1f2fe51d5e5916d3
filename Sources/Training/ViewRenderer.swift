import Kernels
import Models
import Tensors
import Threads

/// Makes a view of a picture of any size, from the distribution over shifts that a network gives at its own size.
///
/// The distribution is read linearly at index · network size / picture size, its last row and column repeated; shifts are
/// scaled with the width, between pixels linearly; the sum is divided by the whole distribution's, empty channels included.
///
/// **Source:** at whole multiples that is how the release of Deep3D (piiswrong/deep3d) renders films, but for its bottom right
/// neighbours beyond the right edge, which it takes from a row above.
public enum ViewRenderer {
    /// A pure function of one picture: `Predictor.predict` calls it for pictures larger than the network.
    /// - Parameters:
    ///   - shifts: of the distribution's channels, in pixels of the network's width.
    ///   - probability: [1, h, w, channels] as the network gives it.
    ///   - source: the picture that is shifted, [height, width, 3], h and w or larger.
    /// - Returns: the view, [height, width, 3], in the source's unit.
    public static func render(
        _ shifts: ViewRendering.Shifts, probability: TensorView, source: [Float], height: Int, width: Int,
        pool: ForkJoinPool
    ) -> [Float] {
        let (rows, columns) = (probability.shape[1], probability.shape[2])
        let channels = shifts.emptyChannels + shifts.count
        precondition(
            probability.shape == [1, rows, columns, channels] && source.count == height * width * 3
                && height >= rows && width >= columns,
            "\(probability.shape) and \(source.count) values for \(height)x\(width)")
        let plan = Plan(shifts, columns: columns, width: width)
        return [Float](unsafeUninitializedCapacity: height * width * 3) { result, count in
            count = height * width * 3
            source.withUnsafeBufferPointer { source in
                guard let source = source.baseAddress, let result = result.baseAddress else { return }
                let memory = Memory(source: source, result: result, probability: probability.base)
                let rowsPerChunk = 8
                pool.forEachChunk((height + rowsPerChunk - 1) / rowsPerChunk) { chunk, _ in
                    let scratch = Scratch(plan)
                    for y in (chunk * rowsPerChunk)..<min(height, (chunk + 1) * rowsPerChunk) {
                        let place = Place(of: y, size: height, on: rows)
                        plan.blend(memory.probability, place, into: scratch)
                        plan.pad(memory.source + y * width * 3, into: scratch)
                        plan.render(scratch, into: memory.result + y * width * 3)
                    }
                }
            }
        }
    }

    /// Chunks read everything and write rows of their own.
    private struct Memory: @unchecked Sendable {
        let source: UnsafePointer<Float>
        let result: UnsafeMutablePointer<Float>
        let probability: UnsafeMutablePointer<Float>
    }

    /// Which two entries belong to an index of a longer axis, and the second one's weight.
    private struct Place {
        let first: Int
        let second: Int
        let weight: Float

        init(of i: Int, size: Int, on count: Int) {
            first = i * count / size
            second = min(first + 1, count - 1)
            weight = Float(i * count % size) / Float(size)
        }
    }

    /// Memory of a chunk, one row of each.
    private final class Scratch {
        /// The distribution at the network's width, a plane for each channel.
        let blended: UnsafeMutablePointer<Float>
        /// The picture with what lies beyond its ends, a plane for each colour.
        let padded: UnsafeMutablePointer<Float>
        /// One channel of the distribution at the picture's width.
        let share: UnsafeMutablePointer<Float>
        /// Sums: red, green, blue, distribution.
        let sums: UnsafeMutablePointer<Float>

        init(_ plan: Plan) {
            blended = .allocate(capacity: plan.columns * plan.channels)
            padded = .allocate(capacity: 3 * plan.paddedWidth)
            share = .allocate(capacity: plan.width)
            sums = .allocate(capacity: 4 * plan.width)
        }

        deinit {
            blended.deallocate()
            padded.deallocate()
            share.deallocate()
            sums.deallocate()
        }
    }

    /// What all rows have in common.
    private struct Plan {
        let channels: Int
        let emptyChannels: Int
        let width: Int
        let columns: Int
        let padding: Int
        let border: SelectionBorder
        /// Of each shift: first pixel of the padded row for pixel 0, and how far it lies towards the next one.
        let taps: [(offset: Int, fraction: Float)]
        let places: [Place]

        var paddedWidth: Int { width + 2 * padding }

        init(_ shifts: ViewRendering.Shifts, columns: Int, width: Int) {
            emptyChannels = shifts.emptyChannels
            channels = shifts.emptyChannels + shifts.count
            border = shifts.border
            self.columns = columns
            self.width = width
            let scaled = shifts.all.map { Double($0) * Double(width) / Double(columns) }
            let padding = Int(scaled.reduce(0) { max($0, abs($1)) }.rounded(.up)) + 1
            taps = scaled.map { (Int($0.rounded(.down)) + padding, Float($0 - $0.rounded(.down))) }
            self.padding = padding
            places = (0..<width).map { Place(of: $0, size: width, on: columns) }
        }

        func blend(_ probability: UnsafePointer<Float>, _ place: Place, into scratch: Scratch) {
            let (upper, lower) = (
                probability + place.first * columns * channels, probability + place.second * columns * channels
            )
            for x in 0..<columns {
                for k in 0..<channels {
                    let i = x * channels + k
                    scratch.blended[k * columns + x] = upper[i] * (1 - place.weight) + lower[i] * place.weight
                }
            }
        }

        func pad(_ row: UnsafePointer<Float>, into scratch: Scratch) {
            for i in 0..<paddedWidth {
                let x = i - padding
                let inside: Int?
                if x >= 0 && x < width {
                    inside = x
                } else {
                    switch border {
                    case .zero: inside = nil
                    case .edge: inside = x < 0 ? 0 : width - 1
                    case .reflect:
                        let period = max(1, 2 * (width - 1))
                        let phase = (x % period + period) % period
                        inside = min(phase, period - phase)
                    }
                }
                for c in 0..<3 { scratch.padded[c * paddedWidth + i] = inside.map { row[3 * $0 + c] } ?? 0 }
            }
        }

        func render(_ scratch: Scratch, into result: UnsafeMutablePointer<Float>) {
            let (share, sums) = (scratch.share, scratch.sums)
            sums.update(repeating: 0, count: 4 * width)
            places.withUnsafeBufferPointer { places in
                for k in 0..<channels {
                    let plane = scratch.blended + k * columns
                    let total = sums + 3 * width
                    for x in 0..<width {
                        let place = places[x]
                        share[x] = plane[place.first] * (1 - place.weight) + plane[place.second] * place.weight
                    }
                    for x in 0..<width { total[x] += share[x] }
                    if k < emptyChannels { continue }
                    let (offset, fraction) = taps[k - emptyChannels]
                    for c in 0..<3 {
                        let (sum, pixels) = (sums + c * width, scratch.padded + c * paddedWidth + offset)
                        if fraction == 0 {
                            for x in 0..<width { sum[x] += share[x] * pixels[x] }
                        } else {
                            let rest = 1 - fraction
                            for x in 0..<width { sum[x] += share[x] * (pixels[x] * rest + pixels[x + 1] * fraction) }
                        }
                    }
                }
            }
            for x in 0..<width {
                let factor = 1 / max(sums[3 * width + x], 1e-12)
                for c in 0..<3 { result[3 * x + c] = sums[c * width + x] * factor }
            }
        }
    }
}
