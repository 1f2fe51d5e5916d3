#pragma once
// float32 kernels: one body per family (body_*.inc), compiled once per instruction level, a table of functions per
// level. No memory allocation, no threads, no global state, no errors: callers check sizes and split the work.
//
// Every function but products, Winograd transforms and depthwise convolutions gives the same bits at every level: elementwise work is IEEE
// (multiplication and addition stay separate, contraction is off), and sums run over 16 virtual lanes (element i goes to
// lane i % 16) that are combined by halves. These use fused multiply-add where the level has it: AVX2 and AVX-512 give
// the same bits, SSE others. Pointers need float (double) alignment only. Pictures are [N, H, W, C], dense.
#include <stdint.h>

#pragma clang assume_nonnull begin

enum { CK_LEVEL_SSE = 0, CK_LEVEL_AVX2 = 1, CK_LEVEL_AVX512 = 2, CK_LEVEL_NEON = 3 };

/// Numbers of one Adam step that all elements of a span share.
typedef struct ck_adam {
    float beta2;
    float rest1, rest2;        // 1 - beta1, 1 - beta2: rounded once, not a difference of rounded numbers
    float step_size;           // learning rate / (1 - beta1^t)
    float root_correction;     // sqrt(1 - beta2^t)
    float epsilon;
    float coupled_decay;       // Adam: g += coupled_decay * p
    float decay_factor;        // AdamW: p *= decay_factor first (1: none)
} ck_adam;

/// Numbers of one SGD step that all elements of a span share.
typedef struct ck_sgd {
    float learning_rate, momentum, decay;
    int nesterov;
} ck_sgd;

/// Columns of a panel of a packed matrix.
enum { CK_PANEL = 32 };

/// `rows` runs of `floats` floats, `stride` apart; base null: none.
typedef struct ck_ahead {
    const float *_Nullable base;
    long stride, floats, rows;
} ck_ahead;

/// C[rows, columns] = A[rows, depth] · B[depth, columns], plus C if `accumulate`, plus bias[columns], then ReLU.
typedef struct ck_product {
    long rows, columns, depth;
    /// Element (m, k) at a[m * a_row + k * a_depth].
    const float *a;
    long a_row, a_depth;
    /// Element (k, n) at b[n / CK_PANEL * b_panel + n % CK_PANEL + k * b_depth]: panels (depth * CK_PANEL, CK_PANEL) or
    /// plain rows (CK_PANEL, row stride).
    const float *b;
    long b_panel, b_depth;
    /// Element (m, n) at c[m * c_row + n].
    float *c;
    long c_row;
    const float *_Nullable bias;
    int accumulate, relu;
    /// Memory that the caller will touch next and that is brought to the second-level cache meanwhile: a product leaves
    /// the way to memory idle.
    ck_ahead ahead[2];
} ck_product;

/// Pictures [N, height, width, channels] cut into 4x4 tiles (numbered over all pictures), and rows of transformed tiles:
/// tile t's value at point i of 36 lies at planes[i * plane + t * row + channel].
typedef struct ck_tiles {
    long height, width, channels;
    long tiles_high, tiles_wide;
    /// Zeros above and left of an input picture.
    long padding;
    long plane, row;
} ck_tiles;

/// Functions of `map`: a·x + b; x within a ... b; a / x; a · ln x; exp(a · x).
enum { CK_MAP_AFFINE, CK_MAP_CLIP, CK_MAP_RECIPROCAL, CK_MAP_LOGARITHM, CK_MAP_EXPONENTIAL };

/// Sums of `masked_sums`.
enum { CK_MASKED_SUMS = 7 };

/// What a selection finds outside the row: nothing, the last pixel, or the row mirrored without its last pixel.
enum { CK_BORDER_ZERO, CK_BORDER_EDGE, CK_BORDER_REFLECT };

/// Rows of pictures, numbered over all of them: row r lies (r - first) rows behind the base; in a ring, which starts
/// anew after `ring` rows (0: none), that modulo `ring`.
typedef struct ck_rows {
    const float *base;
    long first, ring;
} ck_rows;

typedef struct ck_kernels {
    // Elementwise (outputs may be the inputs themselves, never partly overlap them)
    void (*relu)(const float *x, float *y, long n);
    void (*relu_gradient)(const float *y, const float *dy, float *dx, long n);
    void (*add)(float *y, const float *x, long n);
    void (*scale)(float *y, float factor, long n);
    void (*fill)(float *y, float value, long n);
    void (*linear_combination)(const float *const _Nonnull *_Nonnull x, const float *factors, long terms, float *y,
                               long begin, long n);
    void (*dropout)(const float *x, float *y, uint64_t key, uint32_t begin, long n, uint32_t threshold, float factor);
    void (*copy_channels)(const float *x, long x_stride, float *y, long y_stride, long rows, long channels,
                          int accumulate);
    double (*absolute_difference_sum)(const float *a, const float *b, long n);
    void (*absolute_difference_gradient)(const float *a, const float *b, float factor, float *da, float *_Nullable db,
                                         long n);
    // Sigmoid and losses of masks
    void (*sigmoid)(const float *x, float *y, long n);
    /// dx = dy y (1 - y) of the output y.
    void (*sigmoid_gradient)(const float *y, const float *dy, float *dx, long n);
    /// Sum of the cross-entropies of sigmoid(x) with t in 0 ... 1.
    double (*cross_entropy_sum)(const float *x, const float *t, long n);
    /// dx = factor (sigmoid(x) - t)
    void (*cross_entropy_gradient)(const float *x, const float *t, float factor, float *dx, long n);
    double (*squared_difference_sum)(const float *a, const float *b, long n);
    /// y = factor (a - b)
    void (*scaled_difference)(const float *a, const float *b, float factor, float *y, long n);
    /// Sums of p y, p and y.
    void (*overlap_sums)(const float *p, const float *y, long n, double *sums);
    /// y = factor x + offset
    void (*scale_offset)(const float *x, float factor, float offset, float *y, long n);
    // Rows: the last axis
    void (*softmax)(const float *x, float *y, long rows, long levels);
    void (*softmax_gradient)(const float *y, const float *dy, float *dx, long rows, long levels);
    /// The gradient through softmax y of dy[row][k] + dot[row] * factors[k]; dy is overwritten.
    void (*softmax_dot_gradient)(const float *y, float *dy, const float *dot, const float *factors, float *dx,
                                 long rows, long levels);
    void (*channel_dot)(const float *x, const float *factors, float *y, long rows, long levels);
    void (*channel_dot_gradient)(const float *dy, const float *factors, float *dx, long rows, long levels);
    // Depthwise convolution, stride 1, same padding; rows are numbered over all pictures. y may be a strip: its
    // first row is row y_row. Rows that lie outside a picture are never read.
    void (*depthwise)(const ck_rows *x, const float *w, float *y, long y_row, long row_begin, long row_end,
                      long height, long width, long channels, long kernel_height, long kernel_width, int flipped);
    void (*depthwise_weight_gradient)(const ck_rows *x, const ck_rows *dy, double *sums,
                                      long row_begin, long row_end, long height, long width, long channels,
                                      long kernel_height, long kernel_width);
    // Batch normalisation; sums holds 2 * channels
    void (*norm_sums)(const float *x, const float *origin, long rows, long channels, double *sums);
    void (*norm_apply)(const float *x, float *y, long rows, long channels, const float *mean, const float *variance,
                       const float *gain, const float *bias, float epsilon);
    void (*norm_gradient_sums)(const float *x, const float *dy, const float *mean, long rows, long channels,
                               double *sums);
    void (*norm_gradient_apply)(const float *x, const float *dy, float *dx, long rows, long channels,
                                const float *mean, const float *variance, const float *gain, float epsilon,
                                const double *_Nullable sums, long total_rows);
    // Maximum pooling; rows are output rows (forward) or input rows (gradient) over all pictures; padding < window
    void (*max_pool)(const float *x, float *y, long row_begin, long row_end, long height, long width, long channels,
                     long window, long stride, long padding);
    void (*max_pool_gradient)(const float *x, const float *dy, float *dx, long row_begin, long row_end, long height,
                              long width, long channels, long window, long stride, long padding);
    // Selection; rows are picture rows over all pictures
    void (*selection)(const float *image, const float *p, float *y, long rows, long width, long channels, long levels,
                      long first, long step, int border);
    void (*selection_probability_gradient)(const float *image, const float *dy, float *dp, long rows, long width,
                                           long channels, long levels, long first, long step, int border);
    void (*selection_image_gradient)(const float *p, const float *dy, float *di, long rows, long width, long channels,
                                     long levels, long first, long step, int border);
    // Smoothness, one picture row (or rows) at a time
    float (*gray_rows)(const float *image, float *gray, long pixels, long channels);
    void (*divide)(float *y, float divisor, long n);
    double (*smoothness_row)(const float *d, const float *gray, long width);
    void (*smoothness_weight_row)(const float *d, const float *gray, float *t, float factor, long width);
    void (*smoothness_gradient_row)(const float *d, const float *t, float *dd, long width);
    // Flat spans
    double (*squared_norm)(const float *x, long n);
    /// 64 bits of the bits of x: any one changed bit changes them, and so do (nearly always) any other change or exchange.
    /// No protection against intent.
    uint64_t (*checksum)(const float *x, long n);
    void (*clamp)(float *x, float limit, long n);
    long (*count_non_finite)(const float *x, long n);
    void (*sgd)(float *p, const float *g, float *_Nullable momentum, long n, const ck_sgd *step);
    void (*adam)(float *p, const float *g, float *m, float *v, float *_Nullable v_max, long n, const ck_adam *step);
    // exp(x) for tests of the softmax's own exponential
    void (*exponential)(const float *x, float *y, long n);
    /// dz = gradient before a ReLU whose output y was normalised by its batch statistics, from the gradient dy of the
    /// normalised value: (dy - bias_gradient/R - (y - mean)·gain_gradient/(R·deviation))·gain/deviation where y > 0, 0
    /// elsewhere; deviation = sqrt(variance + epsilon), R = total_rows. `relu` 0: everywhere. dz may be dy.
    void (*norm_relu_gradient)(const float *y, const float *dy, float *dz, long rows, long channels, const float *mean,
                               const float *variance, const float *gain, const float *gain_gradient,
                               const float *bias_gradient, float epsilon, long total_rows, int relu);
    /// y = factor · mask · normalised x (x itself where mean is null); pixels x_stride and y_stride floats apart. Element
    /// (pixel, c) of the mask has the number begin + pixel * element_stride + c and is kept where its hash reaches
    /// `threshold` (0: all are).
    void (*normalize_dropout)(const float *x, long x_stride, float *y, long y_stride, long pixels, long channels,
                              const float *_Nullable mean, const float *_Nullable variance,
                              const float *_Nullable gain, const float *_Nullable bias, float epsilon, uint64_t key,
                              uint32_t begin, uint32_t element_stride, uint32_t threshold, float factor);
    /// sums[c] += sum of x[row][c]: float32 over at most 64 rows, float64 beyond
    void (*column_sums)(const float *x, long rows, long channels, double *sums);
    // Matrix products in cache. Here alone the levels differ: without fused multiply-add, products are rounded.
    void (*product)(const ck_product *p);
    /// Columns [begin, end), begin a multiple of CK_PANEL, of B (element (k, n) at b[k * b_row + n * b_column]) into
    /// panels (room for depth * columns rounded up to CK_PANEL).
    void (*pack_panels)(const float *b, long b_row, long b_column, long depth, long begin, long end, float *panels);
    // Fully connected layers of few samples; weights w[rows][columns], rows w_row floats apart
    /// y[samples][columns] (+)= x[samples][depth] · w[depth][columns]
    void (*linear_rows)(const float *x, long x_row, const float *w, long w_row, long samples, long depth, long columns,
                        float *y, long y_row, int accumulate);
    /// y[n] = sum of `count` parts that lie `stride` floats apart, in order, plus bias, then ReLU
    void (*linear_sum)(const float *parts, long count, long stride, const float *_Nullable bias, int relu, float *y,
                       long n);
    /// dy[samples][columns] -> blocks[columns / 16, rounded up][samples][16]
    void (*linear_blocks)(const float *dy, long dy_row, long samples, long columns, float *blocks);
    /// dx[samples][rows] = dy · transposed w, dy in blocks
    void (*linear_dots)(const float *blocks, const float *w, long w_row, long samples, long rows, long columns, float *dx,
                        long dx_row);
    /// w[rows][columns] = transposed x · dy; `past` the caches where whole lines allow it
    void (*linear_outer)(const float *x, long x_row, const float *dy, long dy_row, long samples, long rows, long columns,
                         float *w, long w_row, int past);
    // Winograd F(4x4, 3x3) of tiles [start, end); tile `start` goes to row 0. `zeros`: as many as channels.
    /// 6x6 input tiles -> 36 planes
    void (*winograd_input)(const ck_tiles *tiles, const float *image, const float *zeros, long start, long end,
                           float *planes);
    /// 36 planes -> 4x4 output tiles, plus bias, then ReLU
    void (*winograd_output)(const ck_tiles *tiles, const float *planes, const float *_Nullable bias, int relu,
                            long start, long end, float *image);
    /// 4x4 tiles of the output gradient -> 36 planes
    void (*winograd_output_gradient)(const ck_tiles *tiles, const float *image, const float *zeros, long start,
                                     long end, float *planes);
    /// Rows [row_begin, row_end) of weights[9][rows][columns] -> 36 packed matrices (see pack_panels); `turned` by half a
    /// turn: tap k is 8 - k
    void (*winograd_weights)(const float *weights, long rows, long columns, int turned, long row_begin, long row_end,
                             float *planes);
    /// parts[part_count][36][count], added in order, -> gradient[9][count], elements [begin, end)
    void (*winograd_weight_gradient)(const float *parts, long part_count, long count, long begin, long end,
                                     float *gradient);
    // Averages of window x window blocks; rows are those of y (dx) over all pictures
    void (*average_pool)(const float *x, float *y, long row_begin, long row_end, long out_width, long channels,
                         long window);
    void (*average_pool_gradient)(const float *dy, float *dx, long row_begin, long row_end, long out_width,
                                  long channels, long window);
    /// max(x, slope · x) for slopes in 0 ... 1; the gradient from the output y
    void (*leaky_relu)(const float *x, float *y, float slope, long n);
    void (*leaky_relu_gradient)(const float *y, const float *dy, float *dx, float slope, long n);
    /// y = f(x) and dx = dy · f'(x); `kind` is one of CK_MAP_…
    void (*map)(int kind, const float *x, float *y, float a, float b, long n);
    void (*map_gradient)(int kind, const float *x, const float *dy, float *dx, float a, float b, long n);
    /// A row of pixels: y[o] between x[from[o]] and x[next[o]]; the transpose from lists of output columns
    void (*resize_row)(const float *x, float *y, const int32_t *from, const int32_t *next, const float *weight,
                       long out_width, long channels);
    void (*resize_row_gradient)(const float *dy, float *dx, const int32_t *starts, const int32_t *columns,
                                const float *weights, long width, long channels);
    /// x · (bias + scale · Σ x²)^(−¾) over neighbouring channels; scratch: channels + 2 · radius floats (gradient: twice)
    void (*response_norm)(const float *x, float *y, long rows, long channels, long radius, float bias, float scale,
                          float *scratch);
    void (*response_norm_gradient)(const float *x, const float *dy, float *dx, long rows, long channels, long radius,
                                   float bias, float scale, float *scratch);
    // Losses against targets t where NaN means unknown
    /// Adds number, Σ|d|, Σd, Σd², Σpt, Σp², Σt² of the known to `sums`, d = p − t
    void (*masked_sums)(const float *p, const float *t, long n, double *sums);
    /// dp = factors · (sign d, d, 1, p, t) where known, else 0
    void (*masked_gradient)(const float *p, const float *t, float *dp, long n, const float *factors);
    /// Adds the number of known pixels and Σ |differences of d between neighbours| of a row and the next one
    void (*edge_difference_row)(const float *p, const float *t, const float *_Nullable next_p,
                                const float *_Nullable next_t, long width, double *sums);
    void (*edge_difference_gradient_row)(const float *p, const float *t, float *dp, long y, long height, long width,
                                         float factor);
    // Structural similarity: 6 blurred planes a row, then windows, then the gradient (body_similarity.inc)
    void (*similarity_blur_row)(const float *p, const float *t, long width, const double *window, double *planes,
                                long plane);
    void (*similarity_row)(const double *planes, long plane, long width, const double *window, double c1, double c2,
                           double *sums, double *_Nullable terms, long term_plane);
    void (*similarity_gradient_row)(const float *p, const float *t, float *dp, long y, long height, long width,
                                    const double *window, const double *terms, long term_plane, double factor,
                                    double *scratch);
    // Edges of a picture: Σ q·e, Σ q, Σ e, and the gradient of by_edge · Σ q·e + by_all · Σ q
    void (*edge_score)(const float *p, const float *t, long height, long width, double threshold, double sharpness,
                       double *sums);
    void (*edge_score_gradient)(const float *p, const float *t, float *dp, long height, long width, double threshold,
                                double sharpness, double by_edge, double by_all, double *scratch);
    // Normalisation and ReLU of channels of a wider picture, whose pixels are `wide` floats apart (body_norm_relu.inc)
    void (*norm_relu)(const float *x, float *y, long wide, long rows, long channels, const float *mean,
                      const float *variance, const float *gain, const float *bias, float epsilon);
    void (*norm_relu_sums)(const float *x, const float *dy, long wide, long rows, long channels, const float *mean,
                           const float *variance, const float *gain, const float *bias, float epsilon, double *sums,
                           double *products);
    void (*norm_relu_input_gradient)(const float *x, const float *dy, long wide, float *dx, long rows, long channels,
                                     const float *mean, const float *variance, const float *gain, const float *bias,
                                     float epsilon, const double *sums, const double *products, long total_rows);
    // Losses between two views (body_stereo.inc); weights are one a pixel, or null for 1
    double (*weighted_difference_sum)(const float *a, const float *b, const float *_Nullable w, long pixels, long channels);
    void (*weighted_difference_gradient)(const float *a, const float *b, const float *_Nullable w, float factor, float *da,
                                         long pixels, long channels);
    double (*weighted_sum)(const float *x, const float *_Nullable w, long pixels, long channels);
    // SSIM of 3x3 windows: reads a row and its neighbours; n floats a row; coefficient planes are wider by a pixel each side
    void (*box_dissimilarity_row)(const float *a, const float *b, float *y, long n, long channels, float c1, float c2);
    void (*box_coefficient_row)(const float *a, const float *b, const float *_Nullable w, float factor, float *p, float *q,
                                float *r, long n, long channels, float c1, float c2);
    void (*box_gradient_row)(const float *a, const float *b, const float *p, const float *q, const float *r, float *da,
                             long n, long channels);
    void (*coverage_row)(const float *d, float *y, long width, float sign);
    double (*consistency_row)(const float *own, const float *other, const float *_Nullable w, long width, float sign);
    void (*consistency_gradient_row)(const float *own, const float *other, const float *_Nullable w, float factor,
                                     float *down, float *dother, long width, float sign);
    void (*peak_dot)(const float *p, const float *c, float *y, long pixels, long levels, long radius);
    void (*peak_dot_gradient)(const float *p, const float *c, const float *dy, float *dp, long pixels, long levels,
                              long radius);
} ck_kernels;

/// The table of a level, or null if this processor (or build) cannot run it.
const ck_kernels *_Nullable ck_kernels_for(int level);

/// How products of bfloat16 operands (rounded to nearest even, float32 sums) are computed: rounded copies for the float32
/// kernels, pairs (AVX512-BF16), or tiles (AMX). Bits differ between them.
enum { CK_BF16_ROUNDED = 0, CK_BF16_PAIRS = 1, CK_BF16_TILES = 2 };

/// The fastest way that processor and system allow at a level. Asks Linux for the tile registers: call it before other
/// threads start.
int ck_bf16_best(int level);
void ck_product_bf16(int way, const ck_kernels *kernels, const ck_product *p);

// The same at every level: few numbers, plain double arithmetic in index order.

/// output[i] = sum over chunks of partials[chunk * count + i].
void ck_combine(const double *partials, long chunks, long count, float *output);
/// Mean and population variance from partial sums of x - origin and its square ([chunks, 2, channels]).
void ck_norm_combine(const double *partials, const float *origin, long chunks, long channels, long rows, float *mean,
                     float *variance);
/// One chunk's sums of x - origin and its square, over `rows` rows, become its mean and its sum of squared deviations:
/// `moments` holds 2 * channels, and the rows behind them.
void ck_moments(double *moments, const float *origin, long channels, long rows);
/// Mean and population variance from the moments of chunks ([chunks, 2 * channels + 1]), which are added up in place.
/// **Source:** T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
/// variances", 1979.
void ck_moments_combine(double *moments, long chunks, long channels, float *mean, float *variance);
/// Adds the partial sums of dy and dy·(x - mean) up in place (into chunk 0) and derives the gradients of gain and bias.
void ck_norm_gradient_combine(double *partials, long chunks, long channels, const float *variance, float epsilon,
                              float *gain_gradient, float *bias_gradient);

#pragma clang assume_nonnull end
