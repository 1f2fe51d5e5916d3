import Basics
import Tensors

/// One micro-batch, decoded. Its buffers belong to the loader: give them back with `BatchLoader.recycle` when done.
public final class LaneBatch: @unchecked Sendable {
    // Written by one loader thread, then handed over to the consumer through the loader's lock.
    public internal(set) var step = 0
    public internal(set) var lane = 0
    public internal(set) var samples: [SampleOrder.Sample] = []
    public let height: Int
    public let width: Int
    private let capacity: Int
    /// The loader that reuses this batch.
    let owner: ObjectIdentifier
    private let slots: [Slot]

    private struct Slot {
        let field: StreamedField
        let height: Int
        let width: Int
        let arena: FloatArena

        /// Floats of one sample.
        var count: Int { height * width * field.channels }
    }

    init(capacity: Int, height: Int, width: Int, fields: [StreamedField], owner: ObjectIdentifier) {
        self.owner = owner
        self.capacity = capacity
        self.height = height
        self.width = width
        slots = fields.map { field in
            let size = field.grid.size(height: height, width: width)
            return Slot(
                field: field, height: size.height, width: size.width,
                arena: FloatArena(count: capacity * size.height * size.width * field.channels))
        }
    }

    /// Bytes of the buffers of one.
    static func byteCount(capacity: Int, height: Int, width: Int, fields: [StreamedField]) -> Int {
        fields.reduce(0) { sum, field in
            let size = field.grid.size(height: height, width: width)
            return sum + capacity * size.height * size.width * field.channels * MemoryLayout<Float>.stride
        }
    }

    /// Number of samples, N.
    public var count: Int { samples.count }

    /// A field's values, 64-byte aligned: `[N, H, W, 3]` in 0…1 of a picture, `[N, h, w, 1]` of a map, NaN = unknown
    /// (all of a record that has none). Nil if the loader was not asked for it. A view lives as
    /// long as the batch, which it does not keep.
    public subscript(_ name: String) -> TensorView? {
        slots.first { $0.field.name == name }.map {
            TensorView($0.arena.base, [count, $0.height, $0.width, $0.field.channels])
        }
    }

    /// One sample's values of the loader's field number `field`.
    func sample(_ position: Int, field: Int) -> UnsafeMutableBufferPointer<Float> {
        precondition(position < capacity, "sample \(position) of \(capacity)")
        let slot = slots[field]
        return slot.arena[(position * slot.count)..<((position + 1) * slot.count)]
    }
}
