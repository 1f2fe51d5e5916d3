#pragma once
// Between pictures [N, H, W, C] and matrices whose rows are the patches that a convolution reads. Pixels are numbered
// over all pictures. No allocation, no threads; callers check sizes.

typedef struct patches_geometry {
    long height, width, channels;          // the picture that patches are read from
    long rows, columns;                    // the grid of patches
    long kernel_height, kernel_width, stride, padding;
} patches_geometry;

/// matrix[i, (a, b, c)] = picture(oy·stride − padding + a, ox·stride − padding + b, c), 0 outside, for patches
/// begin ..< end of the grid.
void patches_gather(const float *picture, const patches_geometry *g, long begin, long end, float *matrix);

/// The patches of the transposed convolution: for pixel (y, x) of the grid,
/// matrix[i, (a, b, c)] = picture((y + padding − a) / stride, (x + padding − b) / stride, c) where both divide and lie
/// inside, else 0.
void patches_gather_transposed(const float *picture, const patches_geometry *g, long begin, long end, float *matrix);

/// Writes blocks: pixel i of a height × width picture owns block (a, b) = [kernel_height, kernel_width, channels] of
/// matrix row i − begin; blocks do not overlap (kernel = stride). Adds the bias if there is one.
void patches_scatter_blocks(const float *matrix, long begin, long end, long height, long width, long kernel_height,
                            long kernel_width, long channels, const float *bias, float *output);

/// rows × columns: adds the bias if there is one, then takes max(·, 0) if relu.
void patches_epilogue(float *values, long rows, long columns, const float *bias, int relu);

/// sums[c] = Σ over rows of values[row, c].
void patches_column_sum(const float *values, long rows, long columns, double *sums);
