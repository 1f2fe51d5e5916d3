import COpenBLAS
import Glibc

/// What OpenBLAS, the engine of matrix products, runs with.
///
/// OpenBLAS chooses its kernels by the processor, unless the environment variable OPENBLAS_CORETYPE names a set. That is
/// somebody's explicit setting, so it is not overridden, but a set below the processor's halves the speed or worse, and
/// that is said.
public enum BlasInfo {
    /// The environment variable that forces a kernel set.
    public static let coreVariable = "OPENBLAS_CORETYPE"

    /// The kernel set in use, such as `SkylakeX`. Last bits of products differ between sets.
    public static var coreName: String { String(cString: openblas_get_corename()) }

    /// Version and build options.
    public static var config: String { String(cString: openblas_get_config()) }

    /// Whether the environment names a kernel set and OpenBLAS follows it.
    public static var isForcedByEnvironment: Bool {
        isForced(requested: getenv(coreVariable).map { String(cString: $0) }, coreName: coreName)
    }

    /// Whether the environment forces a kernel set of a lower instruction level than the processor's.
    public static var isSlowerThanProcessor: Bool { warning != nil }

    /// One line: the variable, what it costs and the remedy; nil if nothing is wrong.
    public static var warning: String? {
        warning(
            requested: getenv(coreVariable).map { String(cString: $0) }, coreName: coreName,
            processorLevel: .best)
    }

    /// Makes OpenBLAS compute on the calling thread only: the pool's threads each call it. `matrixProduct` calls this
    /// itself; it costs one load after the first time.
    @inline(__always)
    public static func prepare() { _ = singleThreaded }

    private static let singleThreaded: Void = openblas_set_num_threads(1)

    /// Whether small products skip the packing of their operands: see `ProductBlocks`.
    static let hasSmallKernels = instructionLevel(ofCore: coreName) == .avx512

    /// The environment's word counts only if OpenBLAS knows it: unknown names fall through to detection.
    static func isForced(requested: String?, coreName: String) -> Bool {
        guard let requested, !requested.isEmpty else { return false }
        return requested.lowercased() == coreName.lowercased()
    }

    static func warning(requested: String?, coreName: String, processorLevel: InstructionLevel) -> String? {
        guard let requested, isForced(requested: requested, coreName: coreName),
            let used = instructionLevel(ofCore: coreName), used < processorLevel
        else { return nil }
        let share = processorLevel == .avx512 && used == .avx2 ? "about half" : "a quarter or less"
        return "\(coreVariable)=\(requested) makes OpenBLAS use \(used) where the processor has \(processorLevel): "
            + "matrix products run at \(share) of the speed; remedy: unset \(coreVariable)"
    }

    /// The instruction level of a kernel set of OpenBLAS for x86, by its name in any case; nil for names unknown here
    /// (other processors, newer versions).
    static func instructionLevel(ofCore name: String) -> InstructionLevel? {
        switch name.lowercased() {
        case "skylakex", "cooperlake", "sapphirerapids": .avx512
        // Zen covers all of AMD's processors with AVX2; it shares Haswell's kernels.
        case "haswell", "zen", "excavator": .avx2
        // AVX without FMA counts as the baseline: there is no level between.
        case "sandybridge", "bulldozer", "piledriver", "steamroller", "prescott", "core2", "penryn", "dunnington",
            "atom",
            "nano", "nehalem", "athlon", "opteron", "opteron_sse3", "barcelona", "bobcat", "katmai", "coppermine",
            "northwood", "banias":
            .sse
        default: nil
        }
    }

    /// Float32 matrix product speed of the calling thread in GFLOP/s: the best of the products of 384 x 384 matrices that
    /// fit into `milliseconds`. Takes about that long (at least two products).
    public static func measuredGigaflops(milliseconds: Int = 30) -> Double {
        let side = 384
        let matrix = UnsafeMutablePointer<Float>.allocate(capacity: 3 * side * side)
        defer { matrix.deallocate() }
        for i in 0..<(3 * side * side) { matrix[i] = Float(i % 31) * 0.03 }
        let deadline = nanoseconds() + UInt64(milliseconds) * 1_000_000
        var best = UInt64.max
        var runs = 0
        while runs < 2 || nanoseconds() < deadline {
            let start = nanoseconds()
            matrixProduct(
                rows: side, columns: side, depth: side, matrix, rowStrideA: side, matrix + side * side,
                rowStrideB: side, accumulate: false, into: matrix + 2 * side * side, rowStrideC: side)
            best = min(best, max(1, nanoseconds() - start))
            runs += 1
        }
        return 2 * Double(side * side * side) / Double(best)
    }

    private static func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
