#define _GNU_SOURCE
#include "stack_dump.h"
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// A thread's handler only stores addresses; names are looked up afterwards, by the thread that dumps. One thread is asked at
// a time, and `asked` says whose turn it is: a handler that comes late finds another number there and does nothing.

enum { frame_limit = 96, skipped_frames = 2 };

static sem_t wanted, answered;
static atomic_int asked;
static void *frames[frame_limit];
static int frame_count;
static int is_broken;

static int thread_signal(void) { return SIGRTMIN + 6; }

static void on_request(int number) {
    (void)number;
    cthreads_stack_dump_request();
}

static void on_turn(int number) {
    (void)number;
    const int error = errno;
    const int self = (int)syscall(SYS_gettid);
    int expected = self;
    if (atomic_compare_exchange_strong(&asked, &expected, -self)) {
        frame_count = backtrace(frames, frame_limit);
        sem_post(&answered);
    }
    errno = error;
}

static int set_handler(int number, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    // Calls that were interrupted go on.
    action.sa_flags = SA_RESTART;
    sigfillset(&action.sa_mask);
    return sigaction(number, &action, NULL) == 0 ? 0 : errno;
}

int cthreads_stack_dump_install(void) {
    // The first call loads a library, which a handler may not.
    backtrace(frames, frame_limit);
    if (sem_init(&wanted, 0, 0) != 0 || sem_init(&answered, 0, 0) != 0) return errno;
    int error = set_handler(thread_signal(), on_turn);
    if (error == 0) error = set_handler(SIGUSR2, on_request);
    // A parent may have left them blocked, and threads that are made from now on inherit that.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR2);
    sigaddset(&signals, thread_signal());
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    return error;
}

void cthreads_stack_dump_request(void) {
    const int error = errno;
    sem_post(&wanted);
    errno = error;
}

void cthreads_stack_dump_wait(void) {
    while (sem_wait(&wanted) != 0) {
    }
    // One dump answers all who have asked.
    while (sem_trywait(&wanted) == 0) {
    }
}

// Waits for the handler; nonzero: it answered.
static int wait_for_answer(int milliseconds) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += milliseconds % 1000 * 1000000L;
    end.tv_sec += milliseconds / 1000 + end.tv_nsec / 1000000000L;
    end.tv_nsec %= 1000000000L;
    while (sem_clockwait(&answered, CLOCK_MONOTONIC, &end) != 0) {
        if (errno != EINTR) return 0;
    }
    return 1;
}

// Stores the thread's frames; nonzero: it did.
static int capture(int thread) {
    atomic_store(&asked, thread);
    if (syscall(SYS_tgkill, getpid(), thread, thread_signal()) != 0) {
        atomic_store(&asked, 0);
        return 0;
    }
    int has_answered = wait_for_answer(200);
    if (!has_answered) {
        int expected = thread;
        if (!atomic_compare_exchange_strong(&asked, &expected, 0)) {
            // It has just begun, and writes to our memory: wait, and if it never ends, never ask again.
            has_answered = wait_for_answer(2000);
            if (!has_answered) is_broken = 1;
        }
    }
    atomic_store(&asked, 0);
    return has_answered;
}

// Text that is written as a whole, so that ranks' lines do not mix more than they must.
static char text[1 << 15];
static size_t text_length;

static void flush(int descriptor) {
    size_t start = 0;
    while (start < text_length) {
        const ssize_t count = write(descriptor, text + start, text_length - start);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        start += (size_t)count;
    }
    text_length = 0;
}

__attribute__((format(printf, 3, 4))) static void add_line(int descriptor, const char *prefix, const char *format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    const size_t needed = strlen(prefix) + strlen(line) + 1;
    if (needed > sizeof text) return;
    if (text_length + needed > sizeof text) flush(descriptor);
    text_length += (size_t)snprintf(text + text_length, sizeof text - text_length, "%s%s", prefix, line);
    text[text_length++] = '\n';
}

// The program's own symbol table, mapped for the time of a dump: what an executable does not export, dladdr cannot name.
static struct {
    const char *bytes;
    size_t length;
    const ElfW(Sym) *symbols;
    size_t count;
    const char *names;
    size_t names_length;
    const char *base;
} program;

static void open_program(void) {
    memset(&program, 0, sizeof program);
    Dl_info info;
    if (dladdr((void *)&cthreads_stack_dump_write, &info) == 0) return;
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    struct stat status;
    const void *bytes = MAP_FAILED;
    if (fstat(file, &status) == 0) bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (bytes == MAP_FAILED) return;
    program.bytes = bytes;
    program.length = (size_t)status.st_size;
    const ElfW(Ehdr) *header = bytes;
    if (program.length < sizeof *header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return;
    const size_t sections_end = header->e_shoff + (size_t)header->e_shnum * sizeof(ElfW(Shdr));
    if (header->e_shentsize != sizeof(ElfW(Shdr)) || sections_end > program.length) return;
    const ElfW(Shdr) *sections = (const void *)(program.bytes + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB || sections[i].sh_link >= header->e_shnum) continue;
        const ElfW(Shdr) *names = &sections[sections[i].sh_link];
        if (sections[i].sh_offset + sections[i].sh_size > program.length) return;
        if (names->sh_offset + names->sh_size > program.length || names->sh_size == 0) return;
        program.names = program.bytes + names->sh_offset;
        program.names_length = names->sh_size;
        if (program.names[program.names_length - 1] != 0) return;
        program.symbols = (const void *)(program.bytes + sections[i].sh_offset);
        program.count = sections[i].sh_size / sizeof(ElfW(Sym));
        program.base = header->e_type == ET_EXEC ? NULL : info.dli_fbase;
    }
}

static void close_program(void) {
    if (program.bytes != NULL) munmap((void *)program.bytes, program.length);
    memset(&program, 0, sizeof program);
}

// Name of the program's function that an address belongs to, or NULL.
static const char *own_name(const char *address) {
    const size_t value = (size_t)(address - program.base);
    for (size_t i = 0; i < program.count; i++) {
        const ElfW(Sym) *symbol = &program.symbols[i];
        if ((symbol->st_info & 0xf) != STT_FUNC || value < symbol->st_value) continue;
        if (value - symbol->st_value < symbol->st_size && symbol->st_name < program.names_length)
            return program.names + symbol->st_name;
    }
    return NULL;
}

static void add_frame(int descriptor, const char *prefix, int number, void *address) {
    Dl_info info;
    // The address is that of the next instruction, which may belong to the next function.
    if (dladdr((char *)address - 1, &info) == 0 || info.dli_fname == NULL) {
        add_line(descriptor, prefix, "    #%d %p", number, address);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash != NULL ? slash + 1 : info.dli_fname;
    const size_t offset = (size_t)((char *)address - (char *)info.dli_fbase);
    const char *name = info.dli_sname;
    if (info.dli_fbase == program.base && program.base != NULL) name = own_name((char *)address - 1);
    if (name != NULL) {
        add_line(descriptor, prefix, "    #%d %s (%s+0x%zx)", number, name, file, offset);
    } else {
        add_line(descriptor, prefix, "    #%d %s+0x%zx", number, file, offset);
    }
}

// Name and state (one letter, as in ps) of a thread.
static void describe(int thread, char *name, size_t name_size, char *state) {
    char path[64], stat[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    snprintf(name, name_size, "?");
    *state = '?';
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    const ssize_t count = read(file, stat, sizeof stat - 1);
    close(file);
    if (count <= 0) return;
    stat[count] = 0;
    // `4711 (name) S …`; the name may hold anything.
    char *open_bracket = strchr(stat, '('), *close_bracket = strrchr(stat, ')');
    if (open_bracket == NULL || close_bracket == NULL || close_bracket < open_bracket) return;
    *close_bracket = 0;
    snprintf(name, name_size, "%s", open_bracket + 1);
    if (close_bracket[1] == ' ') *state = close_bracket[2];
}

struct entry {
    unsigned long long inode;
    long long offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

void cthreads_stack_dump_write(int descriptor, const char *prefix) {
    const int self = (int)syscall(SYS_gettid);
    // Not opendir, which allocates: another thread may be stuck with the allocator's lock.
    const int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    open_program();
    _Alignas(struct entry) char entries[4096];
    long count;
    while ((count = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0) {
        for (long at = 0; at < count;) {
            const struct entry *entry = (const struct entry *)(entries + at);
            at += entry->length;
            const int thread = atoi(entry->name);
            if (thread <= 0 || thread == self) continue;
            char name[64], state;
            describe(thread, name, sizeof name, &state);
            if (is_broken || !capture(thread)) {
                add_line(descriptor, prefix, "  thread %d '%s' (%c) does not answer", thread, name, state);
            } else {
                add_line(descriptor, prefix, "  thread %d '%s' (%c)", thread, name, state);
                // The handler and the system's way into it come first.
                for (int i = skipped_frames; i < frame_count; i++)
                    add_frame(descriptor, prefix, i - skipped_frames, frames[i]);
            }
            flush(descriptor);
        }
    }
    close(folder);
    close_program();
}
