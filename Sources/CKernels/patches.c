#include "patches.h"
#include <string.h>

void patches_gather(const float *picture, const patches_geometry *g, long begin, long end, float *matrix) {
    const long plane = g->rows * g->columns, line = g->kernel_width * g->channels;
    for (long i = begin; i < end; i++) {
        const long n = i / plane, oy = i % plane / g->columns, ox = i % g->columns;
        const long y0 = oy * g->stride - g->padding, x0 = ox * g->stride - g->padding;
        // Taps b_first ..< b_last lie inside; their pixels are neighbours in memory, so a kernel line is one copy.
        const long b_first = x0 < 0 ? -x0 : 0;
        long b_last = g->width - x0 < g->kernel_width ? g->width - x0 : g->kernel_width;
        if (b_last < b_first) b_last = b_first;
        const float *source = picture + ((n * g->height + y0) * g->width + x0) * g->channels;
        for (long a = 0; a < g->kernel_height; a++, matrix += line, source += g->width * g->channels) {
            if (y0 + a < 0 || y0 + a >= g->height || b_first >= g->kernel_width) {
                memset(matrix, 0, (size_t)line * sizeof(float));
                continue;
            }
            const long before = b_first * g->channels, inside = (b_last - b_first) * g->channels;
            if (before) memset(matrix, 0, (size_t)before * sizeof(float));
            memcpy(matrix + before, source + before, (size_t)inside * sizeof(float));
            if (before + inside < line) {
                memset(matrix + before + inside, 0, (size_t)(line - before - inside) * sizeof(float));
            }
        }
    }
}

void patches_gather_transposed(const float *picture, const patches_geometry *g, long begin, long end, float *matrix) {
    const long plane = g->rows * g->columns, channels = g->channels;
    for (long i = begin; i < end; i++) {
        const long n = i / plane, y = i % plane / g->columns, x = i % g->columns;
        const float *image = picture + n * g->height * g->width * channels;
        for (long a = 0; a < g->kernel_height; a++) {
            const long v = y + g->padding - a;
            const int row_inside = v >= 0 && v % g->stride == 0 && v / g->stride < g->height;
            for (long b = 0; b < g->kernel_width; b++, matrix += channels) {
                const long u = x + g->padding - b;
                if (row_inside && u >= 0 && u % g->stride == 0 && u / g->stride < g->width) {
                    memcpy(matrix, image + (v / g->stride * g->width + u / g->stride) * channels,
                           (size_t)channels * sizeof(float));
                } else {
                    memset(matrix, 0, (size_t)channels * sizeof(float));
                }
            }
        }
    }
}

void patches_scatter_blocks(const float *matrix, long begin, long end, long height, long width, long kernel_height,
                            long kernel_width, long channels, const float *bias, float *output) {
    const long line = kernel_width * channels, out_width = width * line;
    for (long i = begin; i < end; i++) {
        const long n = i / (height * width), y = i % (height * width) / width, x = i % width;
        float *target = output + (n * height + y) * kernel_height * out_width + x * line;
        for (long a = 0; a < kernel_height; a++, matrix += line, target += out_width) {
            if (!bias) {
                memcpy(target, matrix, (size_t)line * sizeof(float));
                continue;
            }
            for (long b = 0; b < kernel_width; b++) {
                for (long c = 0; c < channels; c++) target[b * channels + c] = matrix[b * channels + c] + bias[c];
            }
        }
    }
}

void patches_epilogue(float *values, long rows, long columns, const float *bias, int relu) {
    if (!bias && !relu) return;
    for (long row = 0; row < rows; row++, values += columns) {
        if (bias) {
            for (long c = 0; c < columns; c++) values[c] += bias[c];
        }
        if (relu) {
            // Written so that NaN stays NaN.
            for (long c = 0; c < columns; c++) values[c] = values[c] < 0 ? 0 : values[c];
        }
    }
}

void patches_column_sum(const float *values, long rows, long columns, double *sums) {
    for (long c = 0; c < columns; c++) sums[c] = 0;
    for (long row = 0; row < rows; row++, values += columns) {
        for (long c = 0; c < columns; c++) sums[c] += (double)values[c];
    }
}
