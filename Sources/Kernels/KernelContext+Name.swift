extension KernelContext {
    /// What decides last bits: OpenBLAS' kernels and our instruction level, e.g. `Cooperlake/avx512`.
    public var setName: String { "\(BlasInfo.coreName)/\(level)" }
}
