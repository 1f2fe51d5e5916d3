import Foundation

func exponential(_ x: Double) -> Double { exp(x) }
func logarithm(_ x: Double) -> Double { log(x) }

/// Operators that work on pictures [N, C, H, W].
extension ONNXStep {
    private struct Window {
        let kernel: [Int]
        let strides: [Int]
        let pads: [Int]

        func outputSize(_ height: Int, _ width: Int) -> (Int, Int) {
            (
                (height + pads[0] + pads[2] - kernel[0]) / strides[0] + 1,
                (width + pads[1] + pads[3] - kernel[1]) / strides[1] + 1
            )
        }
    }

    private func window(_ kernel: [Int]? = nil) throws -> Window {
        let given = try list("kernel_shape", kernel ?? [])
        if let kernel, kernel != given { throw problem("kernel_shape \(given), weights \(kernel)") }
        return Window(
            kernel: given, strides: try list("strides", [1, 1]), pads: try list("pads", [0, 0, 0, 0]))
    }

    private func picture(_ index: Int = 0) throws -> (Tensor, n: Int, c: Int, h: Int, w: Int) {
        let x = try input(index)
        guard x.shape.count == 4 else { throw problem("\(x.shape) is no picture") }
        return (x, x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    }

    func convolution() throws -> Tensor {
        try allow("kernel_shape", "strides", "pads", "group")
        let (x, n, c, h, w) = try picture()
        let weights = try input(1)
        let (groups, outputs) = (try integer("group", 1), weights.shape[0])
        let window = try window(Array(weights.shape.suffix(2)))
        let (perGroup, outputsPerGroup) = (c / groups, outputs / groups)
        guard weights.shape[1] == perGroup, perGroup * groups == c, outputsPerGroup * groups == outputs else {
            throw problem("\(weights.shape) weights, \(groups) groups for \(x.shape)")
        }
        let bias = inputs.count > 2 ? try input(2).floats : [Float](repeating: 0, count: outputs)
        let (height, width) = window.outputSize(h, w)
        let (kh, kw) = (window.kernel[0], window.kernel[1])
        var result = [Float](repeating: 0, count: n * outputs * height * width)
        x.floats.withUnsafeBufferPointer { source in
            weights.floats.withUnsafeBufferPointer { taps in
                for sample in 0..<n {
                    for o in 0..<outputs {
                        let first = o / outputsPerGroup * perGroup
                        for y in 0..<height {
                            for u in 0..<width {
                                var sum = 0.0
                                for i in 0..<perGroup {
                                    for ky in 0..<kh {
                                        let row = y * window.strides[0] + ky - window.pads[0]
                                        if row < 0 || row >= h { continue }
                                        let line = ((sample * c + first + i) * h + row) * w
                                        let tap = ((o * perGroup + i) * kh + ky) * kw
                                        for kx in 0..<kw {
                                            let column = u * window.strides[1] + kx - window.pads[1]
                                            if column < 0 || column >= w { continue }
                                            sum += Double(source[line + column]) * Double(taps[tap + kx])
                                        }
                                    }
                                }
                                result[((sample * outputs + o) * height + y) * width + u] = Float(sum + Double(bias[o]))
                            }
                        }
                    }
                }
            }
        }
        return Tensor(shape: [n, outputs, height, width], floats: result)
    }

    func transposedConvolution() throws -> Tensor {
        try allow("kernel_shape", "strides", "pads")
        let (x, n, c, h, w) = try picture()
        let weights = try input(1)
        guard weights.shape[0] == c else { throw problem("\(weights.shape) weights for \(x.shape)") }
        let outputs = weights.shape[1]
        let window = try window(Array(weights.shape.suffix(2)))
        let (kh, kw) = (window.kernel[0], window.kernel[1])
        let height = (h - 1) * window.strides[0] + kh - window.pads[0] - window.pads[2]
        let width = (w - 1) * window.strides[1] + kw - window.pads[1] - window.pads[3]
        let bias = inputs.count > 2 ? try input(2).floats : [Float](repeating: 0, count: outputs)
        var result = [Double](repeating: 0, count: n * outputs * height * width)
        for sample in 0..<n {
            for i in 0..<c {
                for y in 0..<h {
                    for u in 0..<w {
                        let value = Double(x.floats[((sample * c + i) * h + y) * w + u])
                        for o in 0..<outputs {
                            for ky in 0..<kh {
                                let row = y * window.strides[0] + ky - window.pads[0]
                                if row < 0 || row >= height { continue }
                                for kx in 0..<kw {
                                    let column = u * window.strides[1] + kx - window.pads[1]
                                    if column < 0 || column >= width { continue }
                                    result[((sample * outputs + o) * height + row) * width + column] +=
                                        value * Double(weights.floats[((i * outputs + o) * kh + ky) * kw + kx])
                                }
                            }
                        }
                    }
                }
            }
        }
        let plane = height * width
        return Tensor(
            shape: [n, outputs, height, width],
            floats: result.enumerated().map { Float($1 + Double(bias[$0 / plane % outputs])) })
    }

    func batchNormalization() throws -> Tensor {
        try allow("epsilon")
        let (x, _, c, h, w) = try picture()
        let vectors = try (1...4).map { try input($0) }
        for vector in vectors where vector.shape != [c] { throw problem("\(vector.shape) for \(x.shape)") }
        let epsilon = Double(try number("epsilon"))
        return Tensor(
            shape: x.shape,
            floats: x.floats.enumerated().map { index, value in
                let channel = index / (h * w) % c
                let (gain, bias) = (Double(vectors[0].floats[channel]), Double(vectors[1].floats[channel]))
                let (mean, variance) = (Double(vectors[2].floats[channel]), Double(vectors[3].floats[channel]))
                return Float((Double(value) - mean) / (variance + epsilon).squareRoot() * gain + bias)
            })
    }

    func pool(isMaximum: Bool) throws -> Tensor {
        try allow("kernel_shape", "strides", "pads")
        let (x, n, c, h, w) = try picture()
        let window = try window()
        let (height, width) = window.outputSize(h, w)
        var result: [Float] = []
        for plane in 0..<(n * c) {
            for y in 0..<height {
                for u in 0..<width {
                    var (largest, sum, count) = (-Float.infinity, 0.0, 0)
                    for ky in 0..<window.kernel[0] {
                        let row = y * window.strides[0] + ky - window.pads[0]
                        if row < 0 || row >= h { continue }
                        for kx in 0..<window.kernel[1] {
                            let column = u * window.strides[1] + kx - window.pads[1]
                            if column < 0 || column >= w { continue }
                            let value = x.floats[(plane * h + row) * w + column]
                            largest = max(largest, value)
                            sum += Double(value)
                            count += 1
                        }
                    }
                    result.append(isMaximum ? largest : Float(sum / Double(count)))
                }
            }
        }
        return Tensor(shape: [n, c, height, width], floats: result)
    }

    func responseNormalization() throws -> Tensor {
        try allow("size", "alpha", "beta", "bias")
        let (x, n, c, h, w) = try picture()
        let (size, plane) = (try integer("size"), h * w)
        let (alpha, beta, bias) = (try number("alpha"), try number("beta"), try number("bias"))
        var result = x.floats
        for sample in 0..<n {
            for channel in 0..<c {
                let channels = max(0, channel - (size - 1) / 2)...min(c - 1, channel + size / 2)
                for i in 0..<plane {
                    let sum = channels.reduce(0.0) {
                        let value = Double(x.floats[(sample * c + $1) * plane + i])
                        return $0 + value * value
                    }
                    let factor = pow(Double(bias) + Double(alpha) / Double(size) * sum, -Double(beta))
                    let index = (sample * c + channel) * plane + i
                    result[index] = Float(Double(x.floats[index]) * factor)
                }
            }
        }
        return Tensor(shape: x.shape, floats: result)
    }

    func resize() throws -> Tensor {
        try allow("mode", "coordinate_transformation_mode")
        let (x, n, c, h, w) = try picture()
        let scales = try input(2).floats
        guard text("mode") == "linear", scales.count == 4, scales[0] == 1, scales[1] == 1 else {
            throw problem("resizes by \(scales), \(text("mode") ?? "")")
        }
        let (height, width) = (Int(Float(h) * scales[2]), Int(Float(w) * scales[3]))
        func taps(_ old: Int, _ new: Int, _ scale: Float) throws -> [(Int, Int, Double)] {
            try (0..<new).map { i in
                let place: Double
                switch text("coordinate_transformation_mode") {
                case "align_corners": place = new == 1 ? 0 : Double(i) * Double(old - 1) / Double(new - 1)
                case "half_pixel": place = (Double(i) + 0.5) / Double(scale) - 0.5
                case let mode: throw problem("unknown mode \(mode ?? "")")
                }
                let clamped = min(max(place, 0), Double(old - 1))
                return (Int(clamped), min(Int(clamped) + 1, old - 1), clamped - clamped.rounded(.down))
            }
        }
        let (rows, columns) = (try taps(h, height, scales[2]), try taps(w, width, scales[3]))
        var result: [Float] = []
        for plane in 0..<(n * c) {
            func value(_ y: Int, _ u: Int) -> Double { Double(x.floats[(plane * h + y) * w + u]) }
            for (top, bottom, down) in rows {
                for (left, right, across) in columns {
                    let upper = value(top, left) * (1 - across) + value(top, right) * across
                    let lower = value(bottom, left) * (1 - across) + value(bottom, right) * across
                    result.append(Float(upper * (1 - down) + lower * down))
                }
            }
        }
        return Tensor(shape: [n, c, height, width], floats: result)
    }
}
