import CKernels
import COpenBLAS

/// How a matrix operand lies in memory: as it stands in the formula, or transposed.
public enum MatrixLayout: Sendable, Hashable {
    case normal
    case transposed
}

/// C[rows, columns] = A[rows, depth] · B[depth, columns] (`accumulate`: C += …), row-major float32, on the calling thread.
///
/// The row strides are those of the matrices as stored: a transposed A is stored as [depth, rows]. Bits depend on the
/// shapes, strides and the kernel set of OpenBLAS (`BlasInfo.coreName`), so callers choose shapes without regard to the
/// number of threads.
public func matrixProduct(
    rows: Int, columns: Int, depth: Int,
    _ a: UnsafePointer<Float>, layoutA: MatrixLayout = .normal, rowStrideA: Int,
    _ b: UnsafePointer<Float>, layoutB: MatrixLayout = .normal, rowStrideB: Int,
    accumulate: Bool,
    into c: UnsafeMutablePointer<Float>, rowStrideC: Int
) {
    if rows == 0 || columns == 0 { return }
    BlasInfo.prepare()
    let blocks = ProductBlocks(rows: rows, columns: columns, depth: depth, layoutA: layoutA, layoutB: layoutB)
    let transposeA = layoutA == .normal ? CblasNoTrans : CblasTrans
    let transposeB = layoutB == .normal ? CblasNoTrans : CblasTrans
    var k = 0
    repeat {
        let depths = min(blocks.depth, depth - k)
        for j in stride(from: 0, to: columns, by: blocks.columns) {
            let width = min(blocks.columns, columns - j)
            let partB = layoutB == .normal ? b + k * rowStrideB + j : b + j * rowStrideB + k
            for i in stride(from: 0, to: rows, by: blocks.rows) {
                cblas_sgemm(
                    CblasRowMajor, transposeA, transposeB, blasint(min(blocks.rows, rows - i)), blasint(width),
                    blasint(depths), 1, layoutA == .normal ? a + i * rowStrideA + k : a + k * rowStrideA + i,
                    blasint(rowStrideA), partB, blasint(rowStrideB), accumulate || k > 0 ? 1 : 0,
                    c + i * rowStrideC + j, blasint(rowStrideC))
            }
        }
        k += blocks.depth
    } while k < depth
}

/// How a product is cut into calls of OpenBLAS.
///
/// The AVX-512 kernel sets multiply up to a million (rows · columns · depth) without packing the operands first, unless B
/// is transposed. On blocks that are in cache this is 10 to 60 % faster than one large call where columns or depth are
/// few, as they are in convolutions. Measured on Sapphire Rapids, OpenBLAS 0.3.21, one core, GFLOP/s in one call and in
/// blocks: 1000 x 64 x 64 122 and 180; 256 x 64 x 768 131 and 182; 1024 x 256 x 512 150 and 148; A transposed:
/// 64 x 64 x 6048 95 and 149, 256 x 128 x 1024 145 and 159; 1536³ 164 and 124. Other kernel sets get one call.
/// **Source:** OpenBLAS, kernel/x86_64/sgemm_small_kernel_permit_skylakex.c.
struct ProductBlocks: Equatable {
    var rows: Int
    var columns: Int
    var depth: Int

    static let limit = 1_000_000
    /// Floats of B, or of C where A is transposed, above which one large call is as fast or faster.
    static let residentLimit = 1 << 17

    init(
        rows: Int, columns: Int, depth: Int, layoutA: MatrixLayout, layoutB: MatrixLayout,
        hasSmallKernels: Bool = BlasInfo.hasSmallKernels
    ) {
        (self.rows, self.columns, self.depth) = (rows, columns, max(1, depth))
        guard hasSmallKernels, layoutB == .normal, rows * columns * depth > Self.limit else { return }
        // What every block comes back to must stay in cache.
        guard (layoutA == .normal ? depth : rows) * columns <= Self.residentLimit else { return }
        let depth = ProductBlocks.even(depth, atMost: layoutA == .normal ? 192 : 128, multiple: 8)
        let columns = ProductBlocks.even(columns, atMost: 128, multiple: 16)
        let rows = min(rows, Self.limit / (columns * depth))
        // Fewer rows than that read B too often.
        if rows < 24 && rows < self.rows { return }
        self.rows = rows == self.rows ? rows : rows / 4 * 4
        self.columns = columns
        self.depth = depth
    }

    /// The size of equal parts of at most `limit`.
    private static func even(_ count: Int, atMost limit: Int, multiple: Int) -> Int {
        count <= limit ? count : min(limit, roundUp(ceilDivide(count, ceilDivide(count, limit)), to: multiple))
    }
}

extension ck_product {
    /// A product without anything to bring to the cache meanwhile.
    init(
        rows: Int, columns: Int, depth: Int, a: UnsafePointer<Float>, a_row: Int, a_depth: Int,
        b: UnsafePointer<Float>, b_panel: Int, b_depth: Int, c: UnsafeMutablePointer<Float>, c_row: Int,
        bias: UnsafePointer<Float>?, accumulate: Int32, relu: Int32
    ) {
        self.init(
            rows: rows, columns: columns, depth: depth, a: a, a_row: a_row, a_depth: a_depth, b: b, b_panel: b_panel,
            b_depth: b_depth, c: c, c_row: c_row, bias: bias, accumulate: accumulate, relu: relu,
            ahead: (ck_ahead(), ck_ahead()))
    }
}

extension ck_ahead {
    /// `count` floats in one run.
    init(_ base: UnsafePointer<Float>, count: Int) {
        self.init(base: base, stride: count, floats: count, rows: 1)
    }
}
