#define _GNU_SOURCE
#include "patches.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define PATCHES_NAME_(name, suffix) name##_##suffix
#define PATCHES_NAME(name, suffix) PATCHES_NAME_(name, suffix)

#define LEVEL baseline
#define LANES 4
#include "patches_body.h"
#undef LEVEL
#undef LANES

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define LEVEL avx2
#define LANES 8
#include "patches_body.h"
#undef LEVEL
#undef LANES
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#define LEVEL avx512
#define LANES 16
#include "patches_body.h"
#undef LEVEL
#undef LANES
#pragma clang attribute pop
#endif

const struct patches_kernels *patches_kernels(int level) {
#if defined(__x86_64__)
    if (level == 2) return &table_avx512;
    if (level == 1) return &table_avx2;
#endif
    (void)level;
    return &table_baseline;
}

int patches_processor_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
    return 0;
}

int patches_allowed_processors(void) {
    // The fixed cpu_set_t ends at 1024 processors; the kernel refuses a mask that is shorter than its own.
    for (int processors = 1024; processors <= 1 << 16; processors *= 4) {
        cpu_set_t *mask = CPU_ALLOC(processors);
        if (!mask) return 0;
        size_t size = CPU_ALLOC_SIZE(processors);
        CPU_ZERO_S(size, mask);
        int count = sched_getaffinity(0, size, mask) == 0 ? CPU_COUNT_S(size, mask) : 0;
        CPU_FREE(mask);
        if (count > 0) return count;
    }
    return 0;
}
