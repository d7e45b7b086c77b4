/*
 * A slow disk: what is opened, read, listed or asked for below SLOW_FOLDER takes SLOW_MS more.
 *
 *     cc -shared -fPIC -O2 -o slow_disk.so slow_disk.c -ldl
 *     SLOW_FOLDER=/data/ SLOW_MS=5 LD_PRELOAD=./slow_disk.so python ...
 *
 * Calls that several threads make wait at the same time, as those of a network file system do.
 * At the end the number of the calls is added to the file SLOW_COUNT.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096
static atomic_char slow[MOST];
static atomic_long calls;
static const char *folder;
static struct timespec latency;

__attribute__((constructor)) static void begin(void) {
    const char *ms = getenv("SLOW_MS");
    double seconds = (ms ? atof(ms) : 5) / 1e3;
    folder = getenv("SLOW_FOLDER");
    latency.tv_sec = (time_t)seconds;
    latency.tv_nsec = (long)((seconds - (double)latency.tv_sec) * 1e9);
}

__attribute__((destructor)) static void end(void) {
    const char *name = getenv("SLOW_COUNT");
    FILE *file = name ? fopen(name, "a") : NULL;
    if (file) {
        fprintf(file, "%ld\n", (long)calls);
        fclose(file);
    }
}

static int below(const char *path) {
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static void wait_for(int is_slow) {
    if (is_slow) {
        calls++;
        nanosleep(&latency, NULL);
    }
}

static int is_slow(int descriptor) {
    return descriptor >= 0 && descriptor < MOST && slow[descriptor];
}

#define NEXT(result, name, ...) \
    static result (*next)(__VA_ARGS__); \
    if (!next) next = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static int marked(int descriptor, int there) {
    if (descriptor >= 0 && descriptor < MOST) slow[descriptor] = (char)there;
    return descriptor;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        NEXT(int, #name, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest); \
        wait_for(below(path)); \
        return marked(next(path, flags, mode), below(path)); \
    }
#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        NEXT(int, #name, int, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest); \
        wait_for(below(path)); \
        return marked(next(at, path, flags, mode), below(path)); \
    }
#define STAT(name, type) \
    int name(const char *restrict path, struct type *restrict found) { \
        NEXT(int, #name, const char *, struct type *); \
        wait_for(below(path)); \
        return next(path, found); \
    }
#define PREAD(name) \
    ssize_t name(int descriptor, void *place, size_t length, off_t start) { \
        NEXT(ssize_t, #name, int, void *, size_t, off_t); \
        wait_for(is_slow(descriptor)); \
        return next(descriptor, place, length, start); \
    }
#define PREADV(name) \
    ssize_t name(int descriptor, const struct iovec *parts, int count, off_t start) { \
        NEXT(ssize_t, #name, int, const struct iovec *, int, off_t); \
        wait_for(is_slow(descriptor)); \
        return next(descriptor, parts, count, start); \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
STAT(stat, stat)
STAT(stat64, stat64)
STAT(lstat, stat)
STAT(lstat64, stat64)
PREAD(pread)
PREAD(pread64)
PREADV(preadv)
PREADV(preadv64)

#define PREADV2(name) \
    ssize_t name(int descriptor, const struct iovec *parts, int count, off_t start, int flags) { \
        NEXT(ssize_t, #name, int, const struct iovec *, int, off_t, int); \
        wait_for(is_slow(descriptor)); \
        return next(descriptor, parts, count, start, flags); \
    }
PREADV2(preadv2)
PREADV2(preadv64v2)

ssize_t read(int descriptor, void *place, size_t length) {
    NEXT(ssize_t, "read", int, void *, size_t);
    wait_for(is_slow(descriptor));
    return next(descriptor, place, length);
}

int close(int descriptor) {
    NEXT(int, "close", int);
    marked(descriptor, 0);
    return next(descriptor);
}
