// x86-64 with AVX-512, 512-bit registers (features by hand: the "x86-64-v4" target prefers 256 bits).
#if defined(__x86_64__)
#include "levels.h"
#pragma clang diagnostic ignored "-Wpsabi"  // wide vectors only pass between inlined functions
#define CK_LANES 16
#define CK_TABLE ck_kernels_avx512
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))), apply_to = function)
#include "bodies.inc"
#pragma clang attribute pop
#endif
