// Products of bfloat16 operands with float32 sums: A and B are rounded to nearest even on their way into the cache, block
// by block. Three ways: tiles (AMX), pairs (AVX512-BF16), and rounded copies for the float32 kernels everywhere else.
// Bits differ between the ways, because sums run in another order.
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include "include/ckernels.h"

enum { DEPTH = 128, COLUMNS = 256, ROWS = 32, PANEL = CK_PANEL };

static inline long smaller(long a, long b) { return a < b ? a : b; }

static inline float rounded(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    // A NaN must not round to infinity.
    u = (u & 0x7FFFFFFF) > 0x7F800000 ? u | 0x400000 : u + 0x7FFF + ((u >> 16) & 1);
    u &= 0xFFFF0000;
    memcpy(&x, &u, sizeof x);
    return x;
}

// MARK: Rounded copies

static void product_rounded(const ck_kernels *kernels, const ck_product *p) {
    float a[ROWS * DEPTH], b[DEPTH * PANEL];
    for (long first = 0; first < p->columns; first += PANEL) {
        const long columns = smaller(PANEL, p->columns - first);
        for (long begin = 0; begin < p->depth || begin == 0; begin += DEPTH) {
            const long depth = smaller(DEPTH, p->depth - begin);
            const float *from = p->b + first / PANEL * p->b_panel + begin * p->b_depth;
            for (long k = 0; k < depth; k++)
                for (long n = 0; n < columns; n++) b[k * PANEL + n] = rounded(from[k * p->b_depth + n]);
            for (long row = 0; row < p->rows; row += ROWS) {
                const long rows = smaller(ROWS, p->rows - row);
                const float *source = p->a + row * p->a_row + begin * p->a_depth;
                for (long m = 0; m < rows; m++)
                    for (long k = 0; k < depth; k++) a[m * DEPTH + k] = rounded(source[m * p->a_row + k * p->a_depth]);
                ck_product block = *p;
                block.rows = rows, block.columns = columns, block.depth = depth;
                block.a = a, block.a_row = DEPTH, block.a_depth = 1;
                block.b = b, block.b_panel = DEPTH * PANEL, block.b_depth = PANEL;
                block.c = p->c + row * p->c_row + first;
                block.accumulate = p->accumulate || begin > 0;
                const int last = begin + depth >= p->depth;
                block.bias = last && p->bias ? p->bias + first : 0;
                block.relu = last && p->relu;
                memset(block.ahead, 0, sizeof block.ahead);
                kernels->product(&block);
            }
        }
    }
}

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAIRS __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")))
#define PAIRS_INLINE static inline __attribute__((always_inline, target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")))
#define TILES __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16,amx-tile,amx-bf16")))

PAIRS_INLINE __mmask16 lanes(long count) { return count >= 16 ? 0xFFFF : count <= 0 ? 0 : (__mmask16)((1u << count) - 1); }

/// 16 columns of two rows (either may be absent) as pairs: lane n holds (row 0, row 1) of column n.
PAIRS_INLINE __m512i pairs(const float *row0, const float *row1, __mmask16 mask) {
    const __m512 low = row0 ? _mm512_maskz_loadu_ps(mask, row0) : _mm512_setzero_ps();
    const __m512 high = row1 ? _mm512_maskz_loadu_ps(mask, row1) : _mm512_setzero_ps();
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                           5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, both);
}

/// B of a block: to[panel][pair of depth][32] pairs; depth is filled up to `padded` with zeros.
PAIRS static void pack_b(const ck_product *p, long first, long columns, long begin, long depth, long padded, uint32_t *to) {
    for (long j = 0; j < columns; j += PANEL) {
        const long width = smaller(PANEL, columns - j);
        const float *from = p->b + (first + j) / PANEL * p->b_panel + begin * p->b_depth;
        for (long k = 0; k < padded; k += 2, to += PANEL) {
            const float *row0 = k < depth ? from + k * p->b_depth : 0;
            const float *row1 = k + 1 < depth ? from + (k + 1) * p->b_depth : 0;
            for (long n = 0; n < PANEL; n += 16)
                _mm512_storeu_si512(to + n, pairs(row0 ? row0 + n : 0, row1 ? row1 + n : 0, lanes(width - n)));
        }
    }
}

/// Rows of A whose depth is contiguous: to[row][pair], `stride` pairs a row.
PAIRS static void pack_a_rows(const float *a, long a_row, long rows, long depth, long padded, uint32_t *to, long stride) {
    for (long m = 0; m < rows; m++, a += a_row, to += stride) {
        for (long k = 0; k < padded; k += 32) {
            const __m512 low = _mm512_maskz_loadu_ps(lanes(depth - k), a + k);
            const __m512 high = _mm512_maskz_loadu_ps(lanes(depth - k - 16), a + k + 16);
            _mm512_storeu_si512(to + k / 2, (__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
    }
}

/// 16 x 16 words: t[i] lane j -> t[j] lane i.
PAIRS_INLINE void transpose(__m512i *t) {
    __m512i u[16];
    for (int i = 0; i < 16; i += 2) {
        u[i] = _mm512_unpacklo_epi32(t[i], t[i + 1]);
        u[i + 1] = _mm512_unpackhi_epi32(t[i], t[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        t[i] = _mm512_unpacklo_epi64(u[i], u[i + 2]);
        t[i + 1] = _mm512_unpackhi_epi64(u[i], u[i + 2]);
        t[i + 2] = _mm512_unpacklo_epi64(u[i + 1], u[i + 3]);
        t[i + 3] = _mm512_unpackhi_epi64(u[i + 1], u[i + 3]);
    }
    // Now t[4 * block + column % 4] holds, in quarter q, column 4 * q + column % 4 of rows 4 * block ... + 3.
    for (int c = 0; c < 4; c++) {
        const __m512i a = _mm512_shuffle_i32x4(t[c], t[4 + c], 0x88), b = _mm512_shuffle_i32x4(t[c], t[4 + c], 0xDD);
        const __m512i d = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0x88);
        const __m512i e = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0xDD);
        u[c] = _mm512_shuffle_i32x4(a, d, 0x88);
        u[8 + c] = _mm512_shuffle_i32x4(a, d, 0xDD);
        u[4 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
        u[12 + c] = _mm512_shuffle_i32x4(b, e, 0xDD);
    }
    for (int i = 0; i < 16; i++) t[i] = u[i];
}

/// Rows of A that are contiguous at each depth (a transposed operand): to[row][pair] as above.
PAIRS static void pack_a_columns(const float *a, long a_depth, long rows, long depth, long padded, uint32_t *to,
                                 long stride) {
    for (long k = 0; k < padded; k += 32) {
        for (long m = 0; m < rows; m += 16) {
            __m512i t[16];
            for (long j = 0; j < 16; j++) {
                const long at = k + 2 * j;
                t[j] = pairs(at < depth ? a + at * a_depth + m : 0, at + 1 < depth ? a + (at + 1) * a_depth + m : 0,
                             lanes(rows - m));
            }
            transpose(t);
            for (long i = 0; i < 16; i++) _mm512_storeu_si512(to + (m + i) * stride + k / 2, t[i]);
        }
    }
}

PAIRS static void pack_a(const ck_product *p, long row, long rows, long begin, long depth, long padded, uint32_t *to,
                         long stride) {
    const float *a = p->a + row * p->a_row + begin * p->a_depth;
    if (p->a_depth == 1) {
        pack_a_rows(a, p->a_row, rows, depth, padded, to, stride);
    } else if (p->a_row == 1) {
        pack_a_columns(a, p->a_depth, rows, depth, padded, to, stride);
    } else {
        float copy[DEPTH];
        for (long m = 0; m < rows; m++) {
            for (long k = 0; k < depth; k++) copy[k] = a[m * p->a_row + k * p->a_depth];
            pack_a_rows(copy, DEPTH, 1, depth, padded, to + m * stride, stride);
        }
    }
}

/// Adds 16 sums to their place, with what belongs to the first and the last block of the depth.
PAIRS_INLINE void finish(const ck_product *p, __m512 sum, float *c, const float *bias, __mmask16 mask, int accumulate,
                         int relu) {
    if (accumulate) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, c));
    if (bias) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, bias));
    // 0 where 0 > sum: keeps NaN.
    if (relu) sum = _mm512_mask_mov_ps(sum, _mm512_cmp_ps_mask(_mm512_setzero_ps(), sum, _CMP_GT_OQ), _mm512_setzero_ps());
    _mm512_mask_storeu_ps(c, mask, sum);
}

// MARK: Pairs

enum { PAIR_ROWS = 14 };

/// One tile of R rows and 32 columns.
PAIRS_INLINE void pair_tile(const int R, const ck_product *p, const uint32_t *a, const uint32_t *b, long count, float *c,
                            const float *bias, long width, int accumulate, int relu) {
    __m512 sum[PAIR_ROWS][2];
#pragma clang loop unroll(full)
    for (int i = 0; i < R; i++) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (long k = 0; k < count; k++, b += PANEL) {
        const __m512bh right0 = (__m512bh)_mm512_loadu_si512(b), right1 = (__m512bh)_mm512_loadu_si512(b + 16);
#pragma clang loop unroll(full)
        for (int i = 0; i < R; i++) {
            const __m512bh left = (__m512bh)_mm512_set1_epi32((int)a[i * (DEPTH / 2) + k]);
            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], left, right0);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], left, right1);
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < R; i++) {
        finish(p, sum[i][0], c + i * p->c_row, bias, lanes(width), accumulate, relu);
        if (width > 16)
            finish(p, sum[i][1], c + i * p->c_row + 16, bias ? bias + 16 : 0, lanes(width - 16), accumulate, relu);
    }
}

PAIRS static void product_pairs(const ck_product *p) {
    uint32_t b[COLUMNS / PANEL * DEPTH / 2 * PANEL], a[PAIR_ROWS * DEPTH / 2 + 16];
    for (long first = 0; first < p->columns; first += COLUMNS) {
        const long columns = smaller(COLUMNS, p->columns - first);
        for (long begin = 0; begin < p->depth || begin == 0; begin += DEPTH) {
            const long depth = smaller(DEPTH, p->depth - begin), padded = (depth + 1) / 2 * 2;
            const int accumulate = p->accumulate || begin > 0, last = begin + depth >= p->depth;
            const int relu = last && p->relu;
            pack_b(p, first, columns, begin, depth, padded, b);
            for (long row = 0; row < p->rows; row += PAIR_ROWS) {
                const long rows = smaller(PAIR_ROWS, p->rows - row);
                uint32_t wide[16 * DEPTH / 2];
                pack_a(p, row, rows, begin, depth, (depth + 31) / 32 * 32, wide, DEPTH / 2);
                memcpy(a, wide, sizeof(uint32_t) * PAIR_ROWS * DEPTH / 2);
                for (long j = 0; j < columns; j += PANEL) {
                    const uint32_t *panel = b + j / PANEL * (padded / 2) * PANEL;
                    float *c = p->c + row * p->c_row + first + j;
                    const float *bias = last && p->bias ? p->bias + first + j : 0;
                    const long width = smaller(PANEL, columns - j);
#define CASE(R) case R: pair_tile(R, p, a, panel, padded / 2, c, bias, width, accumulate, relu); break;
                    switch (rows) {
                        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11)
                        CASE(12) CASE(13) CASE(14)
                    }
#undef CASE
                }
            }
        }
    }
}

// MARK: Tiles

typedef struct tile_shape {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_shape;

TILES static void product_tiles(const ck_product *p) {
    uint32_t b[COLUMNS / PANEL * DEPTH / 2 * PANEL] __attribute__((aligned(64)));
    uint32_t a[ROWS * DEPTH / 2] __attribute__((aligned(64)));
    float sums[ROWS * PANEL] __attribute__((aligned(64)));
    tile_shape shape;
    memset(&shape, 0, sizeof shape);
    shape.palette = 1;
    for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
    _tile_loadconfig(&shape);
    enum { STRIDE = DEPTH / 2 };
    for (long first = 0; first < p->columns; first += COLUMNS) {
        const long columns = smaller(COLUMNS, p->columns - first);
        for (long begin = 0; begin < p->depth || begin == 0; begin += DEPTH) {
            const long depth = smaller(DEPTH, p->depth - begin), padded = (depth + 31) / 32 * 32;
            const int accumulate = p->accumulate || begin > 0, last = begin + depth >= p->depth;
            const int relu = last && p->relu;
            pack_b(p, first, columns, begin, depth, padded, b);
            for (long row = 0; row < p->rows; row += ROWS) {
                const long rows = smaller(ROWS, p->rows - row);
                // Rows that are not there hold what an earlier strip left: their sums are not stored.
                pack_a(p, row, rows, begin, depth, padded, a, STRIDE);
                for (long j = 0; j < columns; j += PANEL) {
                    const uint32_t *panel = b + j / PANEL * (padded / 2) * PANEL;
                    _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
                    for (long k = 0; k < padded; k += 32, panel += 16 * PANEL) {
                        _tile_loadd(4, a + k / 2, STRIDE * 4);
                        _tile_loadd(6, panel, PANEL * 4);
                        _tile_loadd(7, panel + 16, PANEL * 4);
                        _tile_dpbf16ps(0, 4, 6);
                        _tile_dpbf16ps(1, 4, 7);
                        if (rows > 16) {
                            _tile_loadd(5, a + 16 * STRIDE + k / 2, STRIDE * 4);
                            _tile_dpbf16ps(2, 5, 6);
                            _tile_dpbf16ps(3, 5, 7);
                        }
                    }
                    _tile_stored(0, sums, PANEL * 4);
                    _tile_stored(1, sums + 16, PANEL * 4);
                    if (rows > 16) {
                        _tile_stored(2, sums + 16 * PANEL, PANEL * 4);
                        _tile_stored(3, sums + 16 * PANEL + 16, PANEL * 4);
                    }
                    float *c = p->c + row * p->c_row + first + j;
                    const float *bias = last && p->bias ? p->bias + first + j : 0;
                    const long width = smaller(PANEL, columns - j);
                    for (long m = 0; m < rows; m++, c += p->c_row) {
                        finish(p, _mm512_load_ps(sums + m * PANEL), c, bias, lanes(width), accumulate, relu);
                        if (width > 16)
                            finish(p, _mm512_load_ps(sums + m * PANEL + 16), c + 16, bias ? bias + 16 : 0,
                                   lanes(width - 16), accumulate, relu);
                    }
                }
            }
        }
    }
    _tile_release();
}

/// Linux lends a process the tile registers only on request.
static int has_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16")
        && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return 0;
#endif
}
#endif

int ck_bf16_best(int level) {
#if defined(__x86_64__)
    if (level == CK_LEVEL_AVX512 && __builtin_cpu_supports("avx512bf16")) return has_tiles() ? CK_BF16_TILES : CK_BF16_PAIRS;
#endif
    (void)level;
    return CK_BF16_ROUNDED;
}

void ck_product_bf16(int way, const ck_kernels *kernels, const ck_product *p) {
    if (p->rows <= 0 || p->columns <= 0) return;
#if defined(__x86_64__)
    if (way == CK_BF16_TILES) { product_tiles(p); return; }
    if (way == CK_BF16_PAIRS) { product_pairs(p); return; }
#endif
    (void)way;
    product_rounded(kernels, p);
}
