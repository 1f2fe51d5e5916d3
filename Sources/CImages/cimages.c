#include "cimages.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

// Sides beyond this are refused by libpng itself; the limit on samples is the caller's, before it allocates.
#define SIDE_LIMIT (1u << 20)

static void keep_message(png_structp png, png_const_charp text) {
    char *message = png_get_error_ptr(png);
    snprintf(message, CIMAGES_MESSAGE_SIZE, "%s", text);
    png_longjmp(png, 1);
}

// Warnings are about colour profiles and other things that are not used here. Damage to pixels is an error.
static void ignore_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

typedef struct {
    const uint8_t *bytes;
    size_t remaining;
} source;

static void take(png_structp png, png_bytep target, size_t count) {
    source *from = png_get_io_ptr(png);
    if (count > from->remaining) png_error(png, "the file ends too early");
    memcpy(target, from->bytes, count);
    from->bytes += count;
    from->remaining -= count;
}

static png_structp reader(source *from, png_infop *info, char *message) {
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, message, keep_message, ignore_warning);
    if (!png) {
        snprintf(message, CIMAGES_MESSAGE_SIZE, "libpng of another version, or no memory");
        return NULL;
    }
    *info = png_create_info_struct(png);
    if (!*info) {
        png_destroy_read_struct(&png, NULL, NULL);
        snprintf(message, CIMAGES_MESSAGE_SIZE, "no memory");
        return NULL;
    }
    png_set_read_fn(png, from, take);
    png_set_user_limits(png, SIDE_LIMIT, SIDE_LIMIT);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // -1: all known ancillary chunks except tRNS. Text and profiles of strangers are never inflated.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    return png;
}

int cimages_png_read_header(const uint8_t *bytes, size_t count, cimages_png_header *header, char *message) {
    message[0] = 0;
    memset(header, 0, sizeof *header);
    // Signature, then the IHDR chunk: length, name, 13 bytes, checksum. Only libpng's checks count; this is its input.
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10};
    if (count < 33 || memcmp(bytes, signature, 8) != 0 || memcmp(bytes + 12, "IHDR", 4) != 0) {
        snprintf(message, CIMAGES_MESSAGE_SIZE, "the file ends inside the header");
        if (count >= 33) snprintf(message, CIMAGES_MESSAGE_SIZE, "no PNG header");
        return -1;
    }
    const uint8_t *ihdr = bytes + 16;
    uint32_t width = (uint32_t)ihdr[0] << 24 | (uint32_t)ihdr[1] << 16 | (uint32_t)ihdr[2] << 8 | ihdr[3];
    uint32_t height = (uint32_t)ihdr[4] << 24 | (uint32_t)ihdr[5] << 16 | (uint32_t)ihdr[6] << 8 | ihdr[7];
    int bits = ihdr[8], type = ihdr[9];
    int samples;
    switch (type) {
    case PNG_COLOR_TYPE_GRAY: samples = 1; break;
    case PNG_COLOR_TYPE_PALETTE: samples = 1; break;
    case PNG_COLOR_TYPE_GRAY_ALPHA: samples = 2; break;
    case PNG_COLOR_TYPE_RGB: samples = 3; break;
    case PNG_COLOR_TYPE_RGB_ALPHA: samples = 4; break;
    default: snprintf(message, CIMAGES_MESSAGE_SIZE, "unknown colour type %d", type); return -1;
    }
    if (width == 0 || height == 0 || width > SIDE_LIMIT || height > SIDE_LIMIT) {
        snprintf(
            message, CIMAGES_MESSAGE_SIZE, "%ux%u pixels are not between 1x1 and %ux%u", width, height, SIDE_LIMIT,
            SIDE_LIMIT);
        return -1;
    }
    if (bits != 1 && bits != 2 && bits != 4 && bits != 8 && bits != 16) {
        snprintf(message, CIMAGES_MESSAGE_SIZE, "%d bits per sample", bits);
        return -1;
    }
    header->width = width;
    header->height = height;
    header->channels = type & PNG_COLOR_MASK_COLOR ? 3 : 1;
    header->bits = bits == 16 ? 16 : 8;
    header->raw_byte_count = (((uint64_t)width * samples * bits + 7) / 8) * height;
    return 0;
}

int cimages_png_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t pixels_size, char *message) {
    message[0] = 0;
    source from = {bytes, count};
    png_infop info = NULL;
    png_structp png = reader(&from, &info, message);
    if (!png) return -1;
    // Changed between setjmp and longjmp, so volatile.
    png_bytep *volatile rows = NULL;
    if (setjmp(png_jmpbuf(png))) {
        free(rows);
        png_destroy_read_struct(&png, &info, NULL);
        return -1;
    }
    png_read_info(png, info);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_alpha(png);
    const uint16_t one = 1;
    if (png_get_bit_depth(png, info) == 16 && *(const uint8_t *)&one == 1) png_set_swap(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    uint32_t height = png_get_image_height(png, info);
    size_t row_size = png_get_rowbytes(png, info);
    if ((uint64_t)height * row_size != pixels_size) png_error(png, "the header does not fit the pixels");
    rows = malloc((size_t)height * sizeof *rows);
    if (!rows) png_error(png, "no memory");
    for (uint32_t y = 0; y < height; y++) rows[y] = pixels + (size_t)y * row_size;
    png_read_image(png, rows);
    png_read_end(png, NULL);
    free(rows);
    png_destroy_read_struct(&png, &info, NULL);
    return 0;
}

typedef struct {
    uint8_t *bytes;
    size_t count, capacity;
} sink;

static void append(png_structp png, png_bytep bytes, size_t count) {
    sink *to = png_get_io_ptr(png);
    if (to->capacity - to->count < count) {
        size_t capacity = to->capacity * 2 + count;
        uint8_t *grown = realloc(to->bytes, capacity);
        if (!grown) png_error(png, "no memory");
        to->bytes = grown;
        to->capacity = capacity;
    }
    memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
}

static void flush(png_structp png) { (void)png; }

int cimages_png_encode(
    const uint8_t *pixels, uint32_t height, uint32_t width, int32_t channels, int32_t bits, uint8_t **encoded,
    size_t *encoded_size, char *message) {
    message[0] = 0;
    *encoded = NULL;
    *encoded_size = 0;
    // In memory, because libpng changes it after setjmp.
    sink to = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, message, keep_message, ignore_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        png_destroy_write_struct(&png, NULL);
        snprintf(message, CIMAGES_MESSAGE_SIZE, "libpng of another version, or no memory");
        return -1;
    }
    if (setjmp(png_jmpbuf(png))) {
        // `to` is reached through libpng: a copy in a register would be stale.
        sink *reached = png_get_io_ptr(png);
        if (reached) free(reached->bytes);
        png_destroy_write_struct(&png, &info);
        return -1;
    }
    png_set_write_fn(png, &to, append, flush);
    png_set_user_limits(png, SIDE_LIMIT, SIDE_LIMIT);
    int type = channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB;
    png_set_IHDR(
        png, info, width, height, bits, type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    const uint16_t one = 1;
    if (bits == 16 && *(const uint8_t *)&one == 1) png_set_swap(png);
    size_t row_size = (size_t)width * channels * (bits / 8);
    for (uint32_t y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * row_size);
    png_write_end(png, info);
    sink *reached = png_get_io_ptr(png);
    *encoded = reached->bytes;
    *encoded_size = reached->count;
    png_destroy_write_struct(&png, &info);
    return 0;
}

void cimages_free(uint8_t *bytes) { free(bytes); }

int64_t cimages_inflate(const uint8_t *bytes, size_t count, uint8_t *target, size_t capacity) {
    uLongf written = capacity;
    if (capacity > INT64_MAX || uncompress(target, &written, bytes, count) != Z_OK) return -1;
    return (int64_t)written;
}
