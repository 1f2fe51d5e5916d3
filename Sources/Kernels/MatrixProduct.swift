import COpenBLAS

/// C ← A·B + β·C by OpenBLAS on the calling thread, row-major. Each operand has a leading dimension of its own.
///
/// Shapes must depend on the chunk only, never on the number of threads: OpenBLAS' rounding depends on the shape.
@inline(__always)
func matrixProduct(
    rows: Int, columns: Int, inner: Int,
    _ a: UnsafePointer<Float>, leading aLeading: Int, transposed aTransposed: Bool,
    _ b: UnsafePointer<Float>, leading bLeading: Int, transposed bTransposed: Bool,
    _ c: UnsafeMutablePointer<Float>, leading cLeading: Int, accumulate: Bool
) {
    cblas_sgemm(
        CblasRowMajor, aTransposed ? CblasTrans : CblasNoTrans, bTransposed ? CblasTrans : CblasNoTrans,
        Int32(rows), Int32(columns), Int32(inner), 1, a, Int32(aLeading), b, Int32(bLeading), accumulate ? 1 : 0, c,
        Int32(cLeading))
}
