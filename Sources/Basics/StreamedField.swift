/// Where on a picture's grid the values of a field are taken, for networks whose maps are smaller than their input.
public enum FieldGrid: Sendable, Hashable {
    /// Every pixel.
    case full
    /// Pixels `margin` + `first`, + `step`, … of each axis, none nearer than `margin` to the far edge. Nothing is
    /// interpolated: for maps with unknown values and for masks.
    case picked(step: Int, first: Int, margin: Int)
    /// Means over blocks of `step` x `step` pixels of what is known there.
    case averaged(step: Int)

    /// Height and width of the map for a picture's.
    public func size(height: Int, width: Int) -> (height: Int, width: Int) {
        func count(_ side: Int) -> Int {
            switch self {
            case .full: side
            case .picked(let step, let first, let margin): max(0, (side - 2 * margin - first + step - 1) / step)
            case .averaged(let step): side / step
            }
        }
        return (count(height), count(width))
    }
}

/// A field of records as floats of a batch.
public struct StreamedField: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// Three channels in 0…1, from 8 or 16 bits; one channel is repeated.
        case picture
        /// One channel: float32 as it is, NaN = unknown; 8 and 16 bits in 0…1.
        case map
    }

    /// The name in records and in the batch.
    public let name: String
    /// Fields of records that stand in, in this order, where there is none of that name.
    public let substitutes: [String]
    public let kind: Kind
    /// Of maps; pictures are `full`.
    public let grid: FieldGrid
    /// Whether records may lack it: then all of it is unknown.
    public let isOptional: Bool

    public init(
        _ name: String, substitutes: [String] = [], kind: Kind, grid: FieldGrid = .full, isOptional: Bool = false
    ) {
        precondition(kind == .map || grid == .full && !isOptional, "pictures are whole")
        self.name = name
        self.substitutes = substitutes
        self.kind = kind
        self.grid = grid
        self.isOptional = isOptional
    }

    public static func picture(_ name: String, substitutes: [String] = []) -> Self {
        .init(name, substitutes: substitutes, kind: .picture)
    }

    public var channels: Int { kind == .picture ? 3 : 1 }

    /// Names under which records may have it, the best first.
    public var candidates: [String] { [name] + substitutes }
}
