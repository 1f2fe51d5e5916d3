import CKernels
import Tensors

/// How `total` items are cut into chunks: a function of sizes only, never of the number of threads.
struct Chunks {
    let total: Int
    let size: Int
    let count: Int

    init(_ total: Int, size: Int) {
        self.total = total
        self.size = size
        count = (total + size - 1) / size
    }

    /// Chunks of about 32 Ki floats (128 KiB: well above the cost of a hand-over, well below a second-level cache).
    static func elements(_ total: Int) -> Chunks { Chunks(total, size: 1 << 15) }

    /// Rows of `rowFloats` floats.
    static func rows(_ total: Int, of rowFloats: Int, floats: Int = 1 << 15) -> Chunks {
        Chunks(total, size: max(1, floats / max(1, rowFloats)))
    }

    /// At most `limit` chunks of at least `floats` floats: for partial results that are kept.
    static func partials(_ total: Int, of rowFloats: Int = 1, floats: Int = 1 << 16, limit: Int = 64) -> Chunks {
        let smallest = max(1, floats / max(1, rowFloats))
        let size = max(smallest, (total + limit - 1) / limit)
        // Whole vectors of flat spans stay together.
        return Chunks(total, size: rowFloats == 1 ? (size + 15) / 16 * 16 : size)
    }

    func begin(_ chunk: Int) -> Int { chunk * size }
    func length(_ chunk: Int) -> Int { min(size, total - chunk * size) }
}

extension KernelContext {
    /// The kernels of this level.
    var kernels: UnsafePointer<ck_kernels> {
        guard let table = ck_kernels_for(Int32(level.rawValue)) else {
            preconditionFailure("instruction level \(level) does not run on this processor")
        }
        return table
    }

    /// Calls `body(begin, count)` for the chunks, spread over the pool.
    func forEach(_ chunks: Chunks, _ body: (_ begin: Int, _ count: Int) -> Void) {
        pool.forEachChunk(chunks.count) { chunk, _ in body(chunks.begin(chunk), chunks.length(chunk)) }
    }
}

extension TensorView {
    /// The last dimension, and how many rows of it there are.
    var lastDimension: Int {
        precondition(shape.rank > 0, "a scalar has no channels")
        return shape[shape.rank - 1]
    }

    var rowCount: Int {
        let channels = lastDimension
        return channels == 0 ? 0 : count / channels
    }
}

/// Room for float64 partial results in a float workspace (64-byte aligned by contract).
func doubles(_ workspace: UnsafeMutablePointer<Float>, count: Int) -> UnsafeMutablePointer<Double> {
    precondition(UInt(bitPattern: workspace) % 8 == 0, "workspace is not aligned: \(workspace)")
    return UnsafeMutableRawPointer(workspace).bindMemory(to: Double.self, capacity: count)
}
