/// Dimensions of a tensor, outermost first. Pictures are `[N, H, W, C]`.
public struct Shape: Sendable, Hashable, CustomStringConvertible, ExpressibleByArrayLiteral {
    public let dimensions: [Int]

    public init(_ dimensions: [Int]) {
        precondition(dimensions.allSatisfy { $0 >= 0 }, "negative dimension in \(dimensions)")
        self.dimensions = dimensions
    }

    public init(arrayLiteral elements: Int...) { self.init(elements) }

    public var rank: Int { dimensions.count }
    /// Number of elements; 1 for a scalar.
    public var count: Int { dimensions.reduce(1, *) }
    public subscript(_ axis: Int) -> Int { dimensions[axis] }
    /// `2x32x64x3`, or `scalar`.
    public var description: String {
        dimensions.isEmpty ? "scalar" : dimensions.map(String.init).joined(separator: "x")
    }
}
