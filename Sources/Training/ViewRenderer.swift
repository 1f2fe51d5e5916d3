import Kernels
import Models
import Tensors
import Threads

/// Makes a view of a picture of any size, from the distribution over shifts that a network gives at its own size.
///
/// The distribution is read linearly at index · network size / picture size, its last row and column repeated; shifts are
/// scaled with the width, between pixels linearly; the sum is divided by the whole distribution's, empty channels included.
/// At whole multiples that is how Deep3D's release renders films.
enum ViewRenderer {
    /// - Parameters:
    ///   - probability: [1, h, w, channels] of the network.
    ///   - source: the picture that is shifted, [height, width, 3].
    /// - Returns: the view, [height, width, 3].
    static func render(
        _ shifts: ViewRendering.Shifts, probability: TensorView, source: [Float], height: Int, width: Int,
        pool: ForkJoinPool
    ) -> [Float] {
        let (rows, columns) = (probability.shape[1], probability.shape[2])
        let channels = shifts.emptyChannels + shifts.count
        precondition(
            probability.shape == [1, rows, columns, channels] && source.count == height * width * 3,
            "\(probability.shape) and \(source.count) values for \(height)x\(width)")
        let plan = Plan(shifts, columns: columns, width: width)
        return [Float](unsafeUninitializedCapacity: height * width * 3) { result, count in
            count = height * width * 3
            source.withUnsafeBufferPointer { source in
                guard let source = source.baseAddress, let result = result.baseAddress else { return }
                let memory = UncheckedPointers(source: source, result: result, probability: probability.base)
                let rowsPerChunk = 8
                pool.forEachChunk((height + rowsPerChunk - 1) / rowsPerChunk) { chunk, _ in
                    let scratch = Scratch(blended: columns * channels, padded: 3 * plan.paddedWidth)
                    for y in (chunk * rowsPerChunk)..<min(height, (chunk + 1) * rowsPerChunk) {
                        let (upper, lower, weight) = Plan.place(y, of: height, on: rows)
                        let own = memory.probability
                        for i in 0..<(columns * channels) {
                            scratch.blended[i] =
                                own[upper * columns * channels + i] * (1 - weight)
                                + own[lower * columns * channels + i] * weight
                        }
                        plan.pad(memory.source + y * width * 3, into: scratch.padded)
                        plan.render(scratch, emptyChannels: shifts.emptyChannels, into: memory.result + y * width * 3)
                    }
                }
            }
        }
    }

    /// Chunks write rows of their own.
    private struct UncheckedPointers: @unchecked Sendable {
        let source: UnsafePointer<Float>
        let result: UnsafeMutablePointer<Float>
        let probability: UnsafeMutablePointer<Float>
    }

    /// Memory of a chunk: a row of the distribution, and a row of the picture with what lies beyond its ends.
    private final class Scratch {
        let blended: UnsafeMutablePointer<Float>
        let padded: UnsafeMutablePointer<Float>

        init(blended: Int, padded: Int) {
            self.blended = .allocate(capacity: blended)
            self.padded = .allocate(capacity: padded)
        }

        deinit {
            blended.deallocate()
            padded.deallocate()
        }
    }

    /// What all rows have in common.
    private struct Plan {
        let channels: Int
        let width: Int
        let columns: Int
        let padding: Int
        let border: SelectionBorder
        /// Of each shift: first pixel of the padded row for pixel 0, and how far it lies towards the next one.
        let taps: [(offset: Int, fraction: Float)]

        var paddedWidth: Int { width + 2 * padding }

        init(_ shifts: ViewRendering.Shifts, columns: Int, width: Int) {
            channels = shifts.emptyChannels + shifts.count
            border = shifts.border
            self.columns = columns
            self.width = width
            let scaled = shifts.all.map { Double($0) * Double(width) / Double(columns) }
            let padding = Int(scaled.reduce(0) { max($0, abs($1)) }.rounded(.up)) + 1
            taps = scaled.map { (Int($0.rounded(.down)) + padding, Float($0 - $0.rounded(.down))) }
            self.padding = padding
        }

        /// Which entries of `count` belong to index `i` of `size`, and the second one's weight.
        static func place(_ i: Int, of size: Int, on count: Int) -> (first: Int, second: Int, weight: Float) {
            let first = i * count / size
            return (first, min(first + 1, count - 1), Float(i * count % size) / Float(size))
        }

        func pad(_ row: UnsafePointer<Float>, into padded: UnsafeMutablePointer<Float>) {
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
                for c in 0..<3 { padded[3 * i + c] = inside.map { row[3 * $0 + c] } ?? 0 }
            }
        }

        func render(_ scratch: Scratch, emptyChannels: Int, into result: UnsafeMutablePointer<Float>) {
            taps.withUnsafeBufferPointer { taps in
                for x in 0..<width {
                    let (left, right, weight) = Self.place(x, of: width, on: columns)
                    let (near, far) = (scratch.blended + left * channels, scratch.blended + right * channels)
                    var total: Float = 0
                    for k in 0..<emptyChannels { total += near[k] * (1 - weight) + far[k] * weight }
                    var (red, green, blue): (Float, Float, Float) = (0, 0, 0)
                    for k in 0..<taps.count {
                        let share = near[emptyChannels + k] * (1 - weight) + far[emptyChannels + k] * weight
                        let (offset, fraction) = taps[k]
                        let pixel = scratch.padded + 3 * (x + offset)
                        let (first, second) = (share * (1 - fraction), share * fraction)
                        red += first * pixel[0] + second * pixel[3]
                        green += first * pixel[1] + second * pixel[4]
                        blue += first * pixel[2] + second * pixel[5]
                        total += share
                    }
                    let factor = 1 / max(total, 1e-12)
                    result[3 * x] = red * factor
                    result[3 * x + 1] = green * factor
                    result[3 * x + 2] = blue * factor
                }
            }
        }
    }
}
