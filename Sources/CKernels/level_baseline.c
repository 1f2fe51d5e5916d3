// The level every processor of the architecture has: SSE2 on x86-64, NEON on 64-bit ARM.
#include "levels.h"
#pragma clang diagnostic ignored "-Wpsabi"  // wide vectors only pass between inlined functions
#define CK_LANES 4
#define CK_TABLE ck_kernels_baseline
#include "bodies.inc"
