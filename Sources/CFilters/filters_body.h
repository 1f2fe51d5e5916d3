// One body per filter, included once per instruction level by cfilters.c, which defines CF(name).
// Vectors are clang vector extensions of 16 bytes, so that NEON and SSE2 are served by the same text.

static inline CF_INLINE v16 CF(load)(const uint8_t *p) {
    v16 v;
    memcpy(&v, p, 16);
    return v;
}
static inline CF_INLINE void CF(store)(uint8_t *p, v16 v) { memcpy(p, &v, 16); }

// Four rounds of interleaving row i with row i + 8 transpose a 16x16 matrix of bytes.
static inline CF_INLINE void CF(transpose)(v16 m[16]) {
    v16 t[16];
#define CF_ROUND(from, to)                                                                                             \
    for (int i = 0; i < 8; ++i) {                                                                                      \
        to[2 * i] = __builtin_shufflevector(from[i], from[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,  \
                                            23);                                                                       \
        to[2 * i + 1] = __builtin_shufflevector(from[i], from[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,    \
                                                14, 30, 15, 31);                                                       \
    }
    CF_ROUND(m, t)
    CF_ROUND(t, m)
    CF_ROUND(m, t)
    CF_ROUND(t, m)
#undef CF_ROUND
}

// Median edge predictor: a + b - clamp(c, min(a, b), max(a, b)) is LOCO-I's median of a, b, a + b - c, and stays in
// 8 bits because the true value lies between a and b.
static inline CF_INLINE uint8_t CF(median)(uint8_t a, uint8_t b, uint8_t c) {
    uint8_t low = a < b ? a : b, high = a < b ? b : a;
    uint8_t clamped = c < low ? low : c > high ? high : c;
    return (uint8_t)(a + b - clamped);
}

// Channel value: from the third channel on (G, R - G, B - G), the differences centred on 128.
static inline CF_INLINE uint8_t CF(channel)(const uint8_t *pixel, size_t channel, size_t channels) {
    if (channels < 3 || channel > 2) return pixel[channel];
    if (channel == 0) return pixel[1];
    return (uint8_t)(pixel[channel == 1 ? 0 : 2] - pixel[1] + 128);
}

static void CF(predict8)(const uint8_t *picture, size_t height, size_t width, size_t channels, uint8_t *residuals) {
    for (size_t k = 0; k < channels; ++k) {
        for (size_t y = 0; y < height; ++y) {
            const uint8_t *row = picture + y * width * channels;
            const uint8_t *above = y ? row - width * channels : NULL;
            uint8_t a = 0, c = 0;
            for (size_t x = 0; x < width; ++x) {
                uint8_t value = CF(channel)(row + x * channels, k, channels);
                uint8_t b = above ? CF(channel)(above + x * channels, k, channels) : 0;
                uint8_t r = (uint8_t)(value - CF(median)(a, b, c));
                *residuals++ = (uint8_t)((r << 1) ^ (uint8_t)(-(r >> 7)));
                a = value;
                c = b;
            }
        }
    }
}

// The predictor needs the pixel to the left, so a row is a serial chain; but row y at column x needs row y - 1 only up
// to column x. Sixteen rows therefore run side by side in the lanes of one vector, each a column behind the one above:
// lane k works on column t - k at step t. Blocks of 16 steps are transposed in and out.
static inline CF_INLINE void CF(unpredict_band)(const uint8_t *residuals, size_t rows, size_t width, uint8_t *carry,
                                                uint8_t *out, size_t stride) {
    v16 value = {0}, corner = {0};
    for (size_t t = 0; t < width + 15; t += 16) {
        v16 m[16];
        for (size_t k = 0; k < 16; ++k) {
            if (k >= rows) {
                m[k] = (v16){0};
                continue;
            }
            v16 z = CF(load)(residuals + k * width + t - k);
            // Columns before the first must stay zero, as the encoder saw them.
            if (t == 0) z &= CF(load)(edge_mask + 16 - k);
            m[k] = (z >> 1) ^ -(z & 1);
        }
        CF(transpose)(m);
        v16 above = CF(load)(carry + t);
#define CF_STEP(i)                                                                                                     \
    {                                                                                                                  \
        v16 up = __builtin_shufflevector(value, above, 16 + i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);      \
        v16 low = __builtin_elementwise_min(value, up), high = __builtin_elementwise_max(value, up);                   \
        v16 clamped = __builtin_elementwise_min(__builtin_elementwise_max(corner, low), high);                         \
        corner = up;                                                                                                   \
        value = (value + (up + m[i])) - clamped;                                                                       \
        m[i] = value;                                                                                                  \
    }
        CF_STEP(0) CF_STEP(1) CF_STEP(2) CF_STEP(3) CF_STEP(4) CF_STEP(5) CF_STEP(6) CF_STEP(7)
        CF_STEP(8) CF_STEP(9) CF_STEP(10) CF_STEP(11) CF_STEP(12) CF_STEP(13) CF_STEP(14) CF_STEP(15)
#undef CF_STEP
        CF(transpose)(m);
        for (size_t k = 0; k < 16; ++k) CF(store)(out + k * stride + t - k, m[k]);
    }
    memcpy(carry, out + 15 * stride, width);
}

#if CF_WIDE
// Three channels at a time, 16 bytes of each in a lane of its own, the fourth lane idle: the steps of `unpredict_band`,
// which are one chain of dependent instructions, serve all of them.

// Indices of shuffles that stay within lanes; l is the lane's first byte.
#define CF_LANES(f, i) f(0, i), f(16, i), f(32, i), f(48, i)
#define CF_LOW_OF(l, i)                                                                                                \
    l, 64 + l, l + 1, 65 + l, l + 2, 66 + l, l + 3, 67 + l, l + 4, 68 + l, l + 5, 69 + l, l + 6, 70 + l, l + 7, 71 + l
#define CF_HIGH_OF(l, i)                                                                                               \
    l + 8, 72 + l, l + 9, 73 + l, l + 10, 74 + l, l + 11, 75 + l, l + 12, 76 + l, l + 13, 77 + l, l + 14, 78 + l,      \
        l + 15, 79 + l
#define CF_UP_OF(l, i)                                                                                                 \
    64 + l + i, l, l + 1, l + 2, l + 3, l + 4, l + 5, l + 6, l + 7, l + 8, l + 9, l + 10, l + 11, l + 12, l + 13,      \
        l + 14

static inline CF_INLINE void CF(transpose_wide)(v64 m[16]) {
    v64 t[16];
#define CF_ROUND(from, to)                                                                                             \
    for (int i = 0; i < 8; ++i) {                                                                                      \
        to[2 * i] = __builtin_shufflevector(from[i], from[i + 8], CF_LANES(CF_LOW_OF, 0));                             \
        to[2 * i + 1] = __builtin_shufflevector(from[i], from[i + 8], CF_LANES(CF_HIGH_OF, 0));                        \
    }
    CF_ROUND(m, t)
    CF_ROUND(t, m)
    CF_ROUND(m, t)
    CF_ROUND(t, m)
#undef CF_ROUND
}

static inline CF_INLINE v64 CF(gather3)(const uint8_t *p, size_t step) {
    v16 a = CF(load)(p), b = CF(load)(p + step), c = CF(load)(p + 2 * step);
    v64 v = {0};
    memcpy(&v, &a, 16);
    memcpy((uint8_t *)&v + 16, &b, 16);
    memcpy((uint8_t *)&v + 32, &c, 16);
    return v;
}

static inline CF_INLINE void CF(scatter3)(uint8_t *p, size_t step, v64 v) {
    memcpy(p, &v, 16);
    memcpy(p + step, (const uint8_t *)&v + 16, 16);
    memcpy(p + 2 * step, (const uint8_t *)&v + 32, 16);
}

static inline CF_INLINE void CF(unpredict_bands3)(const uint8_t *residuals, size_t plane, size_t rows, size_t width,
                                                  uint8_t *carry, uint8_t *out, size_t stride) {
    v64 value = {0}, corner = {0};
    for (size_t t = 0; t < width + 15; t += 16) {
        v64 m[16];
        for (size_t k = 0; k < 16; ++k) {
            if (k >= rows) {
                m[k] = (v64){0};
                continue;
            }
            v64 z = CF(gather3)(residuals + k * width + t - k, plane);
            if (t == 0) z &= CF(gather3)(edge_mask + 16 - k, 0);
            m[k] = (z >> 1) ^ -(z & 1);
        }
        CF(transpose_wide)(m);
        v64 above = CF(gather3)(carry + t, stride);
#define CF_STEP(i)                                                                                                     \
    {                                                                                                                  \
        v64 up = __builtin_shufflevector(value, above, CF_LANES(CF_UP_OF, i));                                         \
        v64 low = __builtin_elementwise_min(value, up), high = __builtin_elementwise_max(value, up);                   \
        v64 clamped = __builtin_elementwise_min(__builtin_elementwise_max(corner, low), high);                         \
        corner = up;                                                                                                   \
        value = (value + (up + m[i])) - clamped;                                                                       \
        m[i] = value;                                                                                                  \
    }
        CF_STEP(0) CF_STEP(1) CF_STEP(2) CF_STEP(3) CF_STEP(4) CF_STEP(5) CF_STEP(6) CF_STEP(7)
        CF_STEP(8) CF_STEP(9) CF_STEP(10) CF_STEP(11) CF_STEP(12) CF_STEP(13) CF_STEP(14) CF_STEP(15)
#undef CF_STEP
        CF(transpose_wide)(m);
        for (size_t k = 0; k < 16; ++k) CF(scatter3)(out + k * stride + t - k, 16 * stride, m[k]);
    }
    for (size_t k = 0; k < 3; ++k) memcpy(carry + k * stride, out + (16 * k + 15) * stride, width);
}
#endif

static inline CF_INLINE void CF(store_rgb)(uint8_t *out, const uint8_t *g, const uint8_t *r, const uint8_t *b,
                                           size_t width) {
    size_t x = 0;
    for (; x + 16 <= width; x += 16) {
        v16 green = CF(load)(g + x), centre = green - 128;
        v16 red = CF(load)(r + x) + centre, blue = CF(load)(b + x) + centre;
        typedef uint8_t v32 __attribute__((vector_size(32)));
        v32 rg = __builtin_shufflevector(red, green, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
                                         19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
        v32 bb = __builtin_shufflevector(blue, blue, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3,
                                         4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#define R(i) i
#define G(i) (16 + i)
#define B(i) (32 + i)
        CF(store)(out + 3 * x, __builtin_shufflevector(rg, bb, R(0), G(0), B(0), R(1), G(1), B(1), R(2), G(2), B(2),
                                                       R(3), G(3), B(3), R(4), G(4), B(4), R(5)));
        CF(store)(out + 3 * x + 16, __builtin_shufflevector(rg, bb, G(5), B(5), R(6), G(6), B(6), R(7), G(7), B(7),
                                                            R(8), G(8), B(8), R(9), G(9), B(9), R(10), G(10)));
        CF(store)(out + 3 * x + 32, __builtin_shufflevector(rg, bb, B(10), R(11), G(11), B(11), R(12), G(12), B(12),
                                                            R(13), G(13), B(13), R(14), G(14), B(14), R(15), G(15),
                                                            B(15)));
#undef R
#undef G
#undef B
    }
    for (; x < width; ++x) {
        out[3 * x] = (uint8_t)(r[x] + g[x] - 128);
        out[3 * x + 1] = g[x];
        out[3 * x + 2] = (uint8_t)(b[x] + g[x] - 128);
    }
}

static void CF(unpredict8)(const uint8_t *residuals, size_t height, size_t width, size_t channels, uint8_t *picture,
                           uint8_t *scratch) {
    const size_t stride = band_stride(width), plane = 16 * stride;
    // Each channel: the row above the band, then 16 rows with 16 bytes of room to their left.
    uint8_t *carry = scratch, *bands = scratch + channels * stride + 16;
    memset(carry, 0, channels * stride);
    for (size_t y = 0; y < height; y += 16) {
        const size_t rows = height - y < 16 ? height - y : 16;
#if CF_WIDE
        if (channels == 3)
            CF(unpredict_bands3)(residuals + y * width, height * width, rows, width, carry, bands, stride);
        else
#endif
        for (size_t k = 0; k < channels; ++k)
            CF(unpredict_band)(residuals + (k * height + y) * width, rows, width, carry + k * stride, bands + k * plane,
                               stride);
        for (size_t i = 0; i < rows; ++i) {
            uint8_t *out = picture + (y + i) * width * channels;
            const uint8_t *row = bands + i * stride;
            if (channels == 1) {
                memcpy(out, row, width);
            } else if (channels == 3) {
                CF(store_rgb)(out, row, row + plane, row + 2 * plane, width);
            } else {
                for (size_t x = 0; x < width; ++x)
                    for (size_t k = 0; k < channels; ++k) out[x * channels + k] = row[k * plane + x];
                if (channels > 3)
                    for (size_t x = 0; x < width; ++x) {
                        uint8_t *p = out + x * channels, green = p[0];
                        p[0] = (uint8_t)(p[1] + green - 128);
                        p[2] = (uint8_t)(p[2] + green - 128);
                        p[1] = green;
                    }
            }
        }
    }
}

// Transposes the 8x8 bits of each 64-bit lane. **Source:** Warren, Hacker's Delight, section 7-3.
#define CF_TRANSPOSE_BITS(type, x)                                                                                     \
    {                                                                                                                  \
        type t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAull;                                                               \
        x ^= t ^ (t << 7);                                                                                             \
        t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCull;                                                                   \
        x ^= t ^ (t << 14);                                                                                            \
        t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0ull;                                                                   \
        x ^= t ^ (t << 28);                                                                                            \
    }

static inline CF_INLINE q2 CF(transpose_bits)(q2 x) {
    CF_TRANSPOSE_BITS(q2, x)
    return x;
}

static void CF(split_bits)(const uint8_t *bytes, size_t count, uint8_t *planes) {
    const size_t plane = (count + 7) / 8;
    for (size_t i = 0; i < plane; ++i) {
        uint64_t x = 0;
        size_t left = count - 8 * i;
        memcpy(&x, bytes + 8 * i, left < 8 ? left : 8);
        x = CF(transpose_bits)((q2){x, 0})[0];
        for (size_t p = 0; p < 8; ++p) planes[(7 - p) * plane + i] = (uint8_t)(x >> (8 * p));
    }
}

static void CF(join_bits)(const uint8_t *planes, size_t count, uint8_t *bytes) {
    const size_t plane = (count + 7) / 8;
    size_t i = 0;
#if CF_WIDE
    // As below, four times as many: each lane of 16 bytes for itself.
    for (; 8 * (i + 64) <= count; i += 64) {
        v64 m[8], t[8];
        for (size_t p = 0; p < 8; ++p) memcpy(&m[p], planes + (7 - p) * plane + i, 64);
#define CF_ROUND(from, to)                                                                                             \
    for (int j = 0; j < 4; ++j) {                                                                                      \
        to[2 * j] = __builtin_shufflevector(from[j], from[j + 4], CF_LANES(CF_LOW_OF, 0));                             \
        to[2 * j + 1] = __builtin_shufflevector(from[j], from[j + 4], CF_LANES(CF_HIGH_OF, 0));                        \
    }
        CF_ROUND(m, t)
        CF_ROUND(t, m)
        CF_ROUND(m, t)
#undef CF_ROUND
        for (size_t j = 0; j < 8; ++j) {
            q8 x;
            memcpy(&x, &t[j], 64);
            CF_TRANSPOSE_BITS(q8, x)
            for (size_t lane = 0; lane < 4; ++lane)
                memcpy(bytes + 8 * (i + 16 * lane) + 16 * j, (const uint8_t *)&x + 16 * lane, 16);
        }
    }
#endif
    for (; 8 * (i + 16) <= count; i += 16) {
        // Three rounds of interleaving put byte i of all eight planes next to each other.
        v16 m[8], t[8];
        for (size_t p = 0; p < 8; ++p) m[p] = CF(load)(planes + (7 - p) * plane + i);
#define CF_ROUND(from, to)                                                                                             \
    for (int j = 0; j < 4; ++j) {                                                                                      \
        to[2 * j] = __builtin_shufflevector(from[j], from[j + 4], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,  \
                                            23);                                                                       \
        to[2 * j + 1] = __builtin_shufflevector(from[j], from[j + 4], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,    \
                                                14, 30, 15, 31);                                                       \
    }
        CF_ROUND(m, t)
        CF_ROUND(t, m)
        CF_ROUND(m, t)
#undef CF_ROUND
        for (size_t j = 0; j < 8; ++j) {
            q2 x;
            memcpy(&x, &t[j], 16);
            x = CF(transpose_bits)(x);
            memcpy(bytes + 8 * i + 16 * j, &x, 16);
        }
    }
    for (; i < plane; ++i) {
        uint64_t x = 0;
        for (size_t p = 0; p < 8; ++p) x |= (uint64_t)planes[(7 - p) * plane + i] << (8 * p);
        x = CF(transpose_bits)((q2){x, 0})[0];
        size_t left = count - 8 * i;
        memcpy(bytes + 8 * i, &x, left < 8 ? left : 8);
    }
}

// value / limit, correctly rounded, so that the limit gives exactly 1: by a division, or where multiply-adds are fused
// by one step of refinement, which is faster (the same bits for every value of 8 and of 16 bits, as tests check).
#if CF_FUSED
#define CF_QUOTIENT(limit)                                                                                             \
    const vf16 x = __builtin_convertvector(v, vf16), inverse = (vf16){0} + 1.0f / limit, q = x * inverse;              \
    const vf16 result =                                                                                                \
        __builtin_elementwise_fma(__builtin_elementwise_fma(-q, (vf16){0} + limit, x), inverse, q);
#else
#define CF_QUOTIENT(limit) const vf16 result = __builtin_convertvector(v, vf16) / limit;
#endif
#define CF_EXPAND(name, type, vector, limit)                                                                           \
    static void CF(name)(const type *picture, size_t pixels, size_t channels, float *out) {                            \
        if (channels == 3) {                                                                                           \
            const size_t count = 3 * pixels;                                                                           \
            size_t i = 0;                                                                                              \
            for (; i + 16 <= count; i += 16) {                                                                         \
                vector v;                                                                                              \
                memcpy(&v, picture + i, sizeof v);                                                                     \
                CF_QUOTIENT(limit)                                                                                     \
                memcpy(out + i, &result, sizeof result);                                                               \
            }                                                                                                          \
            for (; i < count; ++i) out[i] = (float)picture[i] / limit;                                                 \
        } else {                                                                                                       \
            for (size_t i = 0; i < pixels; ++i)                                                                        \
                out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = (float)picture[i] / limit;                              \
        }                                                                                                              \
    }
CF_EXPAND(expand8, uint8_t, v16, 255.0f)
CF_EXPAND(expand16, uint16_t, vs16, 65535.0f)
#undef CF_EXPAND
#undef CF_QUOTIENT

static void CF(expand8_mirrored)(const uint8_t *picture, size_t height, size_t width, float *out, uint8_t *row) {
    for (size_t y = 0; y < height; ++y) {
        const uint8_t *end = picture + 3 * width * (y + 1);
        size_t x = 0;
        // Five pixels a time, backwards; the sixteenth byte of a load is the one before them, that of a store is
        // overwritten by the next.
        for (; x + 6 <= width; x += 5) {
            v16 v = CF(load)(end - 3 * x - 16);
            v = __builtin_shufflevector(v, v, 13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, 0);
            CF(store)(row + 3 * x, v);
        }
        for (; x < width; ++x) memcpy(row + 3 * x, end - 3 * (x + 1), 3);
        CF(expand8)(row, width, 3, out + 3 * width * y);
    }
}

#undef CF_TRANSPOSE_BITS
#if CF_WIDE
#undef CF_LANES
#undef CF_LOW_OF
#undef CF_HIGH_OF
#undef CF_UP_OF
#endif
