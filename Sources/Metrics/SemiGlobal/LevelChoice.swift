/// The best level of each pixel of a row, for both views.
struct LevelChoice {
    let width: Int
    let options: SemiGlobalMatcher.Options

    /// - Parameter sums: of a row, `[W, levels]`.
    func run(
        _ sums: UnsafePointer<Int16>, left: (_ x: Int, _ disparity: Float) -> Void,
        right: (_ x: Int, _ disparity: Float) -> Void
    ) {
        let (levels, lowest, width) = (options.levels, options.lowest, width)
        // Least sums and their levels of the right view's pixels, backwards and beyond both ends: element i is column
        // width − 1 − lowest − i.
        withUnsafeTemporaryAllocation(of: Int16.self, capacity: 2 * (width + levels)) { buffer in
            buffer.initialize(repeating: .max)
            if let least = buffer.baseAddress {
                let level = least + (width + levels)
                for x in 0..<width {
                    let s = sums + x * levels
                    keepBetter(s, least + (width - 1 - x), level + (width - 1 - x))
                    if let disparity = choice(s) { left(x, disparity) }
                }
                for column in 0..<width {
                    let i = width - 1 - lowest - column
                    // Columns that no level of any left pixel reaches.
                    guard i >= 0, i < width + levels, least[i] != .max else { continue }
                    let k = Int(level[i])
                    // The same right pixel at the neighbouring levels.
                    let x = column + lowest + k
                    let inside = k > 0 && k + 1 < levels && x > 0 && x + 1 < width
                    let offset =
                        inside
                        ? fraction(
                            sums[(x - 1) * levels + k - 1], sums[x * levels + k], sums[(x + 1) * levels + k + 1]) : 0
                    right(column, Float(lowest + k) + offset)
                }
            }
        }
    }

    @inline(__always)
    private func keepBetter(
        _ s: UnsafePointer<Int16>, _ least: UnsafeMutablePointer<Int16>, _ level: UnsafeMutablePointer<Int16>
    ) {
        var k: Int16 = 0
        for j in 0..<options.levels {
            let (new, old) = (s[j], least[j])
            level[j] = new < old ? k : level[j]
            least[j] = min(new, old)
            k &+= 1
        }
    }

    /// Disparity of a left pixel, nil where another level is as good.
    @inline(__always)
    private func choice(_ s: UnsafePointer<Int16>) -> Float? {
        let levels = options.levels
        var best = Int16.max
        for k in 0..<levels { best = min(best, s[k]) }
        var k = 0
        while s[k] != best { k += 1 }
        // s · (100 − uniqueness) < best · 100, neighbours aside.
        let rest = 100 - options.uniquenessPercent
        let limit = Int16(truncatingIfNeeded: (Int(best) * 100 + rest - 1) / rest)
        var rivals: Int16 = 0
        for j in 0..<levels { rivals &+= s[j] < limit ? 1 : 0 }
        for j in max(0, k - 1)...min(levels - 1, k + 1) where s[j] < limit { rivals -= 1 }
        if rivals > 0 { return nil }
        let offset = k > 0 && k + 1 < levels ? fraction(s[k - 1], s[k], s[k + 1]) : 0
        return Float(options.lowest + k) + offset
    }

    /// Where a parabola through three sums at −1, 0, 1 is least; the middle one is.
    @inline(__always)
    private func fraction(_ before: Int16, _ here: Int16, _ after: Int16) -> Float {
        let (a, b, c) = (Int(before), Int(here), Int(after))
        let curvature = a - 2 * b + c
        return curvature > 0 ? Float(a - c) / Float(2 * curvature) : 0
    }
}
