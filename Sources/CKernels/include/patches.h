#pragma once
#include <stddef.h>
#include <stdint.h>

// Data movement around the matrix products of convolutions: patch matrices (im2col), their scattering, Winograd
// transforms, column sums. Float32, NHWC, one body per function (patches_body.h) included once per instruction level.
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

/// The 2x2 output tiles of a 3x3 convolution of stride 1. An input tile is 4x4 and begins `padding` before its output.
struct patches_tiles {
    int64_t height, width;                // of the image that is read or written
    int64_t tiles_high, tiles_wide;       // of one image
    int64_t padding;
    int64_t channels;
    int64_t plane;                        // floats between two of the 16 planes of the transformed tiles
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

    // Winograd F(2x2, 3x3). Planes are numbered 4 * row + column of the 4x4 transformed tile.
    /// weights[9][count] -> planes[16][count] (G g G^T), elements [start, end).
    void (*winograd_weights)(const float *weights, int64_t count, int64_t start, int64_t end, float *planes);
    /// 4x4 input tiles -> planes (B^T d B). Tile `start` goes to row 0. `zeros`: at least `channels` zeros.
    void (*winograd_input)(const struct patches_tiles *tiles, const float *image, const float *zeros, int64_t start,
                           int64_t end, float *planes);
    /// planes -> 2x2 output tiles (A^T m A), plus bias and ReLU.
    void (*winograd_output)(const struct patches_tiles *tiles, const float *planes, const float *bias, int relu,
                            int64_t start, int64_t end, float *image);
    /// 2x2 tiles of the output gradient -> planes (A y A^T).
    void (*winograd_output_gradient)(const struct patches_tiles *tiles, const float *image, const float *zeros,
                                     int64_t start, int64_t end, float *planes);
    /// parts[part_count][16][count] are added in order, then -> gradient[9][count] (G^T u G), elements [start, end).
    void (*winograd_weight_gradient)(const float *parts, int64_t part_count, int64_t count, int64_t start, int64_t end,
                                     float *gradient);
};

/// The table for an instruction level: 0 baseline, 1 AVX2, 2 AVX-512. Levels that this build lacks give the baseline; the
/// caller must not ask for one that the processor lacks.
const struct patches_kernels *patches_kernels(int level);

/// Logical processors that the calling thread may run on (its affinity mask); 0 if the system doesn't tell.
int patches_allowed_processors(void);

/// The highest level that processor and system support: 0 baseline, 1 AVX2 + FMA, 2 AVX-512 (F, BW, DQ, VL).
int patches_processor_level(void);
