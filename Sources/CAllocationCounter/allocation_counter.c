#define _GNU_SOURCE
#include "allocation_counter.h"

#include <stddef.h>  // with any header of glibc, __GLIBC__ is known
#include <errno.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

#if defined(__GLIBC__) && !defined(HAS_SANITIZER)
#include <dlfcn.h>
#include <stdint.h>
#include <unistd.h>

// glibc's own functions, under the names that it keeps for this purpose.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
void __libc_free(void *pointer);

static int is_counting;
static long count;

static inline void note(void) {
    if (__atomic_load_n(&is_counting, __ATOMIC_RELAXED)) __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
}

long allocation_counter_read(void) {
    __atomic_store_n(&is_counting, 1, __ATOMIC_RELAXED);
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

void *malloc(size_t size) {
    note();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    note();
    return __libc_calloc(number, size);
}

void *realloc(void *pointer, size_t size) {
    note();
    return __libc_realloc(pointer, size);
}

void *memalign(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    note();
    if (alignment % sizeof(void *) || !alignment || (alignment & (alignment - 1))) return EINVAL;
    void *pointer = __libc_memalign(alignment, size);
    if (!pointer) return ENOMEM;
    *result = pointer;
    return 0;
}

void *valloc(size_t size) {
    note();
    return __libc_valloc(size);
}

void *pvalloc(size_t size) {
    note();
    return __libc_pvalloc(size);
}

// Not counted, but of the same family: with an allocator in LD_PRELOAD these two would otherwise be that one's, and be
// given memory that isn't.
void free(void *pointer) { __libc_free(pointer); }

size_t malloc_usable_size(void *pointer) {
    static size_t (*usable_size)(void *);
    size_t (*known)(void *) = __atomic_load_n(&usable_size, __ATOMIC_ACQUIRE);
    if (!known) {
        void *library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
        known = library ? (size_t(*)(void *))(uintptr_t)dlsym(library, "malloc_usable_size") : 0;
        if (!known) return 0;
        __atomic_store_n(&usable_size, known, __ATOMIC_RELEASE);
    }
    return known(pointer);
}

#else

long allocation_counter_read(void) { return -1; }

#endif
