import Basics
import Metrics
import Testing

/// Semi-global matching beside a reference that follows the definition: one recursion per path and pixel, no walks, no
/// packed words.
struct SemiGlobalReference {
    let left: [Int]
    let right: [Int]
    let height: Int
    let width: Int
    let options: SemiGlobalMatcher.Options

    func census(_ picture: [Int], _ y: Int, _ x: Int) -> [Bool] {
        var bits: [Bool] = []
        for dy in -3...3 {
            for dx in -4...4 where dy != 0 || dx != 0 {
                let row = min(max(y + dy, 0), height - 1)
                let column = min(max(x + dx, 0), width - 1)
                bits.append(picture[row * width + column] < picture[y * width + x])
            }
        }
        return bits
    }

    func sums() -> [[Int]] {
        let a = (0..<height * width).map { census(left, $0 / width, $0 % width) }
        let b = (0..<height * width).map { census(right, $0 / width, $0 % width) }
        func cost(_ y: Int, _ x: Int, _ k: Int) -> Int {
            let column = min(max(x - options.lowest - k, 0), width - 1)
            return zip(a[y * width + x], b[y * width + column]).filter { $0 != $1 }.count
        }
        var total = [[Int]](repeating: [Int](repeating: 0, count: options.levels), count: height * width)
        for (dy, dx) in [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)] {
            var known: [Int: [Int]] = [:]
            func path(_ y: Int, _ x: Int) -> [Int] {
                if let found = known[y * width + x] { return found }
                let (py, px) = (y - dy, x - dx)
                let inside = py >= 0 && py < height && px >= 0 && px < width
                let before = inside ? path(py, px) : [Int](repeating: 0, count: options.levels)
                let least = before.min() ?? 0
                let values = (0..<options.levels).map { k in
                    var best = min(before[k], least + options.largePenalty)
                    if k > 0 { best = min(best, before[k - 1] + options.smallPenalty) }
                    if k + 1 < options.levels { best = min(best, before[k + 1] + options.smallPenalty) }
                    return cost(y, x, k) + best - least
                }
                known[y * width + x] = values
                return values
            }
            for y in 0..<height {
                for x in 0..<width {
                    for (k, value) in path(y, x).enumerated() { total[y * width + x][k] += value }
                }
            }
        }
        return total
    }

    func maps() -> (left: [Float], right: [Float]) {
        let s = sums()
        let levels = options.levels
        func offset(_ a: Int, _ b: Int, _ c: Int) -> Float {
            a + c > 2 * b ? Float(a - c) / Float(2 * (a + c - 2 * b)) : 0
        }
        var left = [Float](repeating: .nan, count: height * width)
        var right = left
        for y in 0..<height {
            for x in 0..<width {
                let own = s[y * width + x]
                let best = own.min() ?? 0
                let k = own.firstIndex(of: best) ?? 0
                let isUnique = !own.enumerated().contains {
                    abs($0 - k) > 1 && $1 * (100 - options.uniquenessPercent) < best * 100
                }
                if isUnique {
                    let fraction = k > 0 && k < levels - 1 ? offset(own[k - 1], own[k], own[k + 1]) : 0
                    left[y * width + x] = Float(options.lowest + k) + fraction
                }
                let seen = (0..<levels).filter { (0..<width).contains(x + options.lowest + $0) }
                guard let first = seen.first else { continue }
                func sum(_ k: Int) -> Int { s[y * width + x + options.lowest + k][k] }
                let found = seen.reduce(first) { sum($1) < sum($0) ? $1 : $0 }
                let column = x + options.lowest + found
                let inside = found > 0 && found < levels - 1 && column > 0 && column < width - 1
                right[y * width + x] =
                    Float(options.lowest + found)
                    + (inside ? offset(sum(found - 1), sum(found), sum(found + 1)) : 0)
            }
        }
        let (l, r) = (median(left), median(right))
        return (speckles(checked(l, r, -1)), speckles(checked(r, l, 1)))
    }

    private func median(_ map: [Float]) -> [Float] {
        map.indices.map { i in
            if map[i].isNaN { return map[i] }
            let known = map.indices.filter {
                abs($0 / width - i / width) <= 1 && abs($0 % width - i % width) <= 1 && !map[$0].isNaN
            }.map { map[$0] }.sorted()
            return known[(known.count - 1) / 2]
        }
    }

    private func checked(_ map: [Float], _ other: [Float], _ sign: Float) -> [Float] {
        map.indices.map { i in
            if map[i].isNaN { return map[i] }
            let x = Int((Float(i % width) + sign * map[i]).rounded())
            guard (0..<width).contains(x), abs(other[i / width * width + x] - map[i]) <= options.maximumDifference
            else { return .nan }
            return map[i]
        }
    }

    private func speckles(_ map: [Float]) -> [Float] {
        // Labels that spread until nothing changes.
        var label = Array(map.indices)
        var changes = true
        while changes {
            changes = false
            for i in map.indices where !map[i].isNaN {
                for j in [i - 1, i + 1, i - width, i + width] where map.indices.contains(j) && !map[j].isNaN {
                    let adjacent = abs(i % width - j % width) + abs(i / width - j / width) == 1
                    if adjacent && abs(map[i] - map[j]) <= 2 && label[j] < label[i] {
                        label[i] = label[j]
                        changes = true
                    }
                }
            }
        }
        return map.indices.map { i in
            label.filter { $0 == label[i] }.count < options.smallestPatch ? .nan : map[i]
        }
    }
}

@Suite("semi-global matching")
struct SemiGlobalTests {
    private static func picture(_ values: [Int], _ height: Int, _ width: Int) -> PixelArray {
        PixelArray(height: height, width: width, channels: 1, element: .uint8, bytes: values.map { UInt8($0) })
    }

    /// A textured left view, and the right one at disparity 3 above and −2 below, with noise.
    private static func pair(height: Int, width: Int, seed: UInt64, noise: Int) -> (left: [Int], right: [Int]) {
        let random = CounterRandom(seed, "matching", 0)
        func texture(_ y: Int, _ x: Int) -> Int { Int(random.bits(UInt64(y * 1000 + x + 100)) % 200) }
        func grain(_ i: Int) -> Int { noise == 0 ? 0 : Int(random.bits(UInt64(1_000_000 + i)) % UInt64(noise)) }
        let left = (0..<height * width).map { texture($0 / width, $0 % width) + grain($0) }
        let right = (0..<height * width).map { i in
            texture(i / width, i % width + (i / width < height / 2 ? 3 : -2)) + grain(i + height * width)
        }
        return (left, right)
    }

    @Test(
        "equals the definition",
        arguments: [
            (11, 27, -5, 16, 60), (8, 40, -8, 32, 120), (9, 12, 2, 16, 30), (1, 33, -4, 16, 10), (13, 5, -6, 16, 90),
        ])
    func matchesReference(_ height: Int, _ width: Int, _ lowest: Int, _ levels: Int, _ noise: Int) throws {
        let views = Self.pair(height: height, width: width, seed: 5, noise: min(noise, 55))
        for unlike in [(5, 4), (0, 1), (20, 12)] {
            var options = SemiGlobalMatcher.Options(lowest: lowest, levels: levels)
            (options.uniquenessPercent, options.smallestPatch) = unlike
            let expected = SemiGlobalReference(
                left: views.left, right: views.right, height: height, width: width, options: options
            ).maps()
            let found = try SemiGlobalMatcher(options).match(
                left: Self.picture(views.left, height, width), right: Self.picture(views.right, height, width))
            for (map, values) in [(found.left, expected.left), (found.right, expected.right)] {
                map.withFloats { map in
                    for i in values.indices {
                        #expect(
                            map[i] == values[i] || map[i].isNaN && values[i].isNaN,
                            "\(height)x\(width) at \(i / width), \(i % width): \(map[i]), not \(values[i])")
                    }
                }
            }
        }
    }

    @Test("finds both signs, in colour and 16 bits")
    func findsShifts() throws {
        let (height, width) = (32, 64)
        let views = Self.pair(height: height, width: width, seed: 9, noise: 0)
        func shown(_ values: [Int], _ kind: Int) -> PixelArray {
            switch kind {
            case 0: return Self.picture(values, height, width)
            case 1:
                return PixelArray(
                    height: height, width: width, channels: 3, element: .uint8,
                    bytes: values.flatMap { [UInt8($0), UInt8($0), UInt8($0)] })
            default:
                return PixelArray(
                    height: height, width: width, channels: 1, element: .uint16,
                    bytes: values.flatMap { [UInt8(0), UInt8($0)] })
            }
        }
        for kind in 0..<3 {
            let maps = try SemiGlobalMatcher(.init(lowest: -8, levels: 16)).match(
                left: shown(views.left, kind), right: shown(views.right, kind))
            for (map, inside) in [(maps.left, 8..<width - 8), (maps.right, 8..<width - 8)] {
                map.withFloats { map in
                    var wrong = 0
                    for y in 0..<height where abs(y - height / 2) > 4 {
                        for x in inside {
                            let expected: Float = y < height / 2 ? 3 : -2
                            if !(abs(map[y * width + x] - expected) <= 0.5) { wrong += 1 }
                        }
                    }
                    // 23 rows of 48 columns.
                    #expect(wrong <= 10, "picture kind \(kind)")
                }
            }
        }
    }

    @Test("refuses unlike views")
    func refuses() {
        #expect(throws: MetricError.self) {
            try SemiGlobalMatcher(.init(lowest: 0, levels: 16)).match(
                left: Self.picture([1, 2], 1, 2), right: Self.picture([1, 2], 2, 1))
        }
    }

    @Test("default levels cover films and cars", arguments: [1, 16, 336, 512, 1242])
    func levelsFit(_ width: Int) {
        let options = SemiGlobalMatcher.Options.forWidth(width)
        #expect(options.levels % 16 == 0)
        #expect(options.lowest <= -width / 16 && options.lowest + options.levels - 1 >= width / 5)
    }

    @Test("a view warped by its disparity")
    func warps() throws {
        let picture = PixelArray(height: 1, width: 4, channels: 1, element: .uint8, bytes: [10, 20, 40, 80])
        let map = PixelArray(height: 1, width: 4, channels: 1, floats: [0.5, .nan, -1, 7])
        #expect(Baselines.warped(picture, by: map, sign: 1).bytes == [15, 20, 20, 80])
        #expect(Baselines.warped(picture, by: map, sign: -1).bytes == [10, 20, 80, 10])
    }
}
