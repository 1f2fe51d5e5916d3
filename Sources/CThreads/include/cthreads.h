#pragma once
/// Tells the processor that this thread spins. (No Swift spelling exists.)
static inline void cthreads_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/// Names the calling thread for debuggers and `ps -L`; at most 15 bytes. (glibc declares the call only under _GNU_SOURCE.)
void cthreads_set_name(const char *name);

/// Calls the Swift closure `(Int, Int) -> Void` whose two words these are.
void cthreads_call_chunk(const void *function, const void *context, long chunk, long worker);
