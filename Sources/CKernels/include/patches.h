#pragma once
#include <stddef.h>
#include <stdint.h>

// Data movement around the matrix products of convolutions: patch matrices (im2col) and their scattering.
// Float32, NHWC, one body per function (patches_body.h) included once per instruction level.
// No malloc, no threads, no errors. Everything is elementwise over channels, so that all levels give the same bits.

/// A grid of patches over a source image [batch, height, width, channels]. The patch of grid position (y, x) begins at
/// source pixel (y * stride + offset_y, x * stride + offset_x) and has kernel_height x kernel_width pixels; what lies
/// outside the source is zero.
struct patches_grid {
    int64_t height, width, channels;
    int64_t grid_height, grid_width;
    int64_t stride, offset_y, offset_x;
    int64_t kernel_height, kernel_width;
};

/// Where blocks of pixels go in a destination image [batch, height, width, channels]: position (y, x) of the grid owns the
/// block of block_height x block_width pixels at (y * step + offset_y, x * step + offset_x).
struct patches_blocks {
    int64_t height, width, channels;
    int64_t grid_height, grid_width;
    int64_t step, offset_y, offset_x;
    int64_t block_height, block_width;
};

struct patches_kernels {
    /// Rows [start, end) of the patch matrix, each kernel_height * kernel_width * channels floats.
    void (*gather)(const struct patches_grid *grid, const float *source, int64_t start, int64_t end, float *rows);
    /// Copies rows [start, end), each block_height * block_width * channels floats (`row_stride` apart, the first one at
    /// `rows`), to their places, plus bias[channels] unless it is null. `rows` null: writes the bias or zero.
    void (*scatter)(const struct patches_blocks *blocks, const float *rows, int64_t row_stride, const float *bias,
                    int64_t start, int64_t end, float *destination);
    /// values[rows][columns] (dense) += bias, then the larger of it and 0 if `relu` (NaN stays).
    void (*finish)(float *values, int64_t rows, int64_t columns, int64_t row_stride, const float *bias, int relu);
    /// destination[columns][rows] = transpose of source[rows][columns].
    void (*transpose)(const float *source, int64_t source_stride, int64_t rows, int64_t columns, float *destination,
                      int64_t destination_stride);
    /// total[i] = parts[0][i] + parts[1][i] + ..., in this order, for i in [start, end).
    void (*sum_parts)(const float *parts, int64_t part_stride, int64_t part_count, int64_t start, int64_t end,
                      float *total);
    /// sums[c] = sum of values[r][c] over the rows, in float64, in row order.
    void (*column_sum)(const float *values, int64_t rows, int64_t columns, double *sums);
};

/// The table for an instruction level: 0 baseline, 1 AVX2, 2 AVX-512. Levels that this build lacks give the baseline; the
/// caller must not ask for one that the processor lacks.
const struct patches_kernels *patches_kernels(int level);

/// Logical processors that the calling thread may run on (its affinity mask); 0 if the system doesn't tell.
int patches_allowed_processors(void);

/// The highest level that processor and system support: 0 baseline, 1 AVX2 + FMA, 2 AVX-512 (F, BW, DQ, VL).
int patches_processor_level(void);
