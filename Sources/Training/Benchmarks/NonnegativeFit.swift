/// Least squares with coefficients that are not negative: min |A·x − y|², x ≥ 0, for a handful of unknowns.
///
/// The solution is the plain least squares of those columns whose coefficients are positive. With few columns all sets
/// of them can be tried, which is exact and has no tolerance to choose.
public enum NonnegativeFit {
    /// - Parameters:
    ///   - rows: A, one array of `columns` numbers per measurement.
    ///   - values: y, all positive, as many as rows.
    /// - Returns: x for the smallest sum of squared relative errors, (A·x − y) / y. 0 for columns that do not help.
    public static func relative(rows: [[Double]], values: [Double]) -> [Double] {
        precondition(rows.count == values.count && !rows.isEmpty, "\(rows.count) rows for \(values.count) values")
        precondition(values.allSatisfy { $0 > 0 && $0.isFinite }, "a relative error needs positive values: \(values)")
        return solve(
            zip(rows, values).map { row, value in row.map { $0 / value } },
            [Double](repeating: 1, count: values.count))
    }

    /// - Returns: x for the smallest sum of squared errors.
    static func solve(_ rows: [[Double]], _ values: [Double]) -> [Double] {
        let columns = rows[0].count
        precondition(columns <= 12 && rows.allSatisfy { $0.count == columns }, "\(columns) unknowns")
        // Columns of like length: their units differ by ten powers of ten.
        let scales = (0..<columns).map { column in
            rows.reduce(0) { $0 + $1[column] * $1[column] }.squareRoot()
        }
        let scaled = rows.map { row in zip(row, scales).map { $1 > 0 ? $0 / $1 : 0 } }
        var best = (error: values.reduce(0) { $0 + $1 * $1 }, x: [Double](repeating: 0, count: columns))
        for set in 1..<(1 << columns) {
            let chosen = (0..<columns).filter { set >> $0 & 1 == 1 }
            guard let part = plain(scaled.map { row in chosen.map { row[$0] } }, values), part.allSatisfy({ $0 >= 0 })
            else { continue }
            var x = [Double](repeating: 0, count: columns)
            for (column, value) in zip(chosen, part) { x[column] = value }
            let error = zip(scaled, values).reduce(0.0) { sum, pair in
                let difference = zip(pair.0, x).reduce(-pair.1) { $0 + $1.0 * $1.1 }
                return sum + difference * difference
            }
            if error < best.error { best = (error, x) }
        }
        return zip(best.x, scales).map { $1 > 0 ? $0 / $1 : 0 }
    }

    /// Least squares by the normal equations and Gaussian elimination; nil if columns depend on each other.
    private static func plain(_ rows: [[Double]], _ values: [Double]) -> [Double]? {
        let count = rows[0].count
        var matrix = (0..<count).map { i in
            (0..<count).map { j in rows.reduce(0) { $0 + $1[i] * $1[j] } }
                + [zip(rows, values).reduce(0) { $0 + $1.0[i] * $1.1 }]
        }
        for pivot in 0..<count {
            let row = (pivot..<count).max { abs(matrix[$0][pivot]) < abs(matrix[$1][pivot]) } ?? pivot
            guard abs(matrix[row][pivot]) > 1e-12 else { return nil }
            matrix.swapAt(pivot, row)
            for other in 0..<count where other != pivot {
                let factor = matrix[other][pivot] / matrix[pivot][pivot]
                for column in pivot...count { matrix[other][column] -= factor * matrix[pivot][column] }
            }
        }
        return (0..<count).map { matrix[$0][count] / matrix[$0][$0] }
    }
}
