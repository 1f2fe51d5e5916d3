import Graphs
import Tensors

/// Checks that several operations share.
enum ShapeRules {
    static func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws(ShapeError) {
        if !condition { throw ShapeError(reason()) }
    }

    static func count(_ inputs: [Shape], _ allowed: ClosedRange<Int>) throws(ShapeError) {
        try require(allowed.contains(inputs.count), "takes \(allowed) inputs, not \(inputs.count)")
    }

    static func picture(_ shape: Shape, _ role: String = "input") throws(ShapeError) {
        try require(shape.rank == 4, "\(role) is \(shape), not batch x height x width x channels")
    }

    static func equal(_ a: Shape, _ b: Shape, _ roles: String) throws(ShapeError) {
        try require(a == b, "\(roles) differ: \(a) and \(b)")
    }

    static func vector(_ shape: Shape, _ count: Int, _ role: String) throws(ShapeError) {
        try require(shape == [count], "\(role) is \(shape), not \(count)")
    }
}
