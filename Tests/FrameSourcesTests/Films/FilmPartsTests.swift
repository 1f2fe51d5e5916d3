import Basics
import Testing

@testable import FrameSources

/// Parts that need no ffmpeg.
@Suite struct FilmPartsTests {
    @Test(arguments: [
        // frame, arrangement, aspect → half, view in square pixels (height, width)
        (3840, 1080, Arrangement.sideBySide, 1.0, false, 1080, 1920),
        (1920, 1080, .sideBySide, 1, true, 1080, 1920),
        (1280, 720, .sideBySide, 1, true, 720, 1280),
        // The whole of 2.40:1, squeezed.
        (1920, 800, .sideBySide, 1, true, 800, 1920),
        // So that players show one view's shape.
        (3840, 1080, .sideBySide, 0.5, false, 1080, 1920),
        (1920, 1080, .sideBySide, 2, false, 1080, 1920),
        // Broadcast with 4:3 pixels.
        (1440, 1080, .sideBySide, 4.0 / 3, true, 1080, 1920),
        (720, 576, .alternating, 64.0 / 45, false, 576, 1024),
        (1920, 2160, .topBottom, 1, false, 1080, 1920),
        (1920, 1080, .topBottom, 1, true, 1080, 1920),
        (1920, 1080, .topBottom, 0.5, false, 1080, 1920),
        (1920, 2205, .framePacked, 1, false, 1080, 1920),
        (1280, 1470, .framePacked, 1, false, 720, 1280),
        (1920, 1080, .rows, 1, true, 1080, 1920),
        (336, 384, .rows, 1, false, 192, 336),
        (1920, 1080, .columns, 1, true, 1080, 1920),
        // A pixel aspect left over from a squeezed film, on a film that is not.
        (672, 192, .sideBySide, 24.0 / 35, false, 192, 336),
        (336, 192, .sideBySide, 1, true, 192, 336),
        (641, 180, .sideBySide, 1, false, 180, 320),
    ])
    func shapeOfViews(
        _ width: Int, _ height: Int, _ arrangement: Arrangement, _ aspect: Double, _ isHalf: Bool, _ viewHeight: Int,
        _ viewWidth: Int
    ) {
        let shape = ViewShape(arrangement, height: height, width: width, pixelAspect: aspect, isHalf: nil)
        #expect(shape.isHalf == isHalf)
        #expect(shape.isPlausible)
        let size = shape.squareSize(height: shape.height, width: shape.width)
        #expect(size.height == viewHeight && size.width == viewWidth)
    }

    @Test func aForcedPixelAspectCounts() {
        let given = ViewShape(
            .sideBySide, height: 192, width: 672, pixelAspect: 24.0 / 35, isHalf: false, isForced: true)
        let size = given.squareSize(height: 192, width: 336)
        #expect(size.height == 280 && size.width == 336)
        #expect(!given.ignoresPixelAspect)
        let half = ViewShape(.sideBySide, height: 192, width: 672, pixelAspect: 24.0 / 35, isHalf: true)
        #expect(half.squareSize(height: 192, width: 336).width == 461)
    }

    @Test(arguments: Arrangement.allCases) func viewsOfEveryPixel(_ arrangement: Arrangement) {
        // Every sample says where it was.
        let (height, width) = arrangement == .framePacked ? (49, 7) : (6, 9)
        var picture = PixelArray(zerosOf: height, width, 3, .uint8)
        for y in 0..<height {
            for x in 0..<width {
                picture.bytes[(y * width + x) * 3] = UInt8(y)
                picture.bytes[(y * width + x) * 3 + 1] = UInt8(x)
            }
        }
        // Of alternating films, frames come side by side already.
        let frameWidth = arrangement == .alternating ? 4 : width
        let shape = ViewShape(arrangement, height: height, width: frameWidth, pixelAspect: 1, isHalf: false)
        let crop = Crop(top: 1, bottom: 0, left: 1, right: 2)
        let (first, second) = shape.views(of: picture, crop: crop)
        for (view, number) in [(first, 0), (second, 1)] {
            #expect(view.height == shape.height - 1 && view.width == shape.width - 3)
            for y in 0..<view.height {
                for x in 0..<view.width {
                    let (row, column) = (y + 1, x + 1)
                    let place: (Int, Int) =
                        switch arrangement {
                        case .sideBySide, .alternating: (row, column + number * 5)
                        case .topBottom: (row + number * 3, column)
                        // 24 rows, one blank, 24 rows.
                        case .framePacked: (row + number * 25, column)
                        case .rows: (2 * row + number, column)
                        case .columns: (row, 2 * column + number)
                        }
                    let at = (y * view.width + x) * 3
                    #expect(Int(view.bytes[at]) == place.0 && Int(view.bytes[at + 1]) == place.1)
                }
            }
        }
    }

    @Test func labels() {
        #expect(StereoLabel(tag: "left_right") == StereoLabel(type: "side by side", isInverted: false))
        #expect(StereoLabel(tag: "bottom_top") == StereoLabel(type: "top and bottom", isInverted: true))
        #expect(StereoLabel(tag: "block_rl") == StereoLabel(type: "frame alternate", isInverted: true))
        #expect(StereoLabel(tag: "col_interleaved_rl")?.kind == .packed(.columns))
        #expect(StereoLabel(tag: "col_interleaved_rl")?.isRightFirst == true)
        #expect(StereoLabel(tag: "anaglyph_cyan_red")?.kind == .anaglyph)
        #expect(StereoLabel(tag: "mono")?.kind == .flat)
        #expect(StereoLabel(tag: "") == nil)
        #expect(StereoLabel(type: "side by side (quincunx subsampling)", isInverted: false)?.kind == .checkerboard)
        #expect(StereoLabel(type: "unspecified", isInverted: false) == nil)
        let old = "Parsed_showinfo_1:   side data - stereoscopic information: type - side by side (inverted)"
        #expect(StereoLabel(frameLine: old) == StereoLabel(tag: "right_left"))
        #expect(StereoLabel(frameLine: "Parsed_showinfo_1: n:   0 pts: 0") == nil)
    }

    @Test func linesOfFFmpeg() {
        let line = FFmpegLine("[h264 @ 0x55cddece5c00] [error] file:/proc/self/fd/0: no [x] frame")
        #expect(line.level == "error" && line.text == "h264: no [x] frame")
        #expect(FFmpegLine("[info]   Duration: 1").level == "info")
        #expect(FFmpegLine("frame=1").level == "")
        #expect(FFmpegLine("[open").text == "[open")
        #expect(FilmInfo.ratio("24:35") == 24.0 / 35)
        for odd in ["0:1", "1:0", "", "a:b", "1", "1:100", "-1:2"] { #expect(FilmInfo.ratio(odd) == nil, "\(odd)") }
    }

    @Test func secondViewsInStreams() {
        func stream(_ heads: [[UInt8]]) -> [UInt8] { heads.flatMap { [0, 0, 0, 1] + $0 + [0x55, 0x66, 0x77] } }
        // Type in the low five bits: parameter sets, slices; 15 and 20 belong to a second view.
        #expect(!MultiviewScan.hasSecondView(stream([[0x67], [0x68], [0x65], [0x41]]), codec: "h264"))
        #expect(MultiviewScan.hasSecondView(stream([[0x67], [0x6F], [0x68]]), codec: "h264"))
        #expect(MultiviewScan.hasSecondView(stream([[0x65], [0x74]]), codec: "h264"))
        // Six bits of type, six of layer, three of time.
        #expect(!MultiviewScan.hasSecondView(stream([[0x40, 0x01], [0x26, 0x01]]), codec: "hevc"))
        #expect(MultiviewScan.hasSecondView(stream([[0x40, 0x01], [0x26, 0x09]]), codec: "hevc"))
        #expect(!MultiviewScan.hasSecondView([], codec: "h264"))
        #expect(!MultiviewScan.hasSecondView([0, 0, 1], codec: "hevc"))
    }

    @Test func gridsAreMeans() {
        let picture = noise(13, 17, 3, .uint8)
        let grid = PictureGrid(picture, part: (2, 3, 9, 12), height: 4, width: 5)
        for row in 0..<4 {
            for column in 0..<5 {
                for channel in 0..<3 {
                    var values: [Double] = []
                    for y in (row * 9 / 4)..<((row + 1) * 9 / 4) {
                        for x in (column * 12 / 5)..<((column + 1) * 12 / 5) {
                            values.append(Double(picture.bytes[((y + 2) * 17 + x + 3) * 3 + channel]))
                        }
                    }
                    let mean = values.reduce(0, +) / Double(values.count)
                    #expect(abs(Double(grid.colours[(row * 5 + column) * 3 + channel]) - mean) <= 0.5)
                }
            }
        }
    }

    /// A textured plane whose disparity grows from −4 at the top to 4 at the bottom, as on a floor.
    private func floor(_ seed: UInt64) -> (PixelArray, PixelArray) {
        let random = CounterRandom(seed, "floor")
        let (height, width) = (96, 168)
        var views = [PixelArray(zerosOf: height, width, 3, .uint8), PixelArray(zerosOf: height, width, 3, .uint8)]
        for y in 0..<height {
            let disparity = y * 9 / height - 4
            for x in 0..<width {
                for (eye, shift) in [(0, 0), (1, disparity)] {
                    // left(x) = right(x − d)
                    let value = UInt8(truncatingIfNeeded: random.bits(UInt64((y / 3) * 1000 + x + shift + 10)))
                    for channel in 0..<3 { views[eye].bytes[(y * width + x) * 3 + channel] = value }
                }
            }
        }
        return (views[0], views[1])
    }

    @Test func exchangedEyesAreNoticed() {
        var right = EyeOrder()
        var wrong = EyeOrder()
        for seed in 0..<12 {
            let views = floor(UInt64(seed))
            right.add(views)
            wrong.add((views.1, views.0))
        }
        #expect(right.growing == 12 && right.shrinking == 0 && right.warning == nil)
        #expect(wrong.shrinking == 12 && wrong.warning != nil)
        #expect(right.negative > 0 && right.positive > 0)
    }

    @Test func faultsOfFrames() {
        func flat(_ value: UInt8) -> PixelArray {
            PixelArray(
                height: 90, width: 160, channels: 3, element: .uint8, bytes: .init(repeating: value, count: 43200))
        }
        var title = flat(4)
        for y in 40..<48 { for x in 30..<90 where x % 5 < 2 { title.bytes[(y * 160 + x) * 3] = 255 } }
        for index in stride(from: 0, to: title.bytes.count, by: 3) {
            title.bytes[index + 1] = title.bytes[index]
            title.bytes[index + 2] = title.bytes[index]
        }
        let (left, right) = floor(1)
        var checks = FrameChecks()
        #expect(checks.fault(of: (flat(3), flat(3)), seconds: 0) == .black)
        #expect(checks.fault(of: (title, title), seconds: 1) == .title)
        #expect(checks.fault(of: (left, left), seconds: 2) == .mono)
        #expect(checks.fault(of: (left, right), seconds: 3) == nil)
        #expect(checks.fault(of: (left, right), seconds: 4) == .repeated)
        // Slightly other: a repetition a second later, but not a frame later.
        var other = left
        for index in 0..<other.bytes.count { other.bytes[index] = UInt8(max(0, Int(other.bytes[index]) - 1)) }
        #expect(checks.fault(of: (other, right), seconds: 5) == .repeated)
        #expect(checks.fault(of: (other, right), seconds: 3.04) == nil)
        // A red and a green card are no mono frame, whatever their brightness.
        var (red, green) = (flat(0), flat(0))
        for index in stride(from: 0, to: red.bytes.count, by: 3) {
            red.bytes[index] = 255
            green.bytes[index + 1] = 128
        }
        #expect(checks.fault(of: (red, green), seconds: 9) == nil)
    }

    @Test func barsAreVotedOn() {
        func view(_ crop: Crop) -> PixelArray {
            var view = noise(60, 80, 3, .uint8)
            for y in 0..<60 {
                for x in 0..<80
                where y < crop.top || y >= 60 - crop.bottom || x < crop.left || x >= 80 - crop.right {
                    for channel in 0..<3 { view.bytes[(y * 80 + x) * 3 + channel] = 5 }
                }
            }
            return view
        }
        let bars = Crop(top: 7, bottom: 9, left: 3, right: 0)
        var votes = BlackBars()
        for _ in 0..<20 { votes.add((view(bars), view(Crop(top: 7, bottom: 9, left: 3, right: 4)))) }
        // One logo in a bar, some dark frames, and a dark scene with larger bars change nothing.
        votes.add((view(Crop()), view(Crop())))
        let dark = PixelArray(zerosOf: 60, 80, 3, .uint8)
        for _ in 0..<9 { votes.add((dark, dark)) }
        for _ in 0..<5 { votes.add((view(Crop(top: 20, bottom: 20, left: 9, right: 9)), view(bars))) }
        #expect(votes.crop(height: 60, width: 80) == bars)
        #expect(BlackBars().crop(height: 60, width: 80).isEmpty)
    }

    @Test func missingProgramsAreNamed() throws {
        let (code, line) = try #require(failure { _ = try FFmpeg.find(path: "/nonexistent:relative") })
        #expect(code == .missingInput)
        #expect(line.contains("ffmpeg: not found") && line.contains("apt-get install ffmpeg"))
    }
}
