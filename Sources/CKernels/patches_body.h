// Included once per instruction level by patches.c, with LEVEL (a suffix) and LANES (floats per register) defined.
#define NAME(name) PATCHES_NAME(name, LEVEL)
#define VECTOR NAME(vector)
#define INLINE static inline __attribute__((always_inline))

typedef float VECTOR __attribute__((vector_size(4 * LANES)));
typedef int NAME(bits) __attribute__((vector_size(4 * LANES)));

INLINE VECTOR NAME(load)(const float *p) {
    VECTOR v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void NAME(store)(float *p, VECTOR v) { memcpy(p, &v, sizeof v); }

INLINE void NAME(copy)(float *restrict to, const float *restrict from, int64_t count) {
    if (count < LANES) {
        for (int64_t i = 0; i < count; i++) to[i] = from[i];
        return;
    }
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) NAME(store)(to + i, NAME(load)(from + i));
    if (i < count) NAME(store)(to + count - LANES, NAME(load)(from + count - LANES));
}

INLINE int64_t NAME(clamp)(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

static void NAME(gather)(const struct patches_grid *g, const float *source, int64_t start, int64_t end, float *rows) {
    const int64_t channels = g->channels, image = g->height * g->width * channels;
    const int64_t run = g->kernel_width * channels;
    int64_t x = start % g->grid_width, y = start / g->grid_width % g->grid_height;
    int64_t n = start / (g->grid_width * g->grid_height);
    for (int64_t position = start; position < end; position++) {
        const int64_t top = y * g->stride + g->offset_y, left = x * g->stride + g->offset_x;
        // Kernel columns [first, last) lie inside the source.
        const int64_t first = NAME(clamp)(-left, 0, g->kernel_width);
        const int64_t last = NAME(clamp)(g->width - left, first, g->kernel_width);
        for (int64_t k = 0; k < g->kernel_height; k++, rows += run) {
            const int64_t row = top + k;
            if (row < 0 || row >= g->height || first == last) {
                memset(rows, 0, (size_t)run * sizeof(float));
                continue;
            }
            if (first > 0) memset(rows, 0, (size_t)(first * channels) * sizeof(float));
            NAME(copy)(rows + first * channels, source + n * image + (row * g->width + left + first) * channels,
                       (last - first) * channels);
            if (last < g->kernel_width)
                memset(rows + last * channels, 0, (size_t)((g->kernel_width - last) * channels) * sizeof(float));
        }
        if (++x == g->grid_width) {
            x = 0;
            if (++y == g->grid_height) {
                y = 0;
                n++;
            }
        }
    }
}

static void NAME(scatter)(const struct patches_blocks *b, const float *rows, int64_t row_stride, const float *bias,
                          int64_t start, int64_t end, float *destination) {
    const int64_t channels = b->channels, image = b->height * b->width * channels;
    const int64_t run = b->block_width * channels;
    int64_t x = start % b->grid_width, y = start / b->grid_width % b->grid_height;
    int64_t n = start / (b->grid_width * b->grid_height);
    for (int64_t position = start; position < end; position++) {
        for (int64_t k = 0; k < b->block_height; k++) {
            float *to = destination + n * image
                + ((y * b->step + b->offset_y + k) * b->width + x * b->step + b->offset_x) * channels;
            const float *from = rows ? rows + (position - start) * row_stride + k * run : 0;
            if (from && !bias) {
                NAME(copy)(to, from, run);
            } else if (from) {
                for (int64_t i = 0; i < b->block_width; i++) {
                    const float *restrict f = from + i * channels;
                    float *restrict t = to + i * channels;
                    for (int64_t c = 0; c < channels; c++) t[c] = f[c] + bias[c];
                }
            } else if (bias) {
                for (int64_t i = 0; i < b->block_width; i++) NAME(copy)(to + i * channels, bias, channels);
            } else {
                memset(to, 0, (size_t)run * sizeof(float));
            }
        }
        if (++x == b->grid_width) {
            x = 0;
            if (++y == b->grid_height) {
                y = 0;
                n++;
            }
        }
    }
}

static void NAME(finish)(float *values, int64_t rows, int64_t columns, int64_t row_stride, const float *bias, int relu) {
    for (int64_t r = 0; r < rows; r++) {
        float *restrict v = values + r * row_stride;
        // `0 > x ? 0 : x` keeps NaN.
        if (bias && relu) {
            for (int64_t c = 0; c < columns; c++) {
                float x = v[c] + bias[c];
                v[c] = 0 > x ? 0 : x;
            }
        } else if (bias) {
            for (int64_t c = 0; c < columns; c++) v[c] += bias[c];
        } else if (relu) {
            for (int64_t c = 0; c < columns; c++) v[c] = 0 > v[c] ? 0 : v[c];
        }
    }
}

static void NAME(transpose)(const float *source, int64_t source_stride, int64_t rows, int64_t columns,
                            float *destination, int64_t destination_stride) {
    enum { TILE = 16 };
    for (int64_t r0 = 0; r0 < rows; r0 += TILE)
        for (int64_t c0 = 0; c0 < columns; c0 += TILE) {
            const int64_t r1 = r0 + TILE < rows ? r0 + TILE : rows, c1 = c0 + TILE < columns ? c0 + TILE : columns;
            for (int64_t c = c0; c < c1; c++)
                for (int64_t r = r0; r < r1; r++) destination[c * destination_stride + r] = source[r * source_stride + c];
        }
}

static void NAME(sum_parts)(const float *parts, int64_t part_stride, int64_t part_count, int64_t start, int64_t end,
                            float *restrict total) {
    for (int64_t i = start; i < end; i++) total[i] = parts[i];
    for (int64_t p = 1; p < part_count; p++) {
        const float *restrict part = parts + p * part_stride;
        for (int64_t i = start; i < end; i++) total[i] += part[i];
    }
}

static void NAME(column_sum)(const float *restrict values, int64_t rows, int64_t columns, double *restrict sums) {
    for (int64_t c = 0; c < columns; c++) sums[c] = 0;
    int64_t r = 0;
    // Four rows at a time, added one after the other: fewer passes over the sums, the same order.
    for (; r + 4 <= rows; r += 4) {
        const float *v = values + r * columns;
        for (int64_t c = 0; c < columns; c++)
            sums[c] = (((sums[c] + v[c]) + v[columns + c]) + v[2 * columns + c]) + v[3 * columns + c];
    }
    for (; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) sums[c] += values[r * columns + c];
}

// MARK: Winograd F(2x2, 3x3)
//
// Each transform is one macro over "values": VECTOR in the main loop, float in the tail.

#define WEIGHTS_ROW(T, a, b, c, o)                                                                                     \
    T o##0 = a, o##1 = ((a + c) + b) * 0.5f, o##2 = ((a + c) - b) * 0.5f, o##3 = c;

#define WINOGRAD_WEIGHTS(T, LOAD, STORE)                                                                               \
    {                                                                                                                  \
        T g[3][3];                                                                                                     \
        for (int k = 0; k < 9; k++) g[k / 3][k % 3] = LOAD(weights + k * count + i);                                   \
        T u[4][3];                                                                                                     \
        for (int k = 0; k < 3; k++) {                                                                                  \
            WEIGHTS_ROW(T, g[0][k], g[1][k], g[2][k], r)                                                               \
            u[0][k] = r0, u[1][k] = r1, u[2][k] = r2, u[3][k] = r3;                                                    \
        }                                                                                                              \
        for (int k = 0; k < 4; k++) {                                                                                  \
            WEIGHTS_ROW(T, u[k][0], u[k][1], u[k][2], r)                                                               \
            STORE(planes + (4 * k + 0) * count + i, r0);                                                               \
            STORE(planes + (4 * k + 1) * count + i, r1);                                                               \
            STORE(planes + (4 * k + 2) * count + i, r2);                                                               \
            STORE(planes + (4 * k + 3) * count + i, r3);                                                               \
        }                                                                                                              \
    }

#define SCALAR_LOAD(p) (*(p))
#define SCALAR_STORE(p, v) (*(p) = (v))

static void NAME(winograd_weights)(const float *weights, int64_t count, int64_t start, int64_t end, float *planes) {
    int64_t i = start;
    for (; i + LANES <= end; i += LANES) WINOGRAD_WEIGHTS(VECTOR, NAME(load), NAME(store))
    for (; i < end; i++) WINOGRAD_WEIGHTS(float, SCALAR_LOAD, SCALAR_STORE)
}

#define WINOGRAD_INPUT(T, LOAD, STORE)                                                                                 \
    {                                                                                                                  \
        T t[4][4];                                                                                                     \
        for (int k = 0; k < 4; k++) {                                                                                  \
            T d0 = LOAD(pixels[k] + c), d1 = LOAD(pixels[4 + k] + c), d2 = LOAD(pixels[8 + k] + c),                    \
              d3 = LOAD(pixels[12 + k] + c);                                                                           \
            t[0][k] = d0 - d2, t[1][k] = d1 + d2, t[2][k] = d2 - d1, t[3][k] = d1 - d3;                                \
        }                                                                                                              \
        for (int k = 0; k < 4; k++) {                                                                                  \
            STORE(to + (4 * k + 0) * plane + c, t[k][0] - t[k][2]);                                                    \
            STORE(to + (4 * k + 1) * plane + c, t[k][1] + t[k][2]);                                                    \
            STORE(to + (4 * k + 2) * plane + c, t[k][2] - t[k][1]);                                                    \
            STORE(to + (4 * k + 3) * plane + c, t[k][1] - t[k][3]);                                                    \
        }                                                                                                              \
    }

static void NAME(winograd_input)(const struct patches_tiles *tiles, const float *image, const float *zeros,
                                 int64_t start, int64_t end, float *planes) {
    const int64_t channels = tiles->channels, plane = tiles->plane;
    for (int64_t tile = start; tile < end; tile++) {
        const int64_t x = tile % tiles->tiles_wide * 2 - tiles->padding;
        const int64_t y = tile / tiles->tiles_wide % tiles->tiles_high * 2 - tiles->padding;
        const float *base = image + tile / (tiles->tiles_wide * tiles->tiles_high) * tiles->height * tiles->width * channels;
        const float *pixels[16];
        for (int k = 0; k < 16; k++) {
            const int64_t row = y + k / 4, column = x + k % 4;
            const int inside = row >= 0 && row < tiles->height && column >= 0 && column < tiles->width;
            pixels[k] = inside ? base + (row * tiles->width + column) * channels : zeros;
        }
        float *to = planes + (tile - start) * channels;
        int64_t c = 0;
        for (; c + LANES <= channels; c += LANES) WINOGRAD_INPUT(VECTOR, NAME(load), NAME(store))
        for (; c < channels; c++) WINOGRAD_INPUT(float, SCALAR_LOAD, SCALAR_STORE)
    }
}

#define WINOGRAD_OUTPUT(T, LOAD, STORE, BIAS, RELU)                                                                    \
    {                                                                                                                  \
        T t[2][4];                                                                                                     \
        for (int k = 0; k < 4; k++) {                                                                                  \
            T m0 = LOAD(from + k * plane + c), m1 = LOAD(from + (4 + k) * plane + c),                                  \
              m2 = LOAD(from + (8 + k) * plane + c), m3 = LOAD(from + (12 + k) * plane + c);                           \
            t[0][k] = (m0 + m1) + m2, t[1][k] = (m1 - m2) - m3;                                                        \
        }                                                                                                              \
        for (int k = 0; k < 2; k++) {                                                                                  \
            T a = (t[k][0] + t[k][1]) + t[k][2], b = (t[k][1] - t[k][2]) - t[k][3];                                    \
            if (bias) a += BIAS, b += BIAS;                                                                            \
            if (relu) a = RELU(a), b = RELU(b);                                                                        \
            if (pixels[2 * k]) STORE(pixels[2 * k] + c, a);                                                            \
            if (pixels[2 * k + 1]) STORE(pixels[2 * k + 1] + c, b);                                                    \
        }                                                                                                              \
    }

#define SCALAR_RELU(x) (0 > (x) ? 0 : (x))

INLINE VECTOR NAME(relu)(VECTOR x) {
    // Keeps NaN: a comparison with it is false.
    const VECTOR zero = {0};
    return (VECTOR)((NAME(bits))x & ~(zero > x));
}

static void NAME(winograd_output)(const struct patches_tiles *tiles, const float *planes, const float *bias, int relu,
                                  int64_t start, int64_t end, float *image) {
    const int64_t channels = tiles->channels, plane = tiles->plane;
    for (int64_t tile = start; tile < end; tile++) {
        const int64_t x = tile % tiles->tiles_wide * 2, y = tile / tiles->tiles_wide % tiles->tiles_high * 2;
        float *base = image + tile / (tiles->tiles_wide * tiles->tiles_high) * tiles->height * tiles->width * channels;
        float *pixels[4];
        for (int k = 0; k < 4; k++) {
            const int64_t row = y + k / 2, column = x + k % 2;
            pixels[k] = row < tiles->height && column < tiles->width ? base + (row * tiles->width + column) * channels : 0;
        }
        const float *from = planes + (tile - start) * channels;
        int64_t c = 0;
        for (; c + LANES <= channels; c += LANES)
            WINOGRAD_OUTPUT(VECTOR, NAME(load), NAME(store), NAME(load)(bias + c), NAME(relu))
        for (; c < channels; c++) WINOGRAD_OUTPUT(float, SCALAR_LOAD, SCALAR_STORE, bias[c], SCALAR_RELU)
    }
}

#define WINOGRAD_OUTPUT_GRADIENT(T, LOAD, STORE)                                                                       \
    {                                                                                                                  \
        T t[4][2];                                                                                                     \
        for (int k = 0; k < 2; k++) {                                                                                  \
            T a = LOAD(pixels[k] + c), b = LOAD(pixels[2 + k] + c);                                                    \
            t[0][k] = a, t[1][k] = a + b, t[2][k] = a - b, t[3][k] = -b;                                               \
        }                                                                                                              \
        for (int k = 0; k < 4; k++) {                                                                                  \
            STORE(to + (4 * k + 0) * plane + c, t[k][0]);                                                              \
            STORE(to + (4 * k + 1) * plane + c, t[k][0] + t[k][1]);                                                    \
            STORE(to + (4 * k + 2) * plane + c, t[k][0] - t[k][1]);                                                    \
            STORE(to + (4 * k + 3) * plane + c, -t[k][1]);                                                             \
        }                                                                                                              \
    }

static void NAME(winograd_output_gradient)(const struct patches_tiles *tiles, const float *image, const float *zeros,
                                           int64_t start, int64_t end, float *planes) {
    const int64_t channels = tiles->channels, plane = tiles->plane;
    for (int64_t tile = start; tile < end; tile++) {
        const int64_t x = tile % tiles->tiles_wide * 2, y = tile / tiles->tiles_wide % tiles->tiles_high * 2;
        const float *base = image + tile / (tiles->tiles_wide * tiles->tiles_high) * tiles->height * tiles->width * channels;
        const float *pixels[4];
        for (int k = 0; k < 4; k++) {
            const int64_t row = y + k / 2, column = x + k % 2;
            pixels[k] = row < tiles->height && column < tiles->width ? base + (row * tiles->width + column) * channels : zeros;
        }
        float *to = planes + (tile - start) * channels;
        int64_t c = 0;
        for (; c + LANES <= channels; c += LANES) WINOGRAD_OUTPUT_GRADIENT(VECTOR, NAME(load), NAME(store))
        for (; c < channels; c++) WINOGRAD_OUTPUT_GRADIENT(float, SCALAR_LOAD, SCALAR_STORE)
    }
}

#define WEIGHT_GRADIENT_ROW(T, a, b, c, d, o) T o##0 = a + (b + c) * 0.5f, o##1 = (b - c) * 0.5f, o##2 = (b + c) * 0.5f + d;

#define WINOGRAD_WEIGHT_GRADIENT(T, LOAD, STORE)                                                                       \
    {                                                                                                                  \
        T u[4][4];                                                                                                     \
        for (int k = 0; k < 16; k++) u[k / 4][k % 4] = LOAD(parts + k * count + i);                                    \
        for (int64_t p = 1; p < part_count; p++)                                                                       \
            for (int k = 0; k < 16; k++) u[k / 4][k % 4] += LOAD(parts + (16 * p + k) * count + i);                    \
        T t[3][4];                                                                                                     \
        for (int k = 0; k < 4; k++) {                                                                                  \
            WEIGHT_GRADIENT_ROW(T, u[0][k], u[1][k], u[2][k], u[3][k], r)                                              \
            t[0][k] = r0, t[1][k] = r1, t[2][k] = r2;                                                                  \
        }                                                                                                              \
        for (int k = 0; k < 3; k++) {                                                                                  \
            WEIGHT_GRADIENT_ROW(T, t[k][0], t[k][1], t[k][2], t[k][3], r)                                              \
            STORE(gradient + (3 * k + 0) * count + i, r0);                                                             \
            STORE(gradient + (3 * k + 1) * count + i, r1);                                                             \
            STORE(gradient + (3 * k + 2) * count + i, r2);                                                             \
        }                                                                                                              \
    }

static void NAME(winograd_weight_gradient)(const float *parts, int64_t part_count, int64_t count, int64_t start,
                                           int64_t end, float *gradient) {
    int64_t i = start;
    for (; i + LANES <= end; i += LANES) WINOGRAD_WEIGHT_GRADIENT(VECTOR, NAME(load), NAME(store))
    for (; i < end; i++) WINOGRAD_WEIGHT_GRADIENT(float, SCALAR_LOAD, SCALAR_STORE)
}

static const struct patches_kernels NAME(table) = {
    NAME(gather),         NAME(scatter),         NAME(finish),
    NAME(transpose),      NAME(sum_parts),       NAME(column_sum),
    NAME(winograd_weights), NAME(winograd_input), NAME(winograd_output),
    NAME(winograd_output_gradient), NAME(winograd_weight_gradient),
};

#undef NAME
#undef VECTOR
#undef INLINE
#undef WEIGHTS_ROW
#undef WINOGRAD_WEIGHTS
#undef WINOGRAD_INPUT
#undef WINOGRAD_OUTPUT
#undef WINOGRAD_OUTPUT_GRADIENT
#undef WINOGRAD_WEIGHT_GRADIENT
#undef WEIGHT_GRADIENT_ROW
#undef SCALAR_LOAD
#undef SCALAR_STORE
#undef SCALAR_RELU
