/// What is done to disparity maps `[H, W]` after matching; NaN is unknown.
enum DisparityFilters {
    /// The median of the known pixels of 3x3 (the lower middle one of an even number); unknown pixels stay unknown.
    static func median(_ map: [Float], height: Int, width: Int) -> [Float] {
        var result = map
        map.withUnsafeBufferPointer { map in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: 9) { known in
                for y in 0..<height {
                    for x in 0..<width where !map[y * width + x].isNaN {
                        var count = 0
                        for row in max(0, y - 1)...min(height - 1, y + 1) {
                            for column in max(0, x - 1)...min(width - 1, x + 1) {
                                let value = map[row * width + column]
                                if value.isNaN { continue }
                                var place = count
                                while place > 0, known[place - 1] > value {
                                    known[place] = known[place - 1]
                                    place -= 1
                                }
                                known[place] = value
                                count += 1
                            }
                        }
                        result[y * width + x] = known[(count - 1) / 2]
                    }
                }
            }
        }
        return result
    }

    /// Pixels whose partner x + sign · d, rounded, lies in the other view and says the same to within `tolerance`.
    static func agreeing(
        _ map: [Float], with other: [Float], sign: Float, within tolerance: Float, height: Int, width: Int
    ) -> [Float] {
        var result = map
        for y in 0..<height {
            for x in 0..<width {
                let disparity = map[y * width + x]
                if disparity.isNaN { continue }
                let partner = Int((Float(x) + sign * disparity).rounded())
                // A comparison with NaN is false.
                if partner < 0 || partner >= width || !(abs(other[y * width + partner] - disparity) <= tolerance) {
                    result[y * width + x] = .nan
                }
            }
        }
        return result
    }

    /// Without patches of fewer than `smallest` pixels; neighbours (of four) belong together if they differ by at most 2.
    static func withoutSpeckles(_ map: [Float], smallest: Int, height: Int, width: Int) -> [Float] {
        var result = map
        var seen = [Bool](repeating: false, count: map.count)
        var patch: [Int] = []
        for start in map.indices where !seen[start] && !map[start].isNaN {
            patch.removeAll(keepingCapacity: true)
            patch.append(start)
            seen[start] = true
            var next = 0
            while next < patch.count {
                let at = patch[next]
                next += 1
                let (x, y) = (at % width, at / width)
                for (inside, neighbour) in [
                    (x > 0, at - 1), (x + 1 < width, at + 1), (y > 0, at - width), (y + 1 < height, at + width),
                ] where inside && !seen[neighbour] && abs(map[neighbour] - map[at]) <= 2 {
                    seen[neighbour] = true
                    patch.append(neighbour)
                }
            }
            if patch.count < smallest { for at in patch { result[at] = .nan } }
        }
        return result
    }
}
