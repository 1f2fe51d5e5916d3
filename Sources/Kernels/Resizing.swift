import CKernels
import Tensors

/// Where the samples of a resized axis lie among those of the original: made once, when an operation is bound.
///
/// **Source:** PyTorch's `interpolate`: with aligned corners output i lies at i · (n − 1) / (m − 1), else (half-pixel
/// centres) at (i + ½) · n / m − ½, not below 0; the last sample is repeated.
final class ResizedAxis: @unchecked Sendable {
    let inputCount: Int
    let outputCount: Int
    let from: [Int32]
    let next: [Int32]
    let weight: [Float]
    /// The transpose: input i collects outputs columns[starts[i] ..< starts[i + 1]].
    let starts: [Int32]
    let columns: [Int32]
    let weights: [Float]

    init(from inputCount: Int, to outputCount: Int, alignedCorners: Bool) {
        self.inputCount = inputCount
        self.outputCount = outputCount
        var from: [Int32] = []
        var next: [Int32] = []
        var weight: [Float] = []
        var lists = [[(Int32, Float)]](repeating: [], count: inputCount)
        for i in 0..<outputCount {
            let place: Double
            if alignedCorners {
                place = outputCount > 1 ? Double(i) * Double(inputCount - 1) / Double(outputCount - 1) : 0
            } else {
                place = max(0, (Double(i) + 0.5) * Double(inputCount) / Double(outputCount) - 0.5)
            }
            let first = min(Int(place), inputCount - 1)
            let second = min(first + 1, inputCount - 1)
            let w = Float(place - Double(first))
            from.append(Int32(first))
            next.append(Int32(second))
            weight.append(w)
            if w < 1 { lists[first].append((Int32(i), 1 - w)) }
            if w > 0 { lists[second].append((Int32(i), w)) }
        }
        (self.from, self.next, self.weight) = (from, next, weight)
        var starts: [Int32] = [0]
        for list in lists { starts.append(starts[starts.count - 1] + Int32(list.count)) }
        self.starts = starts
        columns = lists.flatMap { $0.map(\.0) }
        weights = lists.flatMap { $0.map(\.1) }
    }

    /// The most outputs that an input goes to.
    var widest: Int { zip(starts, starts.dropFirst()).reduce(0) { max($0, Int($1.1 - $1.0)) } }
}

/// Bilinear resizing of pictures from one size to another.
public struct BilinearResizing: Sendable {
    let rows: ResizedAxis
    let columns: ResizedAxis

    /// - Precondition: no input sample goes to more than 64 output rows (an enlargement of about 32 times).
    public init(from input: (height: Int, width: Int), to output: (height: Int, width: Int), alignedCorners: Bool) {
        rows = ResizedAxis(from: input.height, to: output.height, alignedCorners: alignedCorners)
        columns = ResizedAxis(from: input.width, to: output.width, alignedCorners: alignedCorners)
        precondition(rows.widest <= 64, "\(input) enlarged to \(output)")
    }
}

extension KernelContext {
    /// Floats of workspace of both directions: one row for each thread.
    public static func resizeWorkspaceCount(input: Shape, output: Shape, threadCount: Int) -> Int {
        threadCount * roundUp(max(input[2], output[2]) * input[3], to: 16)
    }

    /// `[N, H, W, C]` → `[N, H', W', C]`: first between rows, then between columns.
    public func resize(
        _ input: TensorView, output: TensorView, by resizing: BilinearResizing,
        workspace: UnsafeMutablePointer<Float>
    ) {
        check(input.shape, output.shape, resizing)
        let (height, width, channels) = (input.shape[1], input.shape[2], input.shape[3])
        let (outHeight, outWidth) = (output.shape[1], output.shape[2])
        let scratch = Self.resizeWorkspaceCount(input: input.shape, output: output.shape, threadCount: 1)
        let (rows, columns, kernels) = (resizing.rows, resizing.columns, kernels)
        let chunks = Chunks.rows(output.shape[0] * outHeight, of: outWidth * channels)
        pool.forEachChunk(chunks.count) { chunk, worker in
            let between = workspace + worker * scratch
            for row in chunks.begin(chunk)..<chunks.begin(chunk) + chunks.length(chunk) {
                let y = row % outHeight
                let picture = input.base + row / outHeight * height * width * channels
                let first = UnsafePointer(picture + Int(rows.from[y]) * width * channels)
                var source = first
                if rows.weight[y] > 0 {
                    blend(
                        first, picture + Int(rows.next[y]) * width * channels, rows.weight[y], into: between,
                        width * channels, kernels)
                    source = UnsafePointer(between)
                }
                kernels.pointee.resize_row(
                    source, output.base + row * outWidth * channels, columns.from, columns.next, columns.weight,
                    outWidth, channels)
            }
        }
    }

    private func blend(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ weight: Float, into y: UnsafeMutablePointer<Float>,
        _ count: Int, _ kernels: UnsafePointer<ck_kernels>
    ) {
        withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: 2) { terms in
            withUnsafeTemporaryAllocation(of: Float.self, capacity: 2) { factors in
                terms.initializeElement(at: 0, to: a)
                terms.initializeElement(at: 1, to: b)
                factors.initializeElement(at: 0, to: 1 - weight)
                factors.initializeElement(at: 1, to: weight)
                guard let list = terms.baseAddress, let f = factors.baseAddress else { return }
                kernels.pointee.linear_combination(list, f, 2, y, 0, count)
            }
        }
    }

    /// The transpose of `resize`: outputGradient `[N, H', W', C]` → inputGradient `[N, H, W, C]` (overwritten).
    public func resizeGradient(
        outputGradient: TensorView, inputGradient: TensorView, by resizing: BilinearResizing,
        workspace: UnsafeMutablePointer<Float>
    ) {
        check(inputGradient.shape, outputGradient.shape, resizing)
        let (height, width, channels) = (inputGradient.shape[1], inputGradient.shape[2], inputGradient.shape[3])
        let (outHeight, outWidth) = (outputGradient.shape[1], outputGradient.shape[2])
        let scratch = Self.resizeWorkspaceCount(
            input: inputGradient.shape, output: outputGradient.shape, threadCount: 1)
        let (rows, columns, kernels) = (resizing.rows, resizing.columns, kernels)
        let chunks = Chunks.rows(inputGradient.shape[0] * height, of: outWidth * channels)
        pool.forEachChunk(chunks.count) { chunk, worker in
            let between = workspace + worker * scratch
            for row in chunks.begin(chunk)..<chunks.begin(chunk) + chunks.length(chunk) {
                let y = row % height
                let picture = UnsafePointer(outputGradient.base + row / height * outHeight * outWidth * channels)
                let (first, last) = (Int(rows.starts[y]), Int(rows.starts[y + 1]))
                if first == last {
                    kernels.pointee.fill(inputGradient.base + row * width * channels, 0, width * channels)
                    continue
                }
                withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: last - first) { terms in
                    for k in first..<last {
                        terms.initializeElement(
                            at: k - first, to: picture + Int(rows.columns[k]) * outWidth * channels)
                    }
                    rows.weights.withUnsafeBufferPointer { weights in
                        guard let list = terms.baseAddress, let factors = weights.baseAddress else { return }
                        kernels.pointee.linear_combination(
                            list, factors + first, last - first, between, 0, outWidth * channels)
                    }
                }
                kernels.pointee.resize_row_gradient(
                    between, inputGradient.base + row * width * channels, columns.starts, columns.columns,
                    columns.weights, width, channels)
            }
        }
    }

    private func check(_ input: Shape, _ output: Shape, _ resizing: BilinearResizing) {
        precondition(
            input.rank == 4 && output.rank == 4 && input[0] == output[0] && input[3] == output[3]
                && input[1] == resizing.rows.inputCount && output[1] == resizing.rows.outputCount
                && input[2] == resizing.columns.inputCount && output[2] == resizing.columns.outputCount,
            "resizing \(input) to \(output)")
    }
}
