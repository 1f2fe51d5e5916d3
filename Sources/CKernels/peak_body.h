// Included once per instruction level by peak.c, which defines PEAK(name), LANES (floats of a register), CHAINS
// (accumulators: latency times units, and what fits the registers) and FUSED.

typedef float PEAK(vector) __attribute__((ext_vector_type(LANES)));

static inline __attribute__((always_inline)) float PEAK(sum)(PEAK(vector) v) {
    float sum = 0;
    for (int i = 0; i < LANES; ++i) sum += v[i];
    return sum;
}

static double PEAK(multiply_add)(long rounds, float *sink) {
    // Through volatile, so that nothing is known at compile time; 0.5 x + 0.5 stays near 1, far from denormals.
    volatile float half = 0.5f;
    const PEAK(vector) factor = (PEAK(vector))(half), term = factor;
    PEAK(vector) chains[CHAINS];
#pragma clang loop unroll(full)
    for (int i = 0; i < CHAINS; ++i) chains[i] = factor + (float)i;
    for (long round = 0; round < rounds; ++round) {
#pragma clang loop unroll(full)
        for (int i = 0; i < CHAINS; ++i) {
#if FUSED
            chains[i] = __builtin_elementwise_fma(chains[i], factor, term);
#else
            chains[i] = chains[i] * factor + term;
#endif
        }
    }
    PEAK(vector) sum = chains[0];
#pragma clang loop unroll(full)
    for (int i = 1; i < CHAINS; ++i) sum += chains[i];
    *sink = PEAK(sum)(sum);
    return 2.0 * LANES * CHAINS * (double)rounds;
}

static float PEAK(read)(const float *x, size_t count) {
    const PEAK(vector) *source = (const PEAK(vector) *)x;
    PEAK(vector) sums[8] = {0};
    for (size_t i = 0; i < count / LANES; i += 8) {
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; ++j) sums[j] += source[i + (size_t)j];
    }
    for (int j = 1; j < 8; ++j) sums[0] += sums[j];
    return PEAK(sum)(sums[0]);
}

static void PEAK(copy)(const float *x, float *y, size_t count) {
    const PEAK(vector) *source = (const PEAK(vector) *)x;
    PEAK(vector) *target = (PEAK(vector) *)y;
    for (size_t i = 0; i < count / LANES; ++i) __builtin_nontemporal_store(source[i], target + i);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void PEAK(triad)(const float *x, const float *y, float factor, float *z, size_t count) {
    const PEAK(vector) *first = (const PEAK(vector) *)x, *second = (const PEAK(vector) *)y;
    PEAK(vector) *target = (PEAK(vector) *)z;
    for (size_t i = 0; i < count / LANES; ++i) __builtin_nontemporal_store(first[i] + factor * second[i], target + i);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static const struct peak_kernels PEAK(table) = {PEAK(multiply_add), PEAK(read), PEAK(copy), PEAK(triad)};
