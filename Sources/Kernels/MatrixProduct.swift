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
    cblas_sgemm(
        CblasRowMajor, layoutA == .normal ? CblasNoTrans : CblasTrans, layoutB == .normal ? CblasNoTrans : CblasTrans,
        blasint(rows), blasint(columns), blasint(depth), 1, a, blasint(rowStrideA), b, blasint(rowStrideB),
        accumulate ? 1 : 0, c, blasint(rowStrideC))
}
