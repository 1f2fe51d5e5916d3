#pragma once
#include <xxhash.h>

#if defined(__x86_64__)
// The library's own choice of AVX2 or AVX-512, which is twice as fast; some distributions build it without.
extern XXH64_hash_t XXH3_64bits_withSeed_dispatch(const void *input, size_t length, XXH64_hash_t seed)
    __attribute__((weak));
#endif

/// XXH3_64bits_withSeed, as fast as the library has it. The same value either way.
static inline XXH64_hash_t cxxhash_xxh3_64(const void *input, size_t length, XXH64_hash_t seed) {
#if defined(__x86_64__)
    if (XXH3_64bits_withSeed_dispatch && __builtin_cpu_supports("avx")) {
        const XXH64_hash_t hash = XXH3_64bits_withSeed_dispatch(input, length, seed);
        // It leaves the upper halves of the vector registers in use (0.8.1), which makes SSE code, such as libm's,
        // several times slower from there on.
        __asm__ volatile("vzeroupper" ::: "memory");
        return hash;
    }
#endif
    return XXH3_64bits_withSeed(input, length, seed);
}
