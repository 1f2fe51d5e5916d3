import CKernels
import Tensors

/// Checksums of the replicated state (parameters and optimizer state), taken in the optimizer's own pass over memory: once
/// before a chunk is updated and once after, while it is in cache. What stands before an update must be what the last one
/// left; what it leaves must be the same on every rank.
public final class StateDigest: @unchecked Sendable {
    /// A tensor's part of a chunk.
    public struct Piece: Sendable {
        /// Number of the tensor in `tensors`.
        public let tensor: Int
        public let range: Range<Int>
    }

    /// The arena is covered up to here.
    public let count: Int
    public let pieces: [Piece]
    public let arenaNames: [String]
    public let tensorNames: [String]
    private let arenas: [FloatArena]
    /// First piece of each chunk.
    private let firstPieces: [Int]
    /// What stood before the last update, what it left, and what the one before it had left.
    private let before: UnsafeMutablePointer<UInt64>
    private let after: UnsafeMutablePointer<UInt64>
    private let known: UnsafeMutablePointer<UInt64>

    public var entryCount: Int { arenas.count * pieces.count }

    /// - Parameters:
    ///   - tensors: ascending, disjoint ranges of an arena; all arenas are divided alike.
    public init(arenas: [(name: String, arena: FloatArena)], tensors: [(name: String, range: Range<Int>)]) {
        self.arenas = arenas.map(\.arena)
        arenaNames = arenas.map(\.name)
        tensorNames = tensors.map(\.name)
        count = tensors.last?.range.upperBound ?? 0
        let chunks = Chunks.elements(count)
        var pieces: [Piece] = []
        var firstPieces: [Int] = []
        var tensor = 0
        for chunk in 0..<chunks.count {
            firstPieces.append(pieces.count)
            let range = chunks.begin(chunk)..<(chunks.begin(chunk) + chunks.length(chunk))
            while tensor < tensors.count, tensors[tensor].range.upperBound <= range.lowerBound { tensor += 1 }
            var next = tensor
            while next < tensors.count, tensors[next].range.lowerBound < range.upperBound {
                let part = tensors[next].range.clamped(to: range)
                if !part.isEmpty { pieces.append(Piece(tensor: next, range: part)) }
                next += 1
            }
        }
        self.pieces = pieces
        self.firstPieces = firstPieces + [pieces.count]
        let entries = max(1, arenas.count * pieces.count)
        before = .allocate(capacity: entries)
        after = .allocate(capacity: entries)
        known = .allocate(capacity: entries)
        for table in [before, after, known] { table.initialize(repeating: 0, count: entries) }
    }

    deinit {
        for table in [before, after, known] { table.deallocate() }
    }

    func lookBefore(_ chunk: Range<Int>, _ kernels: UnsafePointer<ck_kernels>) { look(chunk, kernels, into: before) }
    func lookAfter(_ chunk: Range<Int>, _ kernels: UnsafePointer<ck_kernels>) { look(chunk, kernels, into: after) }

    private func look(
        _ chunk: Range<Int>, _ kernels: UnsafePointer<ck_kernels>, into table: UnsafeMutablePointer<UInt64>
    ) {
        let index = chunk.lowerBound / Chunks.elements(count).size
        guard chunk.lowerBound < count else { return }
        for piece in firstPieces[index]..<firstPieces[index + 1] {
            let range = pieces[piece].range
            for (arena, values) in arenas.enumerated() {
                table[arena * pieces.count + piece] = kernels.pointee.checksum(
                    values.base + range.lowerBound, range.count)
            }
        }
    }

    /// Takes the checksums of the state as it is: after it was made or read.
    public func reset(_ context: KernelContext) {
        let kernels = context.kernels
        context.forEach(.elements(count)) { begin, count in lookAfter(begin..<(begin + count), kernels) }
    }

    /// To be called before each update.
    public func begin() { known.update(from: after, count: entryCount) }

    /// The first entry that was not, before the last update, what the one before it had left: memory that changed by itself.
    public var changedEntry: Int? { (0..<entryCount).first { before[$0] != known[$0] } }

    /// One number for the whole state as the last update left it.
    public var total: UInt64 {
        var hash = UInt64(entryCount)
        for entry in 0..<entryCount { hash = Self.mixed(hash, after[entry]) }
        return hash
    }

    /// A hash with one more value in it.
    public static func mixed(_ hash: UInt64, _ value: UInt64) -> UInt64 {
        let product = (hash ^ value) &* 0x9E37_79B9_7F4A_7C15
        return product ^ product >> 32
    }

    /// The table behind `total`, for finding where ranks differ.
    public var table: [UInt64] { (0..<entryCount).map { after[$0] } }

    /// "first_moment of encoder1.conv1.pointwise.weight"
    public func name(ofEntry entry: Int) -> String {
        let tensor = tensorNames[pieces[entry % pieces.count].tensor]
        let arena = arenaNames[entry / pieces.count]
        return arena.isEmpty ? tensor : "\(arena) of \(tensor)"
    }
}

extension KernelContext {
    /// 64 bits of the bits of a span, by fixed chunks: the same for any number of threads and at every level.
    public func checksum(_ span: UnsafeBufferPointer<Float>) -> UInt64 {
        guard let base = span.baseAddress else { return 0 }
        let chunks = Chunks.partials(span.count, limit: 128)
        let kernels = kernels
        return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 128) { partials in
            guard let sums = partials.baseAddress else { return 0 }
            pool.forEachChunk(chunks.count) { chunk, _ in
                sums[chunk] = kernels.pointee.checksum(base + chunks.begin(chunk), chunks.length(chunk))
            }
            var hash: UInt64 = 0
            for chunk in 0..<chunks.count { hash = StateDigest.mixed(hash, sums[chunk]) }
            return hash
        }
    }
}
