#pragma once
// PNG through libpng's classic interface. Swift cannot call it: libpng reports errors by longjmp, which must not cross
// Swift frames, so setjmp lives here and callers get a return code and a message.
//
// No colour management: gAMA, sRGB, iCCP and every other ancillary chunk are skipped unread, because a gamma conversion
// would falsify disparities. (libpng's simplified interface converts, and cannot be told not to.)

#include <stddef.h>
#include <stdint.h>

/// Size of the `message` that every function fills on failure (always terminated).
#define CIMAGES_MESSAGE_SIZE 160

typedef struct {
    uint32_t height;
    uint32_t width;
    /// After decoding: 1 (gray, gray with alpha) or 3 (RGB, RGBA, palette).
    int32_t channels;
    /// After decoding: 8 (1, 2, 4 and 8 bits in the file) or 16.
    int32_t bits;
    /// Uncompressed size of the pixels as they are in the file: what the compressed bytes must be able to yield.
    uint64_t raw_byte_count;
} cimages_png_header;

/// Reads the signature and the IHDR chunk. 0 on success, -1 with a message otherwise.
int cimages_png_read_header(const uint8_t *bytes, size_t count, cimages_png_header *header, char *message);

/// Decodes the whole file into `pixels`: rows top to bottom, channels interleaved, 16-bit samples in native byte order.
/// `pixels_size` must be height * width * channels * bits / 8 of the header. 0 on success, -1 with a message otherwise;
/// a missing end or a wrong checksum is a failure.
int cimages_png_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t pixels_size, char *message);

/// Encodes pixels (1 or 3 channels, 8 or 16 bits, native byte order) into a buffer that the caller must free with
/// `cimages_free`. 0 on success, -1 with a message otherwise.
int cimages_png_encode(
    const uint8_t *pixels, uint32_t height, uint32_t width, int32_t channels, int32_t bits, uint8_t **encoded,
    size_t *encoded_size, char *message);

void cimages_free(uint8_t *bytes);

/// Undoes zlib's compression (MATLAB 5 files): writes at most `capacity` bytes into `target`. Returns how many, or -1 if
/// the bytes are damaged or hold more.
int64_t cimages_inflate(const uint8_t *bytes, size_t count, uint8_t *target, size_t capacity);
