import Basics
import FrameSources

/// How a picture moved since the one before: a vector per block of a small gray copy. What does not match anywhere keeps
/// its vector and shows in `PictureMotion.weights`.
struct PictureMotion {
    /// Blocks are of so many pixels of the small copy.
    static let block = 8
    private static let largestWidth = 192
    /// Steps of the small copy that a block may move beside the whole picture's motion.
    private static let reach = 3

    /// A gray copy of a picture, 0…255.
    struct Guide: Equatable {
        let height: Int
        let width: Int
        let luma: [Float]

        init(_ picture: PixelArray) {
            let width = min(picture.width, PictureMotion.largestWidth)
            let height = max(1, picture.height * width / picture.width)
            let small = Resizing.area(picture, height: height, width: width)
            self.init(
                height: height, width: width,
                luma: stride(from: 0, to: small.bytes.count, by: 3).map {
                    0.299 * Float(small.bytes[$0]) + 0.587 * Float(small.bytes[$0 + 1])
                        + 0.114 * Float(small.bytes[$0 + 2])
                })
        }

        init(height: Int, width: Int, luma: [Float]) {
            self.height = height
            self.width = width
            self.luma = luma
        }

        /// Linear between pixels, edges repeated.
        func value(_ y: Float, _ x: Float) -> Float {
            let y = min(max(y, 0), Float(height - 1))
            let x = min(max(x, 0), Float(width - 1))
            let (top, left) = (Int(y), Int(x))
            let (bottom, right) = (min(top + 1, height - 1), min(left + 1, width - 1))
            let (fy, fx) = (y - Float(top), x - Float(left))
            let upper = luma[top * width + left] * (1 - fx) + luma[top * width + right] * fx
            let lower = luma[bottom * width + left] * (1 - fx) + luma[bottom * width + right] * fx
            return upper * (1 - fy) + lower * fy
        }
    }

    let rows: Int
    let columns: Int
    /// Where a block was, minus where it is, in pixels of the small copy.
    let vectors: [(y: Float, x: Float)]
    /// Per pixel of the small copy: 1 where the picture before explains this one, 0 where it does not.
    let weights: [Float]

    init(from before: Guide, to now: Guide) {
        precondition(before.height == now.height && before.width == now.width, "guides of different sizes")
        let (height, width) = (now.height, now.width)
        rows = (height + Self.block - 1) / Self.block
        columns = (width + Self.block - 1) / Self.block
        let whole = Self.wholeMotion(before, now)
        var vectors: [(y: Float, x: Float)] = []
        for row in 0..<rows {
            for column in 0..<columns {
                vectors.append(Self.blockMotion(before, now, row * Self.block, column * Self.block, whole))
            }
        }
        self.vectors = vectors
        weights = Self.weights(before, now, vectors, columns)
    }

    /// The shift that fits best over the whole picture.
    private static func wholeMotion(_ before: Guide, _ now: Guide) -> (y: Int, x: Int) {
        let (height, width) = (now.height, now.width)
        let (reachY, reachX) = (max(1, height / 10), max(1, width / 8))
        var best = (cost: Float.infinity, y: 0, x: 0)
        before.luma.withUnsafeBufferPointer { old in
            now.luma.withUnsafeBufferPointer { new in
                for dy in -reachY...reachY {
                    for dx in -reachX...reachX {
                        var (sum, count): (Float, Float) = (0, 0)
                        for y in stride(from: max(0, -dy), to: min(height, height - dy), by: 3) {
                            for x in stride(from: max(0, -dx), to: min(width, width - dx), by: 3) {
                                sum += abs(new[y * width + x] - old[(y + dy) * width + x + dx])
                                count += 1
                            }
                        }
                        // Of shifts that fit equally well the smallest.
                        let cost = sum / max(count, 1) + 0.01 * Float(abs(dx) + abs(dy))
                        if cost < best.cost { best = (cost, dy, dx) }
                    }
                }
            }
        }
        return (best.y, best.x)
    }

    private static func blockMotion(_ before: Guide, _ now: Guide, _ top: Int, _ left: Int, _ whole: (y: Int, x: Int))
        -> (y: Float, x: Float)
    {
        let (height, width) = (now.height, now.width)
        let (bottom, right) = (min(top + block, height), min(left + block, width))
        // A margin around the block steadies it.
        let (y0, y1, x0, x1) = (max(0, top - 2), min(height, bottom + 2), max(0, left - 2), min(width, right + 2))
        func cost(_ dy: Int, _ dx: Int) -> Float {
            before.luma.withUnsafeBufferPointer { old in
                now.luma.withUnsafeBufferPointer { new in
                    var sum: Float = 0
                    for y in y0..<y1 {
                        let oldY = min(max(y + dy, 0), height - 1) * width
                        for x in x0..<x1 {
                            sum += abs(new[y * width + x] - old[oldY + min(max(x + dx, 0), width - 1)])
                        }
                    }
                    return sum / Float((y1 - y0) * (x1 - x0))
                }
            }
        }
        var best = (cost: Float.infinity, y: 0, x: 0)
        var seen: Set<Int> = []
        for center in [whole, (y: 0, x: 0)] {
            for dy in (center.y - reach)...(center.y + reach) {
                for dx in (center.x - reach)...(center.x + reach) where seen.insert(dy * 4096 + dx).inserted {
                    let away = Float(abs(dy - whole.y) + abs(dx - whole.x))
                    let found = cost(dy, dx) + 0.15 * away
                    if found < best.cost { best = (found, dy, dx) }
                }
            }
        }
        // Between whole steps by a parabola through three costs.
        func refined(_ lower: Float, _ middle: Float, _ upper: Float) -> Float {
            let bend = lower - 2 * middle + upper
            return bend > 1e-3 ? min(max(0.5 * (lower - upper) / bend, -0.5), 0.5) : 0
        }
        let middle = cost(best.y, best.x)
        return (
            Float(best.y) + refined(cost(best.y - 1, best.x), middle, cost(best.y + 1, best.x)),
            Float(best.x) + refined(cost(best.y, best.x - 1), middle, cost(best.y, best.x + 1))
        )
    }

    /// By the mean difference of 3x3 pixels: up to 5 of 255 is noise, from 18 on it is something else.
    private static func weights(
        _ before: Guide, _ now: Guide, _ vectors: [(y: Float, x: Float)], _ columns: Int
    ) -> [Float] {
        let (height, width) = (now.height, now.width)
        var difference = [Float](repeating: 0, count: height * width)
        for y in 0..<height {
            for x in 0..<width {
                let vector = vectors[y / block * columns + x / block]
                let (oldY, oldX) = (Float(y) + vector.y, Float(x) + vector.x)
                // What was outside is not known.
                let isInside =
                    oldY > -1 && oldX > -1 && oldY < Float(height) && oldX < Float(width)
                difference[y * width + x] = isInside ? now.luma[y * width + x] - before.value(oldY, oldX) : 255
            }
        }
        var weights = [Float](repeating: 0, count: height * width)
        for y in 0..<height {
            for x in 0..<width {
                var (sum, count): (Float, Float) = (0, 0)
                for v in max(0, y - 1)...min(height - 1, y + 1) {
                    for u in max(0, x - 1)...min(width - 1, x + 1) {
                        sum += difference[v * width + u]
                        count += 1
                    }
                }
                let own = abs(sum / count)
                weights[y * width + x] = abs(difference[y * width + x]) > 200 ? 0 : min(max((18 - own) / 13, 0), 1)
            }
        }
        return weights
    }
}
