import Basics

/// Black bars around both views, stable over a film: the largest that nine in ten frames have. A title or a logo in a
/// bar does not save it, and a single dark scene makes none.
struct BlackBars {
    /// Brightness up to which a row counts as black, with room for noise.
    private static let black = 28
    /// Frames darker than this on the whole say nothing.
    private static let dark = 24.0

    private var found: [Crop] = []

    /// - Parameter views: both, uncropped.
    mutating func add(_ views: (PixelArray, PixelArray)) {
        let grids = [views.0, views.1].map { PictureGrid($0, height: 32, width: 32).luma }
        for grid in grids where Double(grid.reduce(0, +)) / Double(grid.count) < Self.dark { return }
        let left = Self.bars(of: views.0)
        let right = Self.bars(of: views.1)
        // Only what is black in both: views stay registered, and floating windows keep what one eye sees.
        found.append(
            Crop(
                top: min(left.top, right.top), bottom: min(left.bottom, right.bottom),
                left: min(left.left, right.left), right: min(left.right, right.right)))
    }

    /// Nothing if fewer than three frames tell, or if less than a third of a side would be left.
    func crop(height: Int, width: Int) -> Crop {
        guard found.count >= 3 else { return Crop() }
        func vote(_ side: KeyPath<Crop, Int>) -> Int {
            let sorted = found.map { $0[keyPath: side] }.sorted()
            return sorted[sorted.count / 10]
        }
        var crop = Crop(top: vote(\.top), bottom: vote(\.bottom), left: vote(\.left), right: vote(\.right))
        if crop.top + crop.bottom > height * 2 / 3 { (crop.top, crop.bottom) = (0, 0) }
        if crop.left + crop.right > width * 2 / 3 { (crop.left, crop.right) = (0, 0) }
        return crop
    }

    private static func bars(of view: PixelArray) -> Crop {
        let (height, width) = (view.height, view.width)
        return view.bytes.withUnsafeBufferPointer { pixels in
            func isBlack(_ index: Int) -> Bool {
                let red = Int(pixels[index * 3])
                let green = Int(pixels[index * 3 + 1])
                let blue = Int(pixels[index * 3 + 2])
                return (77 * red + 150 * green + 29 * blue) >> 8 <= black
            }
            // One pixel in fifty may be brighter: noise at the edge of what was coded.
            func isRow(_ y: Int) -> Bool {
                var bright = 0
                for x in 0..<width where !isBlack(y * width + x) { bright += 1 }
                return bright * 50 <= width
            }
            func isColumn(_ x: Int, _ rows: Range<Int>) -> Bool {
                var bright = 0
                for y in rows where !isBlack(y * width + x) { bright += 1 }
                return bright * 50 <= rows.count
            }
            var crop = Crop()
            while crop.top < height, isRow(crop.top) { crop.top += 1 }
            while crop.bottom < height - crop.top, isRow(height - 1 - crop.bottom) { crop.bottom += 1 }
            let rows = crop.top..<(height - crop.bottom)
            guard !rows.isEmpty else { return crop }
            while crop.left < width, isColumn(crop.left, rows) { crop.left += 1 }
            while crop.right < width - crop.left, isColumn(width - 1 - crop.right, rows) { crop.right += 1 }
            return crop
        }
    }
}
