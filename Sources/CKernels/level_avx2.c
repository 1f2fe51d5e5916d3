// x86-64 with AVX2.
#if defined(__x86_64__)
#include "levels.h"
#pragma clang diagnostic ignored "-Wpsabi"  // wide vectors only pass between inlined functions
#define CK_LANES 8
#define CK_TABLE ck_kernels_avx2
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "bodies.inc"
#pragma clang attribute pop
#endif
