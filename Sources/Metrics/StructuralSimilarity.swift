import Glibc

/// Taps of the window; it reaches `tapCount / 2` pixels to each side.
private let tapCount = 11

private let window: [Double] = {
    let radius = tapCount / 2
    let weights = (-radius...radius).map { exp(-0.5 * Double($0 * $0) / (1.5 * 1.5)) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
}()

/// The sum and number of the structural similarities of one channel, over all positions of the window inside the
/// columns.
///
/// The window is separable: rows are filtered as they are read, and the last 11 filtered rows suffice for a row of
/// output, so that memory stays proportional to the width.
func structuralSimilarity(
    _ first: UnsafeBufferPointer<Float>, _ second: UnsafeBufferPointer<Float>, height: Int, width: Int, channels: Int,
    channel: Int, columns: Range<Int>, peak: Double
) -> (sum: Double, count: Int) {
    let outputWidth = columns.count - tapCount + 1
    guard outputWidth > 0 && height >= tapCount else { return (0, 0) }
    let c1 = (0.01 * peak) * (0.01 * peak)
    let c2 = (0.03 * peak) * (0.03 * peak)
    // Five signals per pixel: x, y, x², y², xy.
    let signalCount = 5
    var row = [Double](repeating: 0, count: signalCount * columns.count)
    var ring = [Double](repeating: 0, count: tapCount * signalCount * outputWidth)
    var output = [Double](repeating: 0, count: signalCount * outputWidth)
    var sum = 0.0
    for y in 0..<height {
        for x in 0..<columns.count {
            let index = (y * width + columns.lowerBound + x) * channels + channel
            let (a, b) = (Double(first[index]), Double(second[index]))
            row[x] = a
            row[columns.count + x] = b
            row[2 * columns.count + x] = a * a
            row[3 * columns.count + x] = b * b
            row[4 * columns.count + x] = a * b
        }
        ring.withUnsafeMutableBufferPointer { ring in
            row.withUnsafeBufferPointer { row in
                let slot = (y % tapCount) * signalCount * outputWidth
                for signal in 0..<signalCount {
                    for x in 0..<outputWidth {
                        var value = 0.0
                        for tap in 0..<tapCount { value += window[tap] * row[signal * columns.count + x + tap] }
                        ring[slot + signal * outputWidth + x] = value
                    }
                }
            }
        }
        guard y >= tapCount - 1 else { continue }
        output.withUnsafeMutableBufferPointer { output in
            output.update(repeating: 0)
            ring.withUnsafeBufferPointer { ring in
                for tap in 0..<tapCount {
                    let slot = ((y - tapCount + 1 + tap) % tapCount) * signalCount * outputWidth
                    let weight = window[tap]
                    for index in output.indices { output[index] += weight * ring[slot + index] }
                }
            }
            for x in 0..<outputWidth {
                let (meanA, meanB) = (output[x], output[outputWidth + x])
                let varianceA = output[2 * outputWidth + x] - meanA * meanA
                let varianceB = output[3 * outputWidth + x] - meanB * meanB
                let covariance = output[4 * outputWidth + x] - meanA * meanB
                sum +=
                    ((2 * meanA * meanB + c1) * (2 * covariance + c2))
                    / ((meanA * meanA + meanB * meanB + c1) * (varianceA + varianceB + c2))
            }
        }
    }
    return (sum, outputWidth * (height - tapCount + 1))
}
