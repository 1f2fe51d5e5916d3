#include "peak.h"

#include "ckernels.h"

#pragma clang diagnostic ignored "-Wpsabi"  // wide vectors stay within functions

#if defined(__aarch64__)
#define PEAK(name) name##_baseline
#define LANES 4
#define CHAINS 24
#define FUSED 1
#else
#define PEAK(name) name##_baseline
#define LANES 4
#define CHAINS 12
#define FUSED 0
#endif
#include "peak_body.h"
#undef PEAK
#undef LANES
#undef CHAINS
#undef FUSED

#if defined(__x86_64__)
#define FUSED 1
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define PEAK(name) name##_avx2
#define LANES 8
#define CHAINS 12
#include "peak_body.h"
#undef PEAK
#undef LANES
#undef CHAINS
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), \
                             apply_to = function)
#define PEAK(name) name##_avx512
#define LANES 16
#define CHAINS 24
#include "peak_body.h"
#undef PEAK
#undef LANES
#undef CHAINS
#pragma clang attribute pop
#undef FUSED
#endif

const struct peak_kernels *peak_kernels_for(int level) {
    if (!ck_kernels_for(level)) return 0;
#if defined(__x86_64__)
    if (level == CK_LEVEL_AVX512) return &table_avx512;
    if (level == CK_LEVEL_AVX2) return &table_avx2;
#endif
    return &table_baseline;
}
