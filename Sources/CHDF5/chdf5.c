#include "chdf5.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef int64_t hid_t;
typedef int herr_t;
typedef unsigned long long hsize_t;

static struct {
    herr_t (*open)(void);
    herr_t (*version)(unsigned *, unsigned *, unsigned *);
    herr_t (*silence)(hid_t, void *, void *);
    hid_t (*file_open)(const char *, unsigned, hid_t);
    herr_t (*file_close)(hid_t);
    hid_t (*set_open)(hid_t, const char *, hid_t);
    herr_t (*set_close)(hid_t);
    hid_t (*set_space)(hid_t);
    hid_t (*set_type)(hid_t);
    herr_t (*set_read)(hid_t, hid_t, hid_t, hid_t, hid_t, void *);
    int (*space_rank)(hid_t);
    int (*space_sides)(hid_t, hsize_t *, hsize_t *);
    herr_t (*space_select)(hid_t, int, const hsize_t *, const hsize_t *, const hsize_t *, const hsize_t *);
    hid_t (*space_create)(int, const hsize_t *, const hsize_t *);
    herr_t (*space_close)(hid_t);
    int (*type_class)(hid_t);
    size_t (*type_size)(hid_t);
    herr_t (*type_close)(hid_t);
    hid_t *uint8, *float32;
} api;

static int is_loaded;

static int fail(char *message, const char *text) {
    snprintf(message, CHDF5_MESSAGE_SIZE, "%s", text);
    return -1;
}

int chdf5_load(char *message) {
    if (is_loaded) return 0;
    // Debian's and Ubuntu's names first (serial build), then everybody's, by soname of 1.10, 1.12 and 1.14.
    static const char *const names[] = {
        "libhdf5_serial.so.103", "libhdf5_serial.so.310", "libhdf5_serial.so.200", "libhdf5.so.103",
        "libhdf5.so.310",        "libhdf5.so.200",        "libhdf5_serial.so",     "libhdf5.so",
    };
    void *library = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) return fail(message, "libhdf5 is not installed");
    const struct {
        void **slot;
        const char *name;
    } symbols[] = {
        {(void **)&api.open, "H5open"},
        {(void **)&api.version, "H5get_libversion"},
        {(void **)&api.silence, "H5Eset_auto2"},
        {(void **)&api.file_open, "H5Fopen"},
        {(void **)&api.file_close, "H5Fclose"},
        {(void **)&api.set_open, "H5Dopen2"},
        {(void **)&api.set_close, "H5Dclose"},
        {(void **)&api.set_space, "H5Dget_space"},
        {(void **)&api.set_type, "H5Dget_type"},
        {(void **)&api.set_read, "H5Dread"},
        {(void **)&api.space_rank, "H5Sget_simple_extent_ndims"},
        {(void **)&api.space_sides, "H5Sget_simple_extent_dims"},
        {(void **)&api.space_select, "H5Sselect_hyperslab"},
        {(void **)&api.space_create, "H5Screate_simple"},
        {(void **)&api.space_close, "H5Sclose"},
        {(void **)&api.type_class, "H5Tget_class"},
        {(void **)&api.type_size, "H5Tget_size"},
        {(void **)&api.type_close, "H5Tclose"},
        {(void **)&api.uint8, "H5T_NATIVE_UCHAR_g"},
        {(void **)&api.float32, "H5T_NATIVE_FLOAT_g"},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        *symbols[i].slot = dlsym(library, symbols[i].name);
        if (!*symbols[i].slot) {
            snprintf(message, CHDF5_MESSAGE_SIZE, "the installed libhdf5 has no %s", symbols[i].name);
            dlclose(library);
            return -1;
        }
    }
    unsigned major = 0, minor = 0, release = 0;
    if (api.open() < 0 || api.version(&major, &minor, &release) < 0) return fail(message, "libhdf5 does not start");
    if (major < 1 || (major == 1 && minor < 10)) {
        snprintf(message, CHDF5_MESSAGE_SIZE, "libhdf5 %u.%u is older than 1.10", major, minor);
        return -1;
    }
    is_loaded = 1;
    return 0;
}

int64_t chdf5_open(const char *path, char *message) {
    if (chdf5_load(message) != 0) return -1;
    // Its own error output would go to the terminal of whoever runs us. The setting is one of the thread.
    api.silence(0, NULL, NULL);
    const hid_t file = api.file_open(path, 0, 0);
    return file < 0 ? fail(message, "not an HDF5 file, or a broken one") : file;
}

void chdf5_close(int64_t file) { api.file_close(file); }

int chdf5_get_shape(int64_t file, const char *name, chdf5_shape *shape, char *message) {
    api.silence(0, NULL, NULL);
    const hid_t set = api.set_open(file, name, 0);
    if (set < 0) {
        snprintf(message, CHDF5_MESSAGE_SIZE, "no array '%s'", name);
        return -1;
    }
    int status = -1;
    const hid_t space = api.set_space(set), type = api.set_type(set);
    if (space >= 0 && type >= 0) {
        shape->rank = api.space_rank(space);
        if (shape->rank < 1 || shape->rank > CHDF5_MAXIMUM_RANK) {
            snprintf(message, CHDF5_MESSAGE_SIZE, "array '%s' has %d sides", name, (int)shape->rank);
        } else {
            hsize_t sides[CHDF5_MAXIMUM_RANK];
            api.space_sides(space, sides, NULL);
            for (int i = 0; i < shape->rank; i++) shape->sides[i] = sides[i];
            const int class = api.type_class(type);
            const size_t size = api.type_size(type);
            shape->type = class == 0 && size == 1 ? CHDF5_UINT8 : class == 1 && size == 4 ? CHDF5_FLOAT32 : CHDF5_OTHER;
            status = 0;
        }
    } else {
        snprintf(message, CHDF5_MESSAGE_SIZE, "array '%s' is broken", name);
    }
    if (space >= 0) api.space_close(space);
    if (type >= 0) api.type_close(type);
    api.set_close(set);
    return status;
}

int chdf5_read(int64_t file, const char *name, uint64_t index, int32_t type, size_t count, void *target,
               char *message) {
    api.silence(0, NULL, NULL);
    const hid_t set = api.set_open(file, name, 0);
    const hid_t space = set < 0 ? -1 : api.set_space(set);
    int status = -1;
    if (space >= 0) {
        hsize_t sides[CHDF5_MAXIMUM_RANK], start[CHDF5_MAXIMUM_RANK] = {0};
        const int rank = api.space_rank(space);
        if (rank >= 1 && rank <= CHDF5_MAXIMUM_RANK && api.space_sides(space, sides, NULL) == rank && index < sides[0]) {
            sides[0] = 1;
            start[0] = index;
            hsize_t total = 1;
            for (int i = 1; i < rank; i++) total *= sides[i];
            const hsize_t flat = count;
            const hid_t memory = total == flat ? api.space_create(1, &flat, NULL) : -1;
            if (memory >= 0) {
                if (api.space_select(space, 0, start, NULL, sides, NULL) >= 0 &&
                    api.set_read(set, type == CHDF5_UINT8 ? *api.uint8 : *api.float32, memory, space, 0, target) >= 0)
                    status = 0;
                api.space_close(memory);
            }
        }
        api.space_close(space);
    }
    if (set >= 0) api.set_close(set);
    if (status != 0)
        snprintf(message, CHDF5_MESSAGE_SIZE, "entry %llu of '%s' cannot be read", (unsigned long long)index, name);
    return status;
}
