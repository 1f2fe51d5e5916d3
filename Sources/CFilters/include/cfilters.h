// Reversible filters that make pictures and maps smaller under LZ4, and the conversion of pictures to float32.
//
// Every function is pure integer arithmetic modulo 2^bits (or one correctly rounded division), so that all
// instruction levels give the same bytes; no function allocates, locks or fails. Callers check sizes:
// height, width, channels >= 1 and height * width * channels * 4 < 2^62.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// Instruction levels of the filter bodies. Level 0 is what every CPU of the architecture has.
enum { CF_LEVEL_BASELINE = 0, CF_LEVEL_AVX2 = 1, CF_LEVEL_AVX512 = 2, CF_LEVEL_COUNT = 3 };

/// Changes of a picture's colours, in the order of the members; results of each are clipped to 0…1.
typedef struct cf_colour {
    /// mean + contrast * (value - mean).
    float contrast, mean;
    /// Factor on the distance from the pixel's gray (0.299, 0.587, 0.114).
    float saturation;
    /// What is added to the hue, sixths of the circle, -3 … 3.
    float turn;
    float gain[3];
    /// Channel k of the result is channel order[k].
    uint8_t order[3];
    /// Standard deviation, and the key of its random numbers. Value i takes part i / 16 % 4 of number i / 64 * 16 + i % 16.
    float noise;
    uint32_t noise_key;
} cf_colour;

/// Where the pixels of an enlarged or turned cut lie: pixel (y, x) has its centre at
/// (center_y + step_y * u + step_x * v, center_x + step_x * u - step_y * v), u = x + 0.5 - width / 2 (or mirrored),
/// v = y + 0.5 - height / 2; pixel i of the source covers i … i + 1.
typedef struct cf_window {
    double center_y, center_x, step_x, step_y;
    size_t source_height, source_width, height, width;
    int is_mirrored;
} cf_window;

/// Rows of bytes of 1 or 3 channels, `stride` bytes apart, turned round or not.
typedef struct cf_layout {
    size_t height, width, channels, stride;
    int is_mirrored;
} cf_layout;

typedef struct cf_table {
    /// residual planes [c][h][w] (zigzag, uint8) <- picture [h][w][c].
    void (*predict8)(const uint8_t *picture, size_t height, size_t width, size_t channels, uint8_t *residuals);
    /// Inverse of predict8. `residuals` must have CF_PADDING readable bytes before and behind it; `scratch` holds
    /// cf_scratch_bytes(width, channels).
    void (*unpredict8)(const uint8_t *residuals, size_t height, size_t width, size_t channels, uint8_t *picture,
                       uint8_t *scratch);
    /// Bit planes: output byte i of plane p holds bit p of bytes 8i … 8i+7 (first byte = lowest bit); planes 7 … 0 in
    /// that order, each (count + 7) / 8 bytes.
    void (*split_bits)(const uint8_t *bytes, size_t count, uint8_t *planes);
    void (*join_bits)(const uint8_t *planes, size_t count, uint8_t *bytes);
    /// float32 0…1 [h][w][3] <- uint8 / uint16 picture [h][w][channels], channels 1 (repeated) or 3;
    /// value / 255 or value / 65535, correctly rounded.
    void (*expand8)(const uint8_t *picture, size_t pixels, size_t channels, float *out);
    void (*expand16)(const uint16_t *picture, size_t pixels, size_t channels, float *out);
    /// As expand8 with 3 channels, each row from right to left. `row` holds 3 * width + 16 bytes.
    void (*expand8_mirrored)(const uint8_t *picture, size_t height, size_t width, float *out, uint8_t *row);
    /// float32 0…1 [height][width][3] <- uint8: channel k of value v becomes table[256 * k + v], or v / 255 without a
    /// table; then `change` (without contrast; it may be NULL). `scratch` holds cf_picture_scratch(width) floats.
    void (*picture8)(const uint8_t *picture, const cf_layout *layout, const float *table, const cf_colour *change,
                     float *out, float *scratch);
    /// Mean of the pixels' grays, of values as picture8 finds them in the table (0…1).
    double (*gray8)(const uint8_t *picture, const cf_layout *layout, const float *table);
    /// Sum of the pixels' grays.
    double (*gray_sum)(const float *values, size_t pixels);
    /// Changes [pixels][3] floats in 0…1 in place; pixels < 2^30.
    void (*colour)(const cf_colour *change, float *values, size_t pixels);
    /// float32 0…1 [height][width][3] <- uint8 [source_height][source_width][3], bilinear, borders repeated. Values are
    /// those of `table` (as picture8's), or v / 255 if it is NULL. `scratch` holds
    /// cf_window_scratch(source_width, width) floats.
    void (*window8)(const uint8_t *picture, const cf_window *window, const float *table, float *out, float *scratch);
} cf_table;

/// Bytes that must be readable before and behind the residuals given to `unpredict8`.
#define CF_PADDING 64

/// Table of a level, or NULL where this CPU or architecture lacks it.
const cf_table *cf_filters(int level);
/// The highest level that this CPU has.
int cf_best_level(void);

size_t cf_scratch_bytes(size_t width, size_t channels);
static inline size_t cf_picture_scratch(size_t width) { return 3 * width + 48; }
static inline size_t cf_window_scratch(size_t source_width, size_t width) { return 3 * (source_width + width) + 4; }
/// Bytes of `count` bytes split into 8 bit planes.
static inline size_t cf_bit_plane_bytes(size_t count) { return (count + 7) / 8 * 8; }

// 16 and 32 bit elements: the same predictor, element by element. float32 goes through its bit pattern, folded so that
// the order of integers is the order of floats; NaN payloads survive because nothing but integers is touched.
void cf_predict16(const uint16_t *picture, size_t height, size_t width, size_t channels, uint16_t *residuals);
void cf_unpredict16(const uint16_t *residuals, size_t height, size_t width, size_t channels, uint16_t *picture);
void cf_predict32(const uint32_t *picture, size_t height, size_t width, size_t channels, uint32_t *residuals);
void cf_unpredict32(const uint32_t *residuals, size_t height, size_t width, size_t channels, uint32_t *picture);

// Byte planes: byte p of element i goes to planes[p * count + i]; most significant byte's plane first.
void cf_split_bytes(const uint8_t *elements, size_t count, size_t element_bytes, uint8_t *planes);
void cf_join_bytes(const uint8_t *planes, size_t count, size_t element_bytes, uint8_t *elements);

// Residuals [channels][plane] of `predict8`, rows of `width`, as a stream of bits of its own. Levels give the same bytes.

/// Bytes that a payload takes at most, and scratch memory of cf_uncode8.
size_t cf_coded_bound(size_t count, size_t channels);
size_t cf_coded_scratch_bytes(void);
/// The payload's bytes; `room` is cf_coded_bound(plane * channels, channels). `residuals` has CF_PADDING readable bytes
/// behind it.
size_t cf_code8(const uint8_t *residuals, size_t plane, size_t width, size_t channels, uint8_t *payload, size_t room);
/// Whether the payload is one of cf_code8. Reads and writes nothing else, whatever it holds; `residuals` has CF_PADDING
/// readable bytes behind it.
int cf_uncode8(int level, const uint8_t *payload, size_t count, size_t plane, size_t width, size_t channels,
               uint8_t *residuals, void *scratch);
