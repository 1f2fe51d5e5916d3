/// The census transform, and costs out of it.
enum Census {
    static let rows = 7
    static let columns = 9
    static let bits = rows * columns - 1

    /// Bit by bit whether neighbours are darker than the pixel, `[H, W]`.
    static func transform(_ grey: [UInt8], height: Int, width: Int) -> [UInt64] {
        let (above, beside) = (rows / 2, columns / 2)
        let padded = width + 2 * beside
        // The picture with its border repeated.
        let wide = [UInt8](unsafeUninitializedCapacity: (height + 2 * above) * padded) { wide, count in
            for y in 0..<height + 2 * above {
                let row = min(max(y - above, 0), height - 1) * width
                for x in 0..<padded { wide[y * padded + x] = grey[row + min(max(x - beside, 0), width - 1)] }
            }
            count = (height + 2 * above) * padded
        }
        var census = [UInt64](repeating: 0, count: height * width)
        wide.withUnsafeBufferPointer { wide in
            census.withUnsafeMutableBufferPointer { census in
                guard let wide = wide.baseAddress, let census = census.baseAddress else { return }
                for y in 0..<height {
                    let out = census + y * width
                    let centre = wide + (y + above) * padded + beside
                    for dy in 0..<rows {
                        for dx in 0..<columns where dy != above || dx != beside {
                            let neighbour = wide + (y + dy) * padded + dx
                            for x in 0..<width { out[x] = out[x] << 1 | (neighbour[x] < centre[x] ? 1 : 0) }
                        }
                    }
                }
            }
        }
        return census
    }

    /// Differing bits of left(x) and right(x − lowest − k), columns beyond the border repeated: `[H, W, levels]`.
    static func costs(
        left: [UInt8], right: [UInt8], height: Int, width: Int, _ options: SemiGlobalMatcher.Options
    ) -> [UInt8] {
        let (lowest, levels) = (options.lowest, options.levels)
        let a = transform(left, height: height, width: width)
        let b = transform(right, height: height, width: width)
        // The right row backwards, so that levels run forwards: element i is column width − 1 − lowest − i.
        var reversed = [UInt64](repeating: 0, count: width + levels)
        return [UInt8](unsafeUninitializedCapacity: height * width * levels) { costs, count in
            a.withUnsafeBufferPointer { a in
                reversed.withUnsafeMutableBufferPointer { reversed in
                    guard let costs = costs.baseAddress, let a = a.baseAddress, let row = reversed.baseAddress
                    else { return }
                    for y in 0..<height {
                        for i in 0..<width + levels {
                            row[i] = b[y * width + min(max(width - 1 - lowest - i, 0), width - 1)]
                        }
                        for x in 0..<width {
                            let (own, others) = (a[y * width + x], row + (width - 1 - x))
                            let out = costs + (y * width + x) * levels
                            for k in 0..<levels {
                                out[k] = UInt8(truncatingIfNeeded: (own ^ others[k]).nonzeroBitCount)
                            }
                        }
                    }
                }
            }
            count = height * width * levels
        }
    }
}
