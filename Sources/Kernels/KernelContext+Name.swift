import CKernels

extension KernelContext {
    /// What decides last bits: OpenBLAS' kernels and our instruction level, e.g. `Cooperlake/avx512`.
    public var setName: String { "\(BlasInfo.coreName)/\(level)\(precisionName)" }

    private var precisionName: String {
        guard precision == .bf16 else { return "" }
        switch Int(bfloat16Way) {
        case CK_BF16_TILES: return "/bf16-tiles"
        case CK_BF16_PAIRS: return "/bf16-pairs"
        default: return "/bf16-rounded"
        }
    }
}
