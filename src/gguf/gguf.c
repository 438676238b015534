// Opening a file: mapping, header, and the order of the checks.
//
// The mapping is private and read-only, so nobody can change the model through us, but it is the
// file itself: if another process truncates the file while it is open, touching the lost pages
// raises SIGBUS, which only the program can say something to (cli/lost_file.h).
// Replace a model by renaming a new file over it, never by writing into it.
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE // madvise: posix_madvise(DONTNEED) does nothing in glibc
#endif

#include "gguf/gguf_parse.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *gguf_show(Str name, char out[GGUF_SHOWN_BYTES]) {
    enum { ROOM = GGUF_SHOWN_BYTES - 4 };
    size_t len = 0;
    size_t i = 0;
    for (; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool plain = c >= 0x20 && c < 0x7f;
        if (len + (plain ? 1 : 4) > ROOM) break;
        if (plain)
            out[len++] = (char)c;
        else
            len += (size_t)snprintf(out + len, GGUF_SHOWN_BYTES - len, "\\x%02x", c);
    }
    snprintf(out + len, GGUF_SHOWN_BYTES - len, "%s", i < name.len ? "..." : "");
    return out;
}

bool gguf_take_name(GgufCursor *c, const char *what, uint64_t i, Str *out, Err *err) {
    unsigned long long nth = (unsigned long long)i + 1;
    if (!gguf_take_str(c, out))
        return err_set(err, ERR_INVALID, "the file ends inside the name of %s %llu: " GGUF_FETCH_AGAIN, what,
                       nth);
    if (out->len == 0) return err_set(err, ERR_INVALID, "%s %llu has an empty name", what, nth);
    if (out->len > GGUF_MAX_NAME_BYTES)
        return err_set(err, ERR_INVALID, "the name of %s %llu is %zu bytes long (at most %d are allowed)",
                       what, nth, out->len, GGUF_MAX_NAME_BYTES);
    char shown[GGUF_SHOWN_BYTES];
    if (memchr(out->ptr, 0, out->len))
        return err_set(err, ERR_INVALID, "the name of %s %llu ('%s') contains a NUL byte", what, nth,
                       gguf_show(*out, shown));
    return true;
}

bool gguf_check_count(const GgufCursor *c, const char *what, uint64_t n, size_t min_bytes, Err *err) {
    unsigned long long count = n;
    if (n > (c->size - c->at) / min_bytes)
        return err_set(err, ERR_INVALID,
                       "the header promises %llu %ss, but the file has only %zu bytes: " GGUF_FETCH_AGAIN,
                       count, what, c->size);
    if (n > GGUF_MAX_ENTRIES)
        return err_set(err, ERR_LIMIT, "the file has %llu %ss; at most %d are supported", count, what,
                       GGUF_MAX_ENTRIES);
    return true;
}

static bool check_magic(const uint8_t *p, size_t n, Err *err) {
    if (n == 0) return err_set(err, ERR_INVALID, "the file is empty: fetch it again");
    size_t have = num_min(n, 4);
    if (memcmp(p, "GGUF", have) == 0) return true;
    Str start = {(const char *)p, n};
    if (str_starts_with(start, STR("version https://git-lfs")))
        return err_set(err, ERR_INVALID, "this is a Git LFS pointer, not the model: fetch the file itself");
    if (start.ptr[0] == '<')
        return err_set(err, ERR_INVALID,
                       "this is a web page, not a GGUF file: check the address it came from");
    char shown[GGUF_SHOWN_BYTES];
    return err_set(err, ERR_INVALID, "not a GGUF file: it starts with '%s' instead of 'GGUF'",
                   gguf_show((Str){start.ptr, have}, shown));
}

static bool check_version(uint32_t version, Err *err) {
    if (version == 2 || version == 3) return true;
    if (version == 1)
        return err_set(err, ERR_UNSUPPORTED, "GGUF version 1 is too old: convert the model to version 3");
    if (version != 0 && (version & 0xffff) == 0)
        return err_set(err, ERR_UNSUPPORTED, "the file is big-endian: fetch or convert a little-endian one");
    return err_set(err, ERR_UNSUPPORTED, "GGUF version %u is not supported (only 2 and 3 are)", version);
}

static bool parse(Gguf *g, Err *err) {
    if (!check_magic(g->base, g->size, err)) return false;
    GgufCursor c = {g->base, g->size, 0};
    const uint8_t *magic;
    uint64_t n_tensors;
    uint64_t n_keys;
    bool has_version = gguf_take(&c, 4, &magic) && gguf_take_u32(&c, &g->version);
    if (has_version && !check_version(g->version, err)) return false;
    if (!has_version || !gguf_take_u64(&c, &n_tensors) || !gguf_take_u64(&c, &n_keys))
        return err_set(err, ERR_INVALID, "the file ends inside its header: " GGUF_FETCH_AGAIN);
    // Both counts before either allocation, so that an absurd one costs nothing.
    return gguf_check_count(&c, "key", n_keys, GGUF_MIN_KEY_BYTES, err) &&
           gguf_check_count(&c, "tensor", n_tensors, GGUF_MIN_TENSOR_BYTES, err) &&
           gguf_parse_keys(g, &c, n_keys, err) && gguf_parse_tensors(g, &c, n_tensors, err);
}

static Gguf *new_gguf(const char *path, Err *err) {
    Gguf *g = calloc(1, sizeof *g);
    char *copy = g ? strdup(path) : NULL;
    if (!copy) {
        err_set(err, ERR_NOMEM, "out of memory");
        free(g);
        return NULL;
    }
    g->path = copy;
    g->alignment = GGUF_DEFAULT_ALIGNMENT;
    return g;
}

static bool map_descriptor(Gguf *g, int fd, Err *err) {
    struct stat st;
    if (fstat(fd, &st) != 0) return err_set(err, ERR_IO, "cannot stat: %s", strerror(errno));
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "is a directory: name the .gguf file inside it");
    if (!S_ISREG(st.st_mode)) return err_set(err, ERR_INVALID, "is not a regular file");
    if ((uintmax_t)st.st_size > SIZE_MAX / 2)
        return err_set(err, ERR_LIMIT, "the file is too large for this machine's address space");
    if (st.st_size == 0) return true; // the parser refuses it; mmap cannot map it
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return err_set(err, ERR_IO, "cannot map the file: %s", strerror(errno));
    g->base = p;
    g->size = (size_t)st.st_size;
    g->mapped = true;
    return true;
}

static bool map_file(Gguf *g, Err *err) {
    // Not blocking: opening a named pipe must not hang.
    int fd = open(g->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) return err_set(err, ERR_NOT_FOUND, "no such file");
    if (fd < 0) return err_set(err, ERR_IO, "cannot open: %s", strerror(errno));
    bool ok = map_descriptor(g, fd, err);
    close(fd);
    return ok;
}

Gguf *gguf_open(const char *path, Err *err) {
    Gguf *g = new_gguf(path, err);
    if (!g) return NULL;
    if (map_file(g, err) && parse(g, err)) return g;
    err_prefix(err, "%s", path);
    gguf_close(g);
    return NULL;
}

Gguf *gguf_open_memory(const void *bytes, size_t n, Err *err) {
    Gguf *g = new_gguf("(memory)", err);
    if (!g) return NULL;
    g->base = bytes;
    g->size = n;
    if (parse(g, err)) return g;
    err_prefix(err, "%s", g->path);
    gguf_close(g);
    return NULL;
}

void gguf_close(Gguf *g) {
    if (!g) return;
    gguf_index_free(&g->key_index);
    gguf_index_free(&g->tensor_index);
    free(g->keys);
    free(g->tensors);
    if (g->mapped) munmap((void *)(uintptr_t)g->base, g->size);
    free(g->path);
    free(g);
}

const char *gguf_path(const Gguf *g) {
    return g->path;
}

size_t gguf_file_bytes(const Gguf *g) {
    return g->size;
}

const void *gguf_file_data(const Gguf *g) {
    return g->base;
}

uint32_t gguf_version(const Gguf *g) {
    return g->version;
}

void gguf_release_pages(const Gguf *g, const void *from, size_t n) {
    if (!g->mapped) return;
    uintptr_t base = (uintptr_t)g->base;
    uintptr_t start = (uintptr_t)from;
    CHECK(start >= base && start - base <= g->size && n <= g->size - (start - base));
    // Whole pages only: the ends are shared with neighbours that may still be in use.
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (start + page - 1) & ~(page - 1);
    uintptr_t last = (start + n) & ~(page - 1);
    if (first < last) (void)madvise((void *)first, last - first, MADV_DONTNEED);
}
