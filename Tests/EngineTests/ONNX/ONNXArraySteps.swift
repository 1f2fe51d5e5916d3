/// Operators that rearrange arrays, and products of matrices.
extension ONNXStep {
    /// Extents before an axis, of it, and behind it.
    private func split(_ shape: [Int], _ axis: Int) throws -> (outer: Int, extent: Int, inner: Int) {
        guard shape.indices.contains(axis) else { throw problem("axis \(axis) of \(shape)") }
        return (shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *))
    }

    func softmax() throws -> Tensor {
        try allow("axis")
        var x = try input(0)
        let (outer, extent, inner) = try split(x.shape, try integer("axis"))
        for a in 0..<outer {
            for b in 0..<inner {
                let places = (0..<extent).map { (a * extent + $0) * inner + b }
                let largest = places.map { x.floats[$0] }.max() ?? 0
                let values = places.map { exponential(Double(x.floats[$0] - largest)) }
                let sum = values.reduce(0, +)
                for (place, value) in zip(places, values) { x.floats[place] = Float(value / sum) }
            }
        }
        return x
    }

    func gemm() throws -> Tensor {
        try allow("transB")
        let (x, weights) = (try input(0), try input(1))
        guard try integer("transB") == 1, x.shape.count == 2, weights.shape.count == 2, x.shape[1] == weights.shape[1]
        else { throw problem("\(x.shape) by \(weights.shape)") }
        let (rows, count, columns) = (x.shape[0], x.shape[1], weights.shape[0])
        let bias =
            inputs.count > 2 ? try input(2) : Tensor(shape: [columns], floats: .init(repeating: 0, count: columns))
        guard bias.shape == [columns] else { throw problem("bias \(bias.shape)") }
        var result: [Float] = []
        for row in 0..<rows {
            for column in 0..<columns {
                var sum = Double(bias.floats[column])
                for i in 0..<count {
                    sum += Double(x.floats[row * count + i]) * Double(weights.floats[column * count + i])
                }
                result.append(Float(sum))
            }
        }
        return Tensor(shape: [rows, columns], floats: result)
    }

    func matrixProduct() throws -> Tensor {
        try allow()
        let (x, weights) = (try input(0), try input(1))
        guard weights.shape.count == 2, x.shape.last == weights.shape[0] else {
            throw problem("\(x.shape) by \(weights.shape)")
        }
        let (count, columns) = (weights.shape[0], weights.shape[1])
        var result: [Float] = []
        for row in 0..<(x.count / count) {
            for column in 0..<columns {
                result.append(
                    Float(
                        (0..<count).reduce(0.0) {
                            $0 + Double(x.floats[row * count + $1]) * Double(weights.floats[$1 * columns + column])
                        }))
            }
        }
        return Tensor(shape: x.shape.dropLast() + [columns], floats: result)
    }

    func reduceSum() throws -> Tensor {
        try allow("keepdims")
        let x = try input(0)
        let axes = try integers(1)
        guard axes.count == 1, try integer("keepdims", 1) == 0 else { throw problem("axes \(axes)") }
        let (outer, extent, inner) = try split(x.shape, axes[0])
        var shape = x.shape
        shape.remove(at: axes[0])
        let floats = (0..<(outer * inner)).map { index -> Float in
            let (a, b) = (index / inner, index % inner)
            return Float((0..<extent).reduce(0.0) { $0 + Double(x.floats[(a * extent + $1) * inner + b]) })
        }
        return Tensor(shape: shape, floats: floats)
    }

    /// Index of the first largest element along an axis, which stays.
    func largest() throws -> Tensor {
        try allow("axis", "keepdims")
        let x = try input(0)
        let axis = try integer("axis")
        guard try integer("keepdims", 1) == 1 else { throw problem("the axis does not stay") }
        let (outer, extent, inner) = try split(x.shape, axis)
        var shape = x.shape
        shape[axis] = 1
        let floats = (0..<(outer * inner)).map { index -> Float in
            let (a, b) = (index / inner, index % inner)
            let row = (0..<extent).map { x.floats[(a * extent + $0) * inner + b] }
            return Float(row.indices.first { row[$0] == row.max() } ?? 0)
        }
        return Tensor(shape: shape, floats: floats)
    }

    func concatenation() throws -> Tensor {
        try allow("axis")
        let parts = try inputs.indices.map { try input($0) }
        let axis = try integer("axis")
        var shape = parts[0].shape
        shape[axis] = parts.reduce(0) { $0 + $1.shape[axis] }
        for part in parts {
            var other = part.shape
            other[axis] = shape[axis]
            guard other == shape else { throw problem("\(part.shape) beside \(parts[0].shape)") }
        }
        let outer = try split(shape, axis).outer
        var floats: [Float] = []
        for row in 0..<outer {
            for part in parts {
                let length = part.count / outer
                floats += part.floats[(row * length)..<((row + 1) * length)]
            }
        }
        return Tensor(shape: shape, floats: floats)
    }

    func split() throws -> [Tensor] {
        try allow("axis")
        let x = try input(0)
        let axis = try integer("axis", 0)
        let counts = try integers(1)
        let (outer, extent, inner) = try split(x.shape, axis)
        guard counts.reduce(0, +) == extent else { throw problem("\(counts) of \(extent)") }
        var first = 0
        return counts.map { count in
            defer { first += count }
            var shape = x.shape
            shape[axis] = count
            var floats: [Float] = []
            for row in 0..<outer {
                let start = (row * extent + first) * inner
                floats += x.floats[start..<(start + count * inner)]
            }
            return Tensor(shape: shape, floats: floats)
        }
    }

    func slice() throws -> Tensor {
        try allow()
        var x = try input(0)
        let (starts, ends, axes, steps) = (try integers(1), try integers(2), try integers(3), try integers(4))
        guard Set([starts.count, ends.count, axes.count, steps.count]).count == 1 else { throw problem("unlike lists") }
        for (number, axis) in axes.enumerated() {
            let (outer, extent, inner) = try split(x.shape, axis)
            guard steps[number] > 0, starts[number] >= 0, ends[number] <= extent else {
                throw problem("\(starts[number])..<\(ends[number]) of \(extent)")
            }
            let places = Array(stride(from: starts[number], to: ends[number], by: steps[number]))
            var floats: [Float] = []
            for row in 0..<outer {
                for place in places {
                    let start = (row * extent + place) * inner
                    floats += x.floats[start..<(start + inner)]
                }
            }
            var shape = x.shape
            shape[axis] = places.count
            x = Tensor(shape: shape, floats: floats)
        }
        return x
    }

    func pad() throws -> Tensor {
        try allow("mode")
        let x = try input(0)
        let pads = try integers(1)
        let rank = x.shape.count
        guard pads.count == 2 * rank, (0..<(rank - 1)).allSatisfy({ pads[$0] == 0 && pads[rank + $0] == 0 }) else {
            throw problem("pads \(pads)")
        }
        let (before, after, width) = (pads[rank - 1], pads[2 * rank - 1], x.shape[rank - 1])
        let places = try (-before..<(width + after)).map { column in
            switch text("mode") {
            case "edge": return min(max(column, 0), width - 1)
            case "reflect":
                let place = column < 0 ? -column : column >= width ? 2 * (width - 1) - column : column
                guard (0..<width).contains(place) else { throw problem("mirrors \(column) of \(width)") }
                return place
            case let mode: throw problem("unknown mode \(mode ?? "")")
            }
        }
        var floats: [Float] = []
        for row in 0..<(x.count / width) { floats += places.map { x.floats[row * width + $0] } }
        return Tensor(shape: x.shape.dropLast() + [places.count], floats: floats)
    }

    func reshaped() throws -> Tensor {
        var x = try input(0)
        switch node.type {
        case "Flatten":
            try allow("axis")
            guard try integer("axis") == 1 else { throw problem("another axis") }
            x.shape = [x.shape[0], x.shape.dropFirst().reduce(1, *)]
        case "Unsqueeze":
            try allow()
            for axis in try integers(1) { x.shape.insert(1, at: axis) }
        case "Reshape":
            try allow()
            let shape = try integers(1).enumerated().map { $1 == 0 ? x.shape[$0] : $1 }
            guard shape.reduce(1, *) == x.count else { throw problem("\(x.shape) to \(shape)") }
            x.shape = shape
        default: try allow()
        }
        return x
    }
}
