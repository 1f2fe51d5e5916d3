#define _GNU_SOURCE
#include "cprocesses.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int cprocesses_spawn(const char *path, char *const argv[], char *const envp[], int input, int output, int error,
                     int death_signal) {
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) return -errno;
    const pid_t parent = getpid();
    // No handler of ours may run in the child before exec.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t child = fork();
    if (child == 0) {
        // Only calls that are safe after fork in a process with threads.
        setpgid(0, 0);
        int failure = 0;
        if (death_signal != 0 && prctl(PR_SET_PDEATHSIG, death_signal) != 0) failure = errno;
        // The parent may have died before that.
        if (getppid() != parent) _exit(127);
        for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, 0);
        if (!failure && (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(error, 2) < 0)) failure = errno;
        if (!failure) {
            execve(path, argv, envp);
            failure = errno;
        }
        ssize_t written = write(report[1], &failure, sizeof failure);
        (void)written;
        _exit(127);
    }
    const int fork_failure = errno;
    pthread_sigmask(SIG_SETMASK, &before, 0);
    close(report[1]);
    if (child < 0) {
        close(report[0]);
        return -fork_failure;
    }
    int failure = 0;
    ssize_t got;
    do got = read(report[0], &failure, sizeof failure);
    while (got < 0 && errno == EINTR);
    close(report[0]);
    if (got == (ssize_t)sizeof failure) {
        while (waitpid(child, 0, 0) < 0 && errno == EINTR) {}
        return -failure;
    }
    return child;
}

int cprocesses_adopt_orphans(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 ? 0 : errno; }

int cprocesses_pipe(int ends[2], int byte_count) {
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    if (byte_count > 0) fcntl(ends[1], F_SETPIPE_SZ, byte_count);
    return 0;
}
