// Vector types and helpers of the bodies. A vector of 16 floats is one zmm, two ymm or four xmm (or NEON) registers:
// the compiler splits it, the arithmetic stays the same.
#include <stdint.h>
#include <string.h>
#include "include/ckernels.h"

#define CK_INLINE static inline __attribute__((always_inline, unused))

#define CK_TYPES(W)                                                                          \
    typedef float vf##W __attribute__((ext_vector_type(W)));                                 \
    typedef float vf##W##u __attribute__((ext_vector_type(W), aligned(4), may_alias));       \
    typedef int32_t vi##W __attribute__((ext_vector_type(W)));                               \
    typedef uint32_t vu##W __attribute__((ext_vector_type(W)));                              \
    typedef double vd##W __attribute__((ext_vector_type(W)));                                \
    typedef double vd##W##u __attribute__((ext_vector_type(W), aligned(8), may_alias));
CK_TYPES(1)
CK_TYPES(2)
CK_TYPES(4)
CK_TYPES(8)
CK_TYPES(16)
CK_TYPES(32)
CK_TYPES(64)

// Unaligned load, store and broadcast of W floats (or doubles).
#define LD(W, p) ((vf##W)(*(const vf##W##u *)(p)))
#define ST(W, p, v) (*(vf##W##u *)(p) = (v))
#define LDD(W, p) ((vd##W)(*(const vd##W##u *)(p)))
#define STD(W, p, v) (*(vd##W##u *)(p) = (v))
// The same with one register of the level (CK_LANES floats): for loops that keep many values at once, without sums over
// lanes.
#define CK_PASTE(a, b) a##b
#define CK_VECTOR(lanes) CK_PASTE(vf, lanes)
typedef CK_VECTOR(CK_LANES) vfn;
#define LD_OF(W, p) LD(W, p)
#define ST_OF(W, p, v) ST(W, p, v)
#define LDN(p) LD_OF(CK_LANES, p)
#define STN(p, v) ST_OF(CK_LANES, p, v)
#define ALL(W, s) ((vf##W)(s))
#define WIDEN(W, v) __builtin_convertvector(v, vd##W)

/// a · b + c, b a vector or a number, rounded once where the level has the instruction. Levels without it round twice: kernels that use
/// it give other bits there.
#if CK_LANES >= 8 || defined(__aarch64__)
#define MULADD(W, a, b, c) __builtin_elementwise_fma((vf##W)(a), ALL(W, b), (vf##W)(c))
#else
#define MULADD(W, a, b, c) ((a) * (b) + (c))
#endif

/// The same for vectors of one register.
#if CK_LANES >= 8 || defined(__aarch64__)
#define MULADDN(a, b, c) __builtin_elementwise_fma(a, b, c)
#else
#define MULADDN(a, b, c) ((a) * (b) + (c))
#endif

/// Runs BODY(W, i) over [0, n): 16 at a time, then 4, then 1. For work without sums over i: the width then leaves no
/// trace in the bits.
#define EACH(i, n, BODY)                             \
    do {                                             \
        const long each_n = (n);                     \
        long i = 0;                                  \
        for (; i + 16 <= each_n; i += 16) BODY(16, i) \
        for (; i + 4 <= each_n; i += 4) BODY(4, i)   \
        for (; i < each_n; i++) BODY(1, i)           \
    } while (0)

/// The first n (1 ... 15) floats of a vector, the rest `other`.
CK_INLINE vf16 load_part(const float *p, long n, float other) {
    float t[16] __attribute__((aligned(64)));
    *(vf16 *)t = ALL(16, other);
    long i = 0;
    if (n & 8) { ST(8, t, LD(8, p)); i = 8; }
    if (n & 4) { ST(4, t + i, LD(4, p + i)); i += 4; }
    if (n & 2) { ST(2, t + i, LD(2, p + i)); i += 2; }
    if (n & 1) t[i] = p[i];
    return *(vf16 *)t;
}

CK_INLINE void store_part(float *p, long n, vf16 v) {
    float t[16] __attribute__((aligned(64)));
    *(vf16 *)t = v;
    long i = 0;
    if (n & 8) { ST(8, p, LD(8, t)); i = 8; }
    if (n & 4) { ST(4, p + i, LD(4, t + i)); i += 4; }
    if (n & 2) { ST(2, p + i, LD(2, t + i)); i += 2; }
    if (n & 1) p[i] = t[i];
}

// 16 lanes to one value, always by halves.
CK_INLINE float sum_lanes(vf16 v) {
    vf8 a = v.lo + v.hi;
    vf4 b = a.lo + a.hi;
    vf2 c = b.lo + b.hi;
    return c.x + c.y;
}

CK_INLINE double sum_lanes_double(vd16 v) {
    vd8 a = v.lo + v.hi;
    vd4 b = a.lo + a.hi;
    vd2 c = b.lo + b.hi;
    return c.x + c.y;
}

CK_INLINE float max_lanes(vf16 v) {
    vf8 a = v.lo > v.hi ? v.lo : v.hi;
    vf4 b = a.lo > a.hi ? a.lo : a.hi;
    vf2 c = b.lo > b.hi ? b.lo : b.hi;
    return c.x > c.y ? c.x : c.y;
}

/// How far ahead kernels that walk memory in tiles ask for it (16 KiB; measured best of 4 … 64 KiB).
enum { CK_AHEAD_FLOATS = 4096 };

CK_INLINE long smaller(long a, long b) { return a < b ? a : b; }
CK_INLINE long larger(long a, long b) { return a > b ? a : b; }
