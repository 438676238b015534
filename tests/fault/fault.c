// A library to preload into a program under test: lets the n-th allocation, thread start, mapping, write, accept
// or new descriptor fail, as a system without memory or descriptors would.
//
// FAULT names a file with a struct Fault for each kind, which the test maps too: it sets `countdown` at any time (1: the
// next call fails; 0: none) and reads how many calls there were and how many failed. `lasting`: all calls after it
// fail as well, until `countdown` is set to 0. What cannot fail in a real system (a wake-up through an eventfd or a pipe)
// is left alone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FAULT_MALLOC, FAULT_THREAD, FAULT_MMAP, FAULT_WRITE, FAULT_ACCEPT, FAULT_FD, N_FAULTS };

typedef struct Fault {
    _Atomic int64_t countdown, lasting, seen, failed;
} Fault;

static Fault *faults; // NULL: nothing fails
static bool stops;    // FAULT_ABORT: stop there instead, for a debugger

// The C library's own, under the names that it keeps for replacements.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static void *(*real_mmap)(void *, size_t, int, int, int, off_t);
static int (*real_thread)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_accept4)(int, struct sockaddr *, socklen_t *, int);
static int (*real_socket)(int, int, int);
static int (*real_eventfd)(unsigned, int);
static int (*real_pipe)(int[2]);
static int (*real_pipe2)(int[2], int);
static int (*real_epoll)(int);
static int (*real_open)(const char *, int, ...);

__attribute__((constructor)) static void attach(void) {
    real_mmap = dlsym(RTLD_NEXT, "mmap");
    real_thread = dlsym(RTLD_NEXT, "pthread_create");
    real_write = dlsym(RTLD_NEXT, "write");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
    real_accept4 = dlsym(RTLD_NEXT, "accept4");
    real_socket = dlsym(RTLD_NEXT, "socket");
    real_eventfd = dlsym(RTLD_NEXT, "eventfd");
    real_pipe = dlsym(RTLD_NEXT, "pipe");
    real_pipe2 = dlsym(RTLD_NEXT, "pipe2");
    real_epoll = dlsym(RTLD_NEXT, "epoll_create1");
    real_open = dlsym(RTLD_NEXT, "open");
    stops = getenv("FAULT_ABORT") != NULL;
    const char *path = getenv("FAULT");
    int fd = path ? real_open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = real_mmap(NULL, N_FAULTS * sizeof(Fault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED) faults = map;
}

static bool fails(int kind, int error) {
    if (!faults) return false;
    Fault *f = &faults[kind];
    atomic_fetch_add(&f->seen, 1);
    int64_t left = atomic_load(&f->countdown);
    while (left > 0 && !(left == 1 && f->lasting) && !atomic_compare_exchange_weak(&f->countdown, &left, left - 1)) continue;
    if (left != 1) return false;
    if (stops) abort();
    atomic_fetch_add(&f->failed, 1);
    errno = error;
    return true;
}

// ---- memory

void *malloc(size_t size) {
    return fails(FAULT_MALLOC, ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    return fails(FAULT_MALLOC, ENOMEM) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
    return fails(FAULT_MALLOC, ENOMEM) ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return fails(FAULT_MALLOC, ENOMEM) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (fails(FAULT_MALLOC, ENOMEM)) return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    return fails(FAULT_MMAP, ENOMEM) ? MAP_FAILED : real_mmap(at, n, protection, flags, fd, offset);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
    return fails(FAULT_THREAD, EAGAIN) ? EAGAIN : real_thread(thread, attr, run, arg);
}

// ---- writing: files and sockets

static bool can_fail(int fd) {
    struct stat s;
    return fstat(fd, &s) == 0 && (S_ISREG(s.st_mode) || S_ISSOCK(s.st_mode));
}

ssize_t write(int fd, const void *bytes, size_t n) {
    return can_fail(fd) && fails(FAULT_WRITE, EIO) ? -1 : real_write(fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    return can_fail(fd) && fails(FAULT_WRITE, EIO) ? -1 : real_writev(fd, parts, n);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    return can_fail(fd) && fails(FAULT_WRITE, EIO) ? -1 : real_sendmsg(fd, message, flags);
}

// ---- descriptors

int accept4(int fd, struct sockaddr *from, socklen_t *n, int flags) {
    return fails(FAULT_ACCEPT, EMFILE) ? -1 : real_accept4(fd, from, n, flags);
}

int socket(int domain, int type, int protocol) {
    return fails(FAULT_FD, EMFILE) ? -1 : real_socket(domain, type, protocol);
}

int eventfd(unsigned count, int flags) {
    return fails(FAULT_FD, EMFILE) ? -1 : real_eventfd(count, flags);
}

int pipe(int fds[2]) {
    return fails(FAULT_FD, EMFILE) ? -1 : real_pipe(fds);
}

int pipe2(int fds[2], int flags) {
    return fails(FAULT_FD, EMFILE) ? -1 : real_pipe2(fds, flags);
}

int epoll_create1(int flags) {
    return fails(FAULT_FD, EMFILE) ? -1 : real_epoll(flags);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return fails(FAULT_FD, EMFILE) ? -1 : real_open(path, flags, mode);
}
