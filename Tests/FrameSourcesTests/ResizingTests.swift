import Basics
import FrameSources
import Testing

@Suite struct ResizingTests {
    @Test func shrinkingAveragesExactly() {
        let picture = gray([[0, 10, 20, 30], [40, 50, 60, 70]])
        #expect(Resizing.area(picture, height: 1, width: 2).bytes == [25, 45])
        // 3 → 2 columns: each new one covers one and a half old ones.
        #expect(Resizing.area(gray([[0, 90, 240]]), height: 1, width: 2).bytes == [30, 190])
        // Halves round up: (1 + 2) / 2.
        #expect(Resizing.area(gray([[1, 2]]), height: 1, width: 1).bytes == [2])
    }

    @Test func growingInterpolatesBetweenCentres() {
        #expect(Resizing.area(gray([[0, 100]]), height: 1, width: 4).bytes == [0, 25, 75, 100])
        #expect(Resizing.area(gray([[7]]), height: 3, width: 2).bytes == [UInt8](repeating: 7, count: 6))
    }

    @Test func flatPicturesStayFlat() {
        for value: UInt8 in [0, 1, 127, 254, 255] {
            let flat = PixelArray(
                height: 37, width: 53, channels: 3, element: .uint8, bytes: .init(repeating: value, count: 5883))
            for (height, width) in [(16, 16), (36, 52), (40, 20), (10, 99), (80, 111)] {
                #expect(Resizing.area(flat, height: height, width: width).bytes.allSatisfy { $0 == value })
            }
        }
        let deep = Array(repeating: UInt16(65535), count: 100).withUnsafeBytes { Array($0) }
        let wide = PixelArray(height: 10, width: 10, channels: 1, element: .uint16, bytes: deep)
        #expect(Resizing.area(wide, height: 7, width: 3).withUInt16s { $0.allSatisfy { $0 == 65535 } })
    }

    /// Against the definition, in float64: every new sample is the mean over its area.
    @Test(arguments: [(5, 7), (12, 16), (1, 1), (13, 3)])
    func areaIsTheMeanOverTheArea(height: Int, width: Int) {
        for element in [ElementType.uint8, .uint16] {
            let source = noise(13, 17, 3, element)
            let result = Resizing.area(source, height: height, width: width)
            for y in 0..<height {
                for x in 0..<width {
                    for channel in 0..<3 {
                        let mean = areaMean(source, y, x, channel, height, width)
                        #expect(abs(sample(result, y, x, channel) - mean) <= 0.51)
                    }
                }
            }
        }
    }

    private func sample(_ array: PixelArray, _ y: Int, _ x: Int, _ channel: Int) -> Double {
        let index = (y * array.width + x) * array.channels + channel
        return array.element == .uint8 ? Double(array.bytes[index]) : array.withUInt16s { Double($0[index]) }
    }

    private func areaMean(_ source: PixelArray, _ y: Int, _ x: Int, _ channel: Int, _ height: Int, _ width: Int)
        -> Double
    {
        func overlap(_ old: Int, _ new: Int, _ oldCount: Int, _ newCount: Int) -> Double {
            let ratio = Double(oldCount) / Double(newCount)
            return max(0, min(Double(old + 1), Double(new + 1) * ratio) - max(Double(old), Double(new) * ratio)) / ratio
        }
        var sum = 0.0
        for oldY in 0..<source.height {
            for oldX in 0..<source.width {
                sum +=
                    sample(source, oldY, oldX, channel) * overlap(oldY, y, source.height, height)
                    * overlap(oldX, x, source.width, width)
            }
        }
        return sum
    }

    @Test func disparitiesArePickedAndScaled() {
        let nan = Float.nan
        let source = map([[nan, 8, nan, nan], [nan, nan, nan, -6], [2, 2, 2, 2], [4, 4, 4, 4]])
        let half = Resizing.disparity(source, height: 2, width: 2)
        let values = half.withFloats { Array($0) }
        // Ties go to the upper left; nothing is averaged.
        #expect(values == [4, -3, 1, 1])
        let holes = Resizing.disparity(map([[nan, nan], [nan, nan]]), height: 1, width: 1)
        #expect(holes.withFloats { $0[0].isNaN })
        let grown = Resizing.disparity(map([[1, nan]]), height: 1, width: 4).withFloats { Array($0) }
        #expect(grown[0] == 2 && grown[1] == 2 && grown[2].isNaN && grown[3].isNaN)
    }

    @Test func neverInventsADisparity() {
        let source = noise(19, 23, 1, .float32)
        let known = Set(source.withFloats { $0.map { $0 * Float(10.0 / 23) } })
        let result = Resizing.disparity(source, height: 11, width: 10)
        #expect(result.withFloats { $0.allSatisfy { known.contains($0) } })
    }

    @Test func fieldsFollowTheirNames() {
        let record = Record(
            key: "a",
            fields: [
                .init(FieldName.left, gray([[0, 100]])), .init(FieldName.disparity, map([[4, 4]])),
                .init(FieldName.depth, map([[4, 4]])), .init(FieldName.visible, gray([[0, 255]])),
            ])
        let resized = Resizing.record(record, height: 1, width: 1)
        #expect(resized[FieldName.left]?.bytes == [50])
        #expect(resized[FieldName.disparity]?.withFloats { $0[0] } == 2)
        #expect(resized[FieldName.depth]?.withFloats { $0[0] } == 4)
        #expect(resized[FieldName.visible]?.bytes == [255])
        #expect(Resizing.record(record, height: 1, width: 2) == record)
    }
}

@Suite struct ColormapTests {
    @Test func turboRunsFromBlueToRed() {
        let low = Colormap.turbo(0.1)
        #expect(low.blue > low.red && low.blue > low.green)
        let middle = Colormap.turbo(0.5)
        #expect(middle.green > 200)
        let high = Colormap.turbo(0.9)
        #expect(high.red > 150 && high.red > 2 * high.green && high.blue < 60)
        #expect(Colormap.turbo(-5) == Colormap.turbo(0) && Colormap.turbo(7) == Colormap.turbo(1))
    }

    @Test func signedValuesAreDistinct() {
        let picture = Colormap.colours(of: map([[-4, 0, 4, .nan, .infinity, -99]]), in: -4...4)
        let colours = (0..<6).map { Array(picture.bytes[($0 * 3)..<($0 * 3 + 3)]) }
        #expect(colours[3] == [0, 0, 0] && colours[4] == [0, 0, 0])
        #expect(colours[5] == colours[0])
        #expect(Set(colours[0..<3]).count == 3)
        #expect(Colormap.range(of: map([[.nan, -2, 5, .infinity]])) == -2...5)
        #expect(Colormap.range(of: map([[.nan]])) == nil)
    }

    @Test func sheetsKeepEveryPixel() {
        let one = noise(2, 3, 3, .uint8, seed: 1)
        let two = noise(3, 2, 1, .uint8, seed: 2)
        let row = ContactSheet.row([one, two], gap: 1)
        #expect(row.height == 3 && row.width == 6)
        #expect(Array(row.bytes[0..<9]) == Array(one.bytes[0..<9]))
        #expect(Array(row.bytes[9..<12]) == [255, 255, 255])
        #expect(Array(row.bytes[12..<15]) == [UInt8](repeating: two.bytes[0], count: 3))
        #expect(Array(row.bytes[36..<45]) == [UInt8](repeating: 255, count: 9))
        let column = ContactSheet.column([one, two], gap: 0)
        #expect(column.height == 5 && column.width == 3)
    }
}
