import Foundation
import Kernels
import Tensors
import Testing
import Threads

/// A layer to test; `isTransposed` exchanges the roles of the images.
struct LayerCase: CustomTestStringConvertible, Sendable {
    var n = 1
    let h: Int
    let w: Int
    let ci: Int
    let co: Int
    let kh: Int
    let kw: Int
    var s = 1
    var p = 0
    var isTransposed = false

    var testDescription: String {
        "\(isTransposed ? "transposed " : "")\(n)x\(h)x\(w)x\(ci) to \(co), \(kh)x\(kw) stride \(s) padding \(p)"
    }

    var geometry: ConvolutionGeometry { .init(kernelHeight: kh, kernelWidth: kw, stride: s, padding: p) }
    var input: Shape { [n, h, w, ci] }
    var weights: Shape { isTransposed ? [ci, kh, kw, co] : [kh, kw, ci, co] }
    var output: Shape {
        isTransposed
            ? [n, geometry.transposedOutputHeight(h), geometry.transposedOutputWidth(w), co]
            : [n, geometry.outputHeight(h), geometry.outputWidth(w), co]
    }
    var isWinogradPossible: Bool { !isTransposed && kh == 3 && kw == 3 && s == 1 && p <= 2 }
}

/// A tensor with guard zones: writing outside its bounds is found.
final class GuardedTensor {
    private static let zone = 64
    private static let mark = Float(bitPattern: 0x7FC1_2345)
    let arena: FloatArena
    let shape: Shape

    /// Filled with NaN, so that what is not written shows.
    init(_ shape: Shape) {
        self.shape = shape
        arena = FloatArena(count: shape.count + 2 * Self.zone)
        arena.buffer.update(repeating: Self.mark)
    }

    convenience init(_ shape: Shape, random seed: UInt64) {
        self.init(shape)
        var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
        for i in 0..<shape.count {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            base[i] = Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
        }
    }

    var base: UnsafeMutablePointer<Float> { arena.base + Self.zone }
    var view: TensorView { TensorView(base, shape) }
    var bits: [UInt32] {
        base.withMemoryRebound(to: UInt32.self, capacity: shape.count) {
            Array(UnsafeBufferPointer(start: $0, count: shape.count))
        }
    }
    var isGuardIntact: Bool {
        let count = shape.count
        return (0..<Self.zone).allSatisfy {
            arena.base[$0].bitPattern == Self.mark.bitPattern
                && base[count + $0].bitPattern == Self.mark.bitPattern
        }
    }
}

/// Double-precision values of single elements, straight from the definitions, with the sum of magnitudes as the scale of
/// the error. "Big" and "small" as in the kernels: tap (ky, kx) of small pixel (y, x) is big pixel (y·s - p + ky, …).
struct LayerReference {
    let layer: LayerCase
    let big: UnsafePointer<Float>
    let small: UnsafePointer<Float>
    let weights: UnsafePointer<Float>

    struct Sum {
        var value = 0.0
        var magnitude = 0.0
        mutating func add(_ a: Float, _ b: Float) {
            let product = Double(a) * Double(b)
            value += product
            magnitude += product.magnitude
        }
    }

    /// Plain numbers: debug builds look up arrays slowly.
    struct Extent {
        let n: Int
        let h: Int
        let w: Int
        let c: Int
        init(_ shape: Shape) { (n, h, w, c) = (shape[0], shape[1], shape[2], shape[3]) }

        subscript(axis: Int) -> Int { axis == 0 ? n : axis == 1 ? h : axis == 2 ? w : c }
    }
    let bigShape: Extent
    let smallShape: Extent

    init(layer: LayerCase, big: UnsafePointer<Float>, small: UnsafePointer<Float>, weights: UnsafePointer<Float>) {
        self.layer = layer
        self.big = big
        self.small = small
        self.weights = weights
        bigShape = Extent(layer.isTransposed ? layer.output : layer.input)
        smallShape = Extent(layer.isTransposed ? layer.input : layer.output)
    }

    private func weight(_ ky: Int, _ kx: Int, big: Int, small: Int) -> Float {
        let (bigs, smalls) = (bigShape[3], smallShape[3])
        return layer.isTransposed
            ? weights[((small * layer.kh + ky) * layer.kw + kx) * bigs + big]
            : weights[((ky * layer.kw + kx) * bigs + big) * smalls + small]
    }

    private static func indices(_ index: Int, _ shape: Extent) -> (Int, Int, Int, Int) {
        (
            index / (shape[3] * shape[2] * shape[1]), index / (shape[3] * shape[2]) % shape[1],
            index / shape[3] % shape[2], index % shape[3]
        )
    }

    /// Element of the small image as a convolution of the big one.
    func smallElement(_ index: Int) -> Sum {
        let (n, y, x, c) = Self.indices(index, smallShape)
        var sum = Sum()
        for ky in 0..<layer.kh {
            for kx in 0..<layer.kw {
                let (by, bx) = (y * layer.s - layer.p + ky, x * layer.s - layer.p + kx)
                guard by >= 0, by < bigShape[1], bx >= 0, bx < bigShape[2] else { continue }
                let pixel = big + ((n * bigShape[1] + by) * bigShape[2] + bx) * bigShape[3]
                for b in 0..<bigShape[3] { sum.add(pixel[b], weight(ky, kx, big: b, small: c)) }
            }
        }
        return sum
    }

    /// Element of the big image as what the small one sends to it.
    func bigElement(_ index: Int) -> Sum {
        let (n, by, bx, c) = Self.indices(index, bigShape)
        var sum = Sum()
        for ky in 0..<layer.kh {
            for kx in 0..<layer.kw {
                let (ty, tx) = (by + layer.p - ky, bx + layer.p - kx)
                guard ty >= 0, tx >= 0, ty % layer.s == 0, tx % layer.s == 0 else { continue }
                let (y, x) = (ty / layer.s, tx / layer.s)
                guard y < smallShape[1], x < smallShape[2] else { continue }
                let pixel = small + ((n * smallShape[1] + y) * smallShape[2] + x) * smallShape[3]
                for s in 0..<smallShape[3] { sum.add(pixel[s], weight(ky, kx, big: c, small: s)) }
            }
        }
        return sum
    }

    func weightElement(_ index: Int) -> Sum {
        let i = Self.indices(index, Extent(layer.weights))
        let (ky, kx, b, c) = layer.isTransposed ? (i.1, i.2, i.3, i.0) : (i.0, i.1, i.2, i.3)
        var sum = Sum()
        for n in 0..<layer.n {
            for y in 0..<smallShape[1] {
                for x in 0..<smallShape[2] {
                    let (by, bx) = (y * layer.s - layer.p + ky, x * layer.s - layer.p + kx)
                    guard by >= 0, by < bigShape[1], bx >= 0, bx < bigShape[2] else { continue }
                    sum.add(
                        big[((n * bigShape[1] + by) * bigShape[2] + bx) * bigShape[3] + b],
                        small[((n * smallShape[1] + y) * smallShape[2] + x) * smallShape[3] + c])
                }
            }
        }
        return sum
    }
}

/// The three passes of a layer with all buffers guarded.
struct LayerRun {
    let layer: LayerCase
    let input: GuardedTensor
    let weights: GuardedTensor
    let bias: GuardedTensor
    let outputGradient: GuardedTensor
    let output: GuardedTensor
    let inputGradient: GuardedTensor
    let weightGradient: GuardedTensor

    init(_ layer: LayerCase) {
        self.layer = layer
        input = GuardedTensor(layer.input, random: 1)
        weights = GuardedTensor(layer.weights, random: 2)
        bias = GuardedTensor([layer.co], random: 3)
        outputGradient = GuardedTensor(layer.output, random: 4)
        output = GuardedTensor(layer.output)
        inputGradient = GuardedTensor(layer.input)
        weightGradient = GuardedTensor(layer.weights)
    }

    /// Runs forward, input gradient and weight gradient, each with a workspace of exactly the promised size.
    func run(
        threads: Int, level: InstructionLevel = .best, method: ConvolutionMethod = .automatic, withBias: Bool = true,
        activation: Activation = .none
    ) {
        let pool = ForkJoinPool(threadCount: threads, spinMicroseconds: 50)
        defer { pool.shutDown() }
        let context = KernelContext(pool: pool, level: level)
        let g = layer.geometry
        let biasView = withBias ? bias.view : nil
        func scratch(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
            let workspace = GuardedTensor([count])
            body(workspace.base)
            #expect(workspace.isGuardIntact, "workspace of \(count) floats overrun, \(threads) threads")
        }
        typealias K = KernelContext
        let (i, w) = (layer.input, layer.weights)
        if layer.isTransposed {
            scratch(K.transposedConvolution2DWorkspaceCount(input: i, weights: w, geometry: g, threadCount: threads)) {
                context.transposedConvolution2D(
                    input: input.view, weights: weights.view, bias: biasView, output: output.view, geometry: g,
                    workspace: $0)
            }
            scratch(
                K.transposedConvolution2DInputGradientWorkspaceCount(
                    input: i, weights: w, geometry: g, threadCount: threads)
            ) {
                context.transposedConvolution2DInputGradient(
                    outputGradient: outputGradient.view, weights: weights.view, inputGradient: inputGradient.view,
                    geometry: g, workspace: $0)
            }
            scratch(
                K.transposedConvolution2DWeightGradientWorkspaceCount(
                    input: i, weights: w, geometry: g, threadCount: threads)
            ) {
                context.transposedConvolution2DWeightGradient(
                    input: input.view, outputGradient: outputGradient.view, weightGradient: weightGradient.view,
                    geometry: g, workspace: $0)
            }
        } else {
            scratch(
                K.convolution2DWorkspaceCount(input: i, weights: w, geometry: g, threadCount: threads, method: method)
            ) {
                context.convolution2D(
                    input: input.view, weights: weights.view, bias: biasView, output: output.view, geometry: g,
                    activation: activation, workspace: $0, method: method)
            }
            scratch(
                K.convolution2DInputGradientWorkspaceCount(
                    input: i, weights: w, geometry: g, threadCount: threads, method: method)
            ) {
                context.convolution2DInputGradient(
                    outputGradient: outputGradient.view, weights: weights.view, inputGradient: inputGradient.view,
                    geometry: g, workspace: $0, method: method)
            }
            scratch(
                K.convolution2DWeightGradientWorkspaceCount(
                    input: i, weights: w, geometry: g, threadCount: threads, method: method)
            ) {
                context.convolution2DWeightGradient(
                    input: input.view, outputGradient: outputGradient.view, weightGradient: weightGradient.view,
                    geometry: g, workspace: $0, method: method)
            }
        }
        for tensor in [output, inputGradient, weightGradient] {
            #expect(tensor.isGuardIntact, "\(tensor.shape) overrun, \(threads) threads")
        }
    }

    /// Compares what `run` left behind with the reference, at up to `samples` elements of each result.
    func check(
        samples: Int = 400, withBias: Bool = true, activation: Activation = .none, isWinograd: Bool = false
    ) {
        let forward = LayerReference(
            layer: layer, big: input.base, small: input.base, weights: weights.base)
        let backward = LayerReference(
            layer: layer, big: layer.isTransposed ? outputGradient.base : input.base,
            small: layer.isTransposed ? input.base : outputGradient.base, weights: weights.base)
        compare("output", output, samples, isWinograd) {
            var sum = layer.isTransposed ? forward.bigElement($0) : forward.smallElement($0)
            if withBias { sum.add(bias.base[$0 % layer.co], 1) }
            if activation == .relu { sum.value = max(0, sum.value) }
            return sum
        }
        compare("input gradient", inputGradient, samples, isWinograd) {
            layer.isTransposed ? backward.smallElement($0) : backward.bigElement($0)
        }
        compare("weight gradient", weightGradient, samples, isWinograd) { backward.weightElement($0) }
    }

    private func compare(
        _ name: String, _ tensor: GuardedTensor, _ samples: Int, _ isWinograd: Bool,
        _ reference: (Int) -> LayerReference.Sum
    ) {
        let count = tensor.shape.count
        // A step prime to most extents, so that samples meet all borders, rows and channels; the last element too.
        let step = count <= samples ? 1 : count / samples | 1
        var worst = 0.0
        for index in Array(stride(from: 0, to: count, by: step)) + (count > 0 ? [count - 1] : []) {
            let sum = reference(index)
            let error = abs(Double(tensor.base[index]) - sum.value)
            // 1e-30: elements that nothing reaches must be exactly zero.
            let ratio = error / (sum.magnitude + 1e-30)
            worst = max(worst, ratio.isNaN ? .infinity : ratio)
        }
        // A sum's rounding is bounded by its own terms; Winograd's also by those of its neighbours in the tile.
        #expect(worst < (isWinograd ? 1.2e-5 : 4e-6), "\(name) of \(layer.testDescription): relative error \(worst)")
    }
}
