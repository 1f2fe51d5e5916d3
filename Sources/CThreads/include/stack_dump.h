#pragma once

// Stacks of all threads of this process, while it runs. (In C because what runs in a signal handler must not allocate, take
// locks or touch Swift's runtime, and because Swift has no way to send a signal to one thread.)

/// From now on SIGUSR2 asks for a dump. Another signal, SIGRTMIN + 6, is taken for asking threads. 0, or an error number.
int cthreads_stack_dump_install(void);

/// Asks for a dump; may be called in a signal handler.
void cthreads_stack_dump_request(void);

/// Returns when a dump has been asked for since the last call.
void cthreads_stack_dump_wait(void);

/// Writes name, state and backtrace of every thread but the calling one, each line after `prefix`. A thread that does not
/// answer in a fifth of a second is left out. For one thread at a time.
void cthreads_stack_dump_write(int descriptor, const char *prefix);
