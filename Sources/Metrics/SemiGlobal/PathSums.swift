/// Costs summed along eight paths, in two walks: down with the paths from the left and from above, up with the others.
struct PathSums {
    let height: Int
    let width: Int
    let options: SemiGlobalMatcher.Options

    /// Bytes beside the levels of a pixel, so that a level's neighbours exist.
    private static let margin = 16

    /// The left and the right map, before any check but uniqueness; NaN where there is none.
    func maps(_ costs: [UInt8]) -> [[Float]] {
        let levels = options.levels
        var sums = [Int16](repeating: 0, count: height * width * levels)
        var left = [Float](repeating: .nan, count: height * width)
        var right = left
        costs.withUnsafeBufferPointer { costs in
            sums.withUnsafeMutableBufferPointer { sums in
                guard let costs = costs.baseAddress, let sums = sums.baseAddress else { return }
                walk(costs, sums, upwards: false)
                walk(costs, sums, upwards: true)
                let choice = LevelChoice(width: width, options: options)
                for y in 0..<height {
                    choice.run(
                        sums + y * width * levels,
                        left: { left[y * width + $0] = $1 }, right: { right[y * width + $0] = $1 })
                }
            }
        }
        return [left, right]
    }

    /// Adds four paths: along the row, and diagonally and straight from the row before.
    private func walk(_ costs: UnsafePointer<UInt8>, _ sums: UnsafeMutablePointer<Int16>, upwards: Bool) {
        let (levels, width) = (options.levels, width)
        let stride = levels + 2 * Self.margin
        // Outside of the picture all levels cost nothing.
        let beyond = [UInt8](repeating: UInt8(255 - options.smallPenalty), count: Self.margin)
        let outside = beyond + [UInt8](repeating: 0, count: levels) + beyond
        // Of three paths, for this row and the last one: all pixels, and one more at either end.
        let row = (width + 2) * stride
        var states = [UInt8](repeating: 0, count: 6 * row)
        var along = outside + outside
        var minima = [UInt8](repeating: 0, count: 6 * (width + 2))
        for start in Swift.stride(from: 0, to: states.count, by: stride) {
            states.replaceSubrange(start..<start + stride, with: outside)
        }
        states.withUnsafeMutableBufferPointer { states in
            along.withUnsafeMutableBufferPointer { along in
                minima.withUnsafeMutableBufferPointer { minima in
                    guard let states = states.baseAddress, let along = along.baseAddress,
                        let minima = minima.baseAddress
                    else { return }
                    for step in 0..<height {
                        let y = upwards ? height - 1 - step : step
                        let (now, last) = (step % 2 * 3, (step + 1) % 2 * 3)
                        for k in 0..<stride { along[k] = outside[k] }
                        var (previous, current) = (along + Self.margin, along + stride + Self.margin)
                        var leastAlong: UInt8 = 0
                        for i in 0..<width {
                            let x = upwards ? width - 1 - i : i
                            let at = (y * width + x) * levels
                            let cost = costs + at
                            leastAlong = extend(previous, leastAlong, cost, current)
                            // The three predecessors in the row before: against the walk, straight, with it.
                            for path in 0..<3 {
                                let source = x + path
                                minima[(now + path) * (width + 2) + x + 1] = extend(
                                    states + (last + path) * row + source * stride + Self.margin,
                                    minima[(last + path) * (width + 2) + source], cost,
                                    states + (now + path) * row + (x + 1) * stride + Self.margin)
                            }
                            let here = states + now * row + (x + 1) * stride + Self.margin
                            add(current, here, here + row, here + 2 * row, to: sums + at)
                            swap(&previous, &current)
                        }
                    }
                }
            }
        }
    }

    /// L of one path at one pixel from that of its predecessor and the least of that; returns its own least.
    @inline(__always)
    private func extend(
        _ before: UnsafePointer<UInt8>, _ least: UInt8, _ cost: UnsafePointer<UInt8>,
        _ result: UnsafeMutablePointer<UInt8>
    ) -> UInt8 {
        let small = UInt8(truncatingIfNeeded: options.smallPenalty)
        let jump = least &+ UInt8(truncatingIfNeeded: options.largePenalty)
        var smallest = UInt8.max
        for k in 0..<options.levels {
            let step = min(before[k - 1], before[k + 1]) &+ small
            let value = cost[k] &+ (min(min(before[k], step), jump) &- least)
            result[k] = value
            smallest = min(smallest, value)
        }
        return smallest
    }

    @inline(__always)
    private func add(
        _ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ c: UnsafePointer<UInt8>, _ d: UnsafePointer<UInt8>,
        to sums: UnsafeMutablePointer<Int16>
    ) {
        for k in 0..<options.levels {
            sums[k] &+= (Int16(a[k]) &+ Int16(b[k])) &+ (Int16(c[k]) &+ Int16(d[k]))
        }
    }
}
