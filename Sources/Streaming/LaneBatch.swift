import Basics
import Tensors

/// One micro-batch, decoded. Its buffers belong to the loader: give them back with `BatchLoader.recycle` when done.
public final class LaneBatch: @unchecked Sendable {
    // Written by one loader thread, then handed over to the consumer through the loader's lock.
    public internal(set) var step = 0
    public internal(set) var lane = 0
    public internal(set) var samples: [SampleOrder.Sample] = []
    /// Those of `samples` that others stand in for.
    public internal(set) var replaced: [ReplacedRecord] = []
    public let height: Int
    public let width: Int
    private let capacity: Int
    /// The loader that reuses this batch.
    let owner: ObjectIdentifier
    private let leftArena: FloatArena
    private let rightArena: FloatArena
    private let disparityArena: FloatArena?

    init(capacity: Int, height: Int, width: Int, hasDisparity: Bool, owner: ObjectIdentifier) {
        self.owner = owner
        self.capacity = capacity
        self.height = height
        self.width = width
        leftArena = FloatArena(count: capacity * height * width * 3)
        rightArena = FloatArena(count: capacity * height * width * 3)
        disparityArena = hasDisparity ? FloatArena(count: capacity * height * width) : nil
    }

    /// Bytes of the buffers of one.
    static func byteCount(capacity: Int, height: Int, width: Int, hasDisparity: Bool) -> Int {
        capacity * height * width * (hasDisparity ? 7 : 6) * MemoryLayout<Float>.stride
    }

    /// Number of samples, N.
    public var count: Int { samples.count }

    /// `[N, H, W, 3]` float32 in 0…1, 64-byte aligned.
    public var left: TensorView { TensorView(leftArena.base, [count, height, width, 3]) }
    /// `[N, H, W, 3]` float32 in 0…1, 64-byte aligned.
    public var right: TensorView { TensorView(rightArena.base, [count, height, width, 3]) }
    /// `[N, H, W, 1]` disparity of the left view's pixels, NaN = unknown (all of a record that has none); nil if the
    /// loader was not asked for it.
    public var disparity: TensorView? { disparityArena.map { TensorView($0.base, [count, height, width, 1]) } }

    /// `position`'s picture: `height * width * 3` floats.
    func left(_ position: Int) -> UnsafeMutableBufferPointer<Float> { picture(leftArena, position, 3) }
    func right(_ position: Int) -> UnsafeMutableBufferPointer<Float> { picture(rightArena, position, 3) }
    func disparity(_ position: Int) -> UnsafeMutableBufferPointer<Float>? {
        disparityArena.map { picture($0, position, 1) }
    }

    private func picture(_ arena: FloatArena, _ position: Int, _ channels: Int) -> UnsafeMutableBufferPointer<Float> {
        precondition(position < capacity, "sample \(position) of \(capacity)")
        let count = height * width * channels
        return arena[(position * count)..<((position + 1) * count)]
    }
}
