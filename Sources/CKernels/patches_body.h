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

static const struct patches_kernels NAME(table) = {
    NAME(gather), NAME(scatter), NAME(finish), NAME(transpose), NAME(sum_parts), NAME(column_sum),
};

#undef NAME
#undef VECTOR
#undef INLINE
