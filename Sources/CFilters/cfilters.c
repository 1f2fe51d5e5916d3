#include "cfilters.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the shard format is little-endian"
#endif

// Wide vectors only pass between inlined functions.
#pragma clang diagnostic ignored "-Wpsabi"

typedef uint8_t v16 __attribute__((vector_size(16)));
typedef uint8_t v64 __attribute__((vector_size(64)));
typedef uint64_t q8 __attribute__((vector_size(64)));
typedef uint16_t vs16 __attribute__((vector_size(32)));
typedef float vf16 __attribute__((vector_size(64)));
typedef float vf4 __attribute__((vector_size(16)));
typedef uint32_t vu16 __attribute__((vector_size(64)));
typedef int32_t vi16 __attribute__((vector_size(64)));
typedef uint64_t q2 __attribute__((vector_size(16)));

#define CF_INLINE __attribute__((always_inline))

// 16 zero bytes, then 16 set ones: loading at 16 - k masks the first k bytes of a vector.
static const uint8_t edge_mask[32] = {
    [16] = 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
};

// Room for a row that is one block longer on both sides, so that blocks need no tail.
static size_t band_stride(size_t width) { return (width + 15) / 16 * 16 + 48; }

size_t cf_scratch_bytes(size_t width, size_t channels) { return 17 * channels * band_stride(width) + 64; }

// CF_WIDE: registers of 32 bytes or more. CF_FUSED: fused multiply-adds.
#define CF(name) name##_baseline
#define CF_WIDE 0
#define CF_FUSED 0
#include "filters_body.h"
#include "colour_body.h"
#undef CF
#undef CF_WIDE
#undef CF_FUSED

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define CF(name) name##_avx2
#define CF_WIDE 1
#define CF_FUSED 1
#include "filters_body.h"
#include "colour_body.h"
#undef CF
#undef CF_WIDE
#undef CF_FUSED
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma"))), \
                             apply_to = function)
#define CF(name) name##_avx512
#define CF_WIDE 1
#define CF_FUSED 1
#include "filters_body.h"
#include "colour_body.h"
#undef CF
#undef CF_WIDE
#undef CF_FUSED
#pragma clang attribute pop
#endif

#if defined(__x86_64__)
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

int cf_best_level(void) {
#if defined(__x86_64__)
    if (has_avx512()) return CF_LEVEL_AVX512;
    if (has_avx2()) return CF_LEVEL_AVX2;
#endif
    return CF_LEVEL_BASELINE;
}

const cf_table *cf_filters(int level) {
    if (level == CF_LEVEL_BASELINE) return &table_baseline;
#if defined(__x86_64__)
    if (level == CF_LEVEL_AVX2 && has_avx2()) return &table_avx2;
    if (level == CF_LEVEL_AVX512 && has_avx512()) return &table_avx512;
#endif
    return NULL;
}

// ---- 16 and 32 bit elements ----

#define CF_ELEMENT uint16_t
#define CF_BITS 16
#define CF_FOLD(x) (x)
#define CF_UNFOLD(x) (x)
#define CF_NAME(name) name##16
#include "predict_body.h"
#undef CF_ELEMENT
#undef CF_BITS
#undef CF_FOLD
#undef CF_UNFOLD
#undef CF_NAME

// Negative floats have their bits turned over, positive ones their sign set: integer order = float order.
#define CF_ELEMENT uint32_t
#define CF_BITS 32
#define CF_FOLD(x) ((x) ^ ((uint32_t)(-(int32_t)((x) >> 31)) | 0x80000000u))
#define CF_UNFOLD(x) ((x) ^ ((((x) >> 31) - 1u) | 0x80000000u))
#define CF_NAME(name) name##32
#include "predict_body.h"

void cf_split_bytes(const uint8_t *elements, size_t count, size_t element_bytes, uint8_t *planes) {
    for (size_t p = 0; p < element_bytes; ++p) {
        uint8_t *plane = planes + (element_bytes - 1 - p) * count;
        for (size_t i = 0; i < count; ++i) plane[i] = elements[i * element_bytes + p];
    }
}

void cf_join_bytes(const uint8_t *planes, size_t count, size_t element_bytes, uint8_t *elements) {
    if (element_bytes == 4) {
        const uint8_t *p3 = planes, *p2 = planes + count, *p1 = planes + 2 * count, *p0 = planes + 3 * count;
        for (size_t i = 0; i < count; ++i) {
            uint32_t x = p0[i] | (uint32_t)p1[i] << 8 | (uint32_t)p2[i] << 16 | (uint32_t)p3[i] << 24;
            memcpy(elements + 4 * i, &x, 4);
        }
    } else if (element_bytes == 2) {
        const uint8_t *high = planes, *low = planes + count;
        for (size_t i = 0; i < count; ++i) {
            uint16_t x = (uint16_t)(low[i] | high[i] << 8);
            memcpy(elements + 2 * i, &x, 2);
        }
    } else {
        memcpy(elements, planes, count);
    }
}
