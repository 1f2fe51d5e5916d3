import CKernels
import Kernels
import Testing

/// Matrix products in cache, float32 and bfloat16, against float64 sums.
@Suite struct ProductTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var rows = 1, columns = 1, depth = 1
        var transposed = false, packed = false, accumulate = false, bias = false, relu = false
        var testDescription: String {
            "\(rows)x\(columns)x\(depth)\(transposed ? " At" : "")\(packed ? " packed" : "")\(accumulate ? " +=" : "")"
                + "\(bias ? " bias" : "")\(relu ? " relu" : "")"
        }
    }

    /// Every number of rows up to two tiles, every tail of columns, depths around a block; options in turn.
    static let cases: [Case] = {
        var result: [Case] = []
        for (index, rows) in (Array(1...30) + [57]).enumerated() {
            let columns = [1, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 47, 64, 70, 300][index % 15]
            for depth in [1, 5, 64, 127, 128, 129, 300] {
                let bits = index * 7 + depth
                result.append(
                    Case(
                        rows: rows, columns: columns, depth: depth, transposed: bits % 2 == 0, packed: bits % 3 == 0,
                        accumulate: bits % 5 < 2, bias: bits % 7 < 3, relu: bits % 11 < 4))
            }
        }
        return result
    }()

    private struct Operands {
        var a: [Float], b: [Float], panels: [Float], c: [Float], bias: [Float]
        let stride: Int
    }

    private func operands(_ item: Case) -> Operands {
        var noise = Noise(item.rows * 1000 + item.columns * 10 + item.depth)
        let stride = item.columns + 3
        return Operands(
            a: noise.values(item.rows * item.depth), b: noise.values(item.depth * stride),
            panels: [Float](repeating: .nan, count: item.depth * (item.columns + 31) / 32 * 32 + 32 * item.depth),
            c: noise.values(item.rows * stride), bias: noise.values(item.columns), stride: stride)
    }

    /// Runs a product; `multiply` gets the C description.
    private func run(
        _ item: Case, _ x: Operands, kernels: UnsafePointer<ck_kernels>, way: Int32?,
        ahead: (ck_ahead, ck_ahead) = (ck_ahead(), ck_ahead())
    ) -> [Float] {
        var (c, panels) = (x.c, x.panels)
        x.a.withUnsafeBufferPointer { a in
            x.b.withUnsafeBufferPointer { b in
                x.bias.withUnsafeBufferPointer { bias in
                    panels.withUnsafeMutableBufferPointer { panels in
                        c.withUnsafeMutableBufferPointer { c in
                            guard let a = a.baseAddress, let b = b.baseAddress, let panels = panels.baseAddress,
                                let c = c.baseAddress
                            else { return }
                            kernels.pointee.pack_panels(b, x.stride, 1, item.depth, 0, item.columns, panels)
                            var product = ck_product(
                                rows: item.rows, columns: item.columns, depth: item.depth, a: a,
                                a_row: item.transposed ? 1 : item.depth, a_depth: item.transposed ? item.rows : 1,
                                b: item.packed ? UnsafePointer(panels) : b, b_panel: item.packed ? 32 * item.depth : 32,
                                b_depth: item.packed ? 32 : x.stride, c: c, c_row: x.stride,
                                bias: item.bias ? bias.baseAddress : nil, accumulate: item.accumulate ? 1 : 0,
                                relu: item.relu ? 1 : 0, ahead: ahead)
                            if let way {
                                ck_product_bf16(way, kernels, &product)
                            } else {
                                kernels.pointee.product(&product)
                            }
                        }
                    }
                }
            }
        }
        return c
    }

    /// To nearest even.
    private func bfloat16(_ x: Float) -> Float {
        let bits = x.bitPattern
        return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
    }

    private func check(_ found: [Float], _ item: Case, _ x: Operands, rounded: Bool, _ label: String) {
        for row in 0..<item.rows {
            for column in 0..<x.stride {
                let at = row * x.stride + column
                guard column < item.columns else {
                    #expect(found[at] == x.c[at], "\(label): wrote beside the result")
                    continue
                }
                var (sum, size) = (0.0, 1e-30)
                for k in 0..<item.depth {
                    let a = x.a[item.transposed ? k * item.rows + row : row * item.depth + k]
                    let b = x.b[k * x.stride + column]
                    let term = rounded ? Double(bfloat16(a)) * Double(bfloat16(b)) : Double(a) * Double(b)
                    (sum, size) = (sum + term, size + abs(term))
                }
                if item.accumulate { (sum, size) = (sum + Double(x.c[at]), size + abs(Double(x.c[at]))) }
                if item.bias { (sum, size) = (sum + Double(x.bias[column]), size + abs(Double(x.bias[column]))) }
                if item.relu { sum = max(0, sum) }
                // A float32 sum of n terms is within n roundings of its size; random signs stay far below.
                let bound = size * 0x1p-24 * (4 + Double(item.depth).squareRoot() * 2)
                if abs(Double(found[at]) - sum) > bound {
                    #expect(Bool(false), "\(label) at \(row), \(column): \(found[at]) instead of \(sum)")
                    return
                }
            }
        }
    }

    @Test(arguments: cases)
    func agreesWithFloat64(_ item: Case) throws {
        let x = operands(item)
        var fused: [Float]?
        for level in InstructionLevel.supported {
            let kernels = try #require(ck_kernels_for(Int32(level.rawValue)))
            let found = run(item, x, kernels: kernels, way: nil)
            check(found, item, x, rounded: false, "\(level)")
            if level.fusesMultiplyAdd {
                if let fused { #expect(found == fused, "\(level)") }
                fused = found
            }
            for way in 0...ck_bf16_best(Int32(level.rawValue)) {
                check(run(item, x, kernels: kernels, way: way), item, x, rounded: true, "\(level), bf16 way \(way)")
            }
        }
    }

    /// An element depends on its row and column alone: the same bits wherever the tiles lie.
    @Test func bitsDoNotDependOnTiles() throws {
        let item = Case(rows: 29, columns: 70, depth: 200)
        let x = operands(item)
        for level in InstructionLevel.supported {
            let kernels = try #require(ck_kernels_for(Int32(level.rawValue)))
            let whole = run(item, x, kernels: kernels, way: nil)
            for rows in [1, 6, 13, 14, 15] {
                var part = item
                part.rows = rows
                var y = x
                y.a = Array(x.a.prefix(rows * item.depth))
                y.c = Array(x.c.prefix(rows * x.stride))
                #expect(run(part, y, kernels: kernels, way: nil) == Array(whole.prefix(rows * x.stride)), "\(level)")
            }
        }
    }

    /// Whatever is fetched meanwhile, and however little there is to multiply.
    @Test func whatIsWantedNextChangesNothing() throws {
        let next = [Float](repeating: 1, count: 5000)
        try next.withUnsafeBufferPointer { next in
            let base = try #require(next.baseAddress)
            func range(_ stride: Int, _ floats: Int, _ rows: Int) -> ck_ahead {
                ck_ahead(base: base, stride: stride, floats: floats, rows: rows)
            }
            let ranges = [
                ck_ahead(), range(0, 0, 0), range(0, 0, 3), range(100, 40, 0), range(1, 1, 1), range(100, 40, 50),
                range(5000, 5000, 1),
            ]
            for (rows, columns, depth) in [(0, 64, 8), (3, 0, 8), (5, 70, 0), (1, 1, 1), (29, 70, 200), (12, 128, 129)]
            {
                let item = Case(rows: rows, columns: columns, depth: depth, accumulate: true)
                let x = operands(item)
                for level in InstructionLevel.supported {
                    let kernels = try #require(ck_kernels_for(Int32(level.rawValue)))
                    let plain = run(item, x, kernels: kernels, way: nil)
                    for first in ranges {
                        for second in ranges {
                            let found = run(item, x, kernels: kernels, way: nil, ahead: (first, second))
                            #expect(found == plain, "\(item) at \(level)")
                        }
                    }
                }
            }
        }
    }
}
