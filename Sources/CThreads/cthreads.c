#define _GNU_SOURCE
#include "cthreads.h"
#include <pthread.h>

void cthreads_set_name(const char *name) { pthread_setname_np(pthread_self(), name); }

// A Swift function value is two words, code and context. A closure that does not escape lives on its caller's stack, and
// Swift has no way to let other threads call it during the call but a heap box (withoutActuallyEscaping). The two words
// are passed like two pointers in Swift's calling convention, which clang knows (swiftcall), so C can lend them out.
// Swift declares this function by name (ForkJoinPool.swift); it is not in the header, because C cannot write the closure's
// type.
typedef void (*lent_closure)(const void *function, const void *context, void *pool, long chunk_count);

__attribute__((swiftcall)) void cthreads_lend_closure(const void *function, const void *context, void *pool,
                                                      long chunk_count, lent_closure run) {
    run(function, context, pool, chunk_count);
}

typedef __attribute__((swiftcall)) void (*chunk_function)(long chunk, long worker,
                                                          __attribute__((swift_context)) const void *context);

void cthreads_call_chunk(const void *function, const void *context, long chunk, long worker) {
    ((chunk_function)function)(chunk, worker, context);
}
