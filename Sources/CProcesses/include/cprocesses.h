#pragma once
/// Starts a program in a process group of its own, with these descriptors as standard input, output and error, default
/// signal handling and an empty signal mask. (Swift cannot call fork, and posix_spawn has no parent-death signal.)
///
/// `death_signal` is what the system sends the program when the calling THREAD ends, however it ends; 0 for none.
/// Returns the process, or the negative error number of what failed, exec included.
int cprocesses_spawn(const char *path, char *const argv[], char *const envp[], int input, int output, int error,
                     int death_signal);

/// Makes the calling process the parent of its descendants that lose theirs, so that none can get out of sight.
/// Returns 0, or an error number. (prctl takes variable arguments, which Swift does not import.)
int cprocesses_adopt_orphans(void);

/// A pipe whose ends no program inherits that another thread starts meanwhile, with room for `byte_count` bytes where the
/// system grants it. Returns 0, or an error number. (Swift imports neither pipe2 nor F_SETPIPE_SZ.)
int cprocesses_pipe(int ends[2], int byte_count);
