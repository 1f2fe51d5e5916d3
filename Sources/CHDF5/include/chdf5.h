#pragma once
// The few calls of libhdf5 that reading an array takes. The library is opened at run time (dlopen), never linked: only
// one data set needs it, its development package brings TLS, HTTP and Fortran along, and it is 4 MB of parser that no
// other user should have to trust. Types and constants are those of HDF5's binary interface since 1.10 (64-bit handles),
// which is checked. Not thread-safe: the caller lets one thread in at a time.

#include <stddef.h>
#include <stdint.h>

#define CHDF5_MESSAGE_SIZE 160
#define CHDF5_MAXIMUM_RANK 8

enum { CHDF5_UINT8 = 0, CHDF5_FLOAT32 = 1, CHDF5_OTHER = 2 };

typedef struct {
    int32_t rank;
    /// Slowest first.
    uint64_t sides[CHDF5_MAXIMUM_RANK];
    /// What is stored: CHDF5_UINT8, CHDF5_FLOAT32 or CHDF5_OTHER.
    int32_t type;
} chdf5_shape;

/// Finds the library. 0 on success, also when called again; -1 with a message.
int chdf5_load(char *message);

/// A handle ≥ 0, or -1 with a message.
int64_t chdf5_open(const char *path, char *message);
void chdf5_close(int64_t file);

/// 0 on success, -1 with a message.
int chdf5_get_shape(int64_t file, const char *name, chdf5_shape *shape, char *message);

/// Reads entry `index` of the first side, `count` elements of `type`, into `target`. The caller has checked that `count`
/// is the product of the other sides. 0 on success, -1 with a message.
int chdf5_read(int64_t file, const char *name, uint64_t index, int32_t type, size_t count, void *target, char *message);
