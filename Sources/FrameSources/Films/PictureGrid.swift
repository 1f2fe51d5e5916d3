import Basics

/// A picture averaged over the cells of a coarse grid, for comparing and judging.
struct PictureGrid {
    let height: Int
    let width: Int
    /// Red, green and blue of every cell.
    let colours: [UInt8]

    /// - Parameter part: rows and columns of an RGB picture; the whole one if nil. A grid is never finer than it.
    init(_ picture: PixelArray, part: (y: Int, x: Int, height: Int, width: Int)? = nil, height: Int, width: Int) {
        let part = part ?? (0, 0, picture.height, picture.width)
        let rows = max(1, min(height, part.height))
        let columns = max(1, min(width, part.width))
        self.height = rows
        self.width = columns
        var colours = [UInt8](repeating: 0, count: rows * columns * 3)
        guard part.height > 0, part.width > 0 else {
            self.colours = colours
            return
        }
        let bounds = (0...columns).map { $0 * part.width / columns }
        var sums = [Int](repeating: 0, count: columns * 3)
        picture.bytes.withUnsafeBufferPointer { pixels in
            for row in 0..<rows {
                let first = row * part.height / rows
                let last = (row + 1) * part.height / rows
                for index in sums.indices { sums[index] = 0 }
                for y in first..<last {
                    let line = ((part.y + y) * picture.width + part.x) * 3
                    for column in 0..<columns {
                        var (red, green, blue) = (0, 0, 0)
                        var at = line + bounds[column] * 3
                        for _ in bounds[column]..<bounds[column + 1] {
                            red += Int(pixels[at])
                            green += Int(pixels[at + 1])
                            blue += Int(pixels[at + 2])
                            at += 3
                        }
                        sums[column * 3] += red
                        sums[column * 3 + 1] += green
                        sums[column * 3 + 2] += blue
                    }
                }
                for column in 0..<columns {
                    let count = (bounds[column + 1] - bounds[column]) * (last - first)
                    for channel in 0..<3 {
                        colours[(row * columns + column) * 3 + channel] =
                            UInt8((sums[column * 3 + channel] + count / 2) / count)
                    }
                }
            }
        }
        self.colours = colours
    }

    /// Brightness of every cell (BT.601 weights), 0…255.
    var luma: [Int] {
        (0..<(height * width)).map { cell -> Int in
            let red = Int(colours[cell * 3])
            let green = Int(colours[cell * 3 + 1])
            let blue = Int(colours[cell * 3 + 2])
            return (77 * red + 150 * green + 29 * blue) >> 8
        }
    }

    /// Mean difference of all samples, and the share of cells where a sample differs by more than `threshold`.
    func difference(from other: PictureGrid, threshold: Int) -> (mean: Double, share: Double) {
        precondition(height == other.height && width == other.width, "grids of different sizes")
        var sum = 0
        var cells = 0
        for cell in 0..<(height * width) {
            var largest = 0
            for channel in 0..<3 {
                let difference = abs(Int(colours[cell * 3 + channel]) - Int(other.colours[cell * 3 + channel]))
                sum += difference
                largest = max(largest, difference)
            }
            if largest > threshold { cells += 1 }
        }
        return (Double(sum) / Double(height * width * 3), Double(cells) / Double(height * width))
    }

    /// Pearson's correlation of brightness; nil where one of the two is flat, so that it says nothing.
    static func correlation(_ one: PictureGrid, _ other: PictureGrid) -> Double? {
        precondition(one.height == other.height && one.width == other.width, "grids of different sizes")
        let (a, b) = (one.luma, other.luma)
        let count = Double(a.count)
        let meanA = Double(a.reduce(0, +)) / count
        let meanB = Double(b.reduce(0, +)) / count
        var (aa, bb, ab) = (0.0, 0.0, 0.0)
        for index in a.indices {
            let x = Double(a[index]) - meanA
            let y = Double(b[index]) - meanB
            aa += x * x
            bb += y * y
            ab += x * y
        }
        // A standard deviation below 4 of 255.
        guard aa / count > 16, bb / count > 16 else { return nil }
        return ab / (aa * bb).squareRoot()
    }
}
