#pragma once
#include <stddef.h>

// What a core and its memory can do at most: loops that do nothing else. For measurements only.

/// The loops of one instruction level; levels are numbered as those of `ck_kernels_for`.
struct peak_kernels {
    /// Float32 multiply-adds on registers alone, many independent chains of them. Returns how many operations that were
    /// (a multiply-add counts as two). `sink` receives a value that depends on all of them.
    double (*multiply_add)(long rounds, float *sink);
    /// Sum of `count` floats, a multiple of 256 and on a 64-byte line like all arrays here.
    float (*read)(const float *x, size_t count);
    /// y = x, past the caches.
    void (*copy)(const float *x, float *y, size_t count);
    /// z = x + factor * y, past the caches.
    void (*triad)(const float *x, const float *y, float factor, float *z, size_t count);
};

/// Null for a level that this processor or build lacks.
const struct peak_kernels *peak_kernels_for(int level);
