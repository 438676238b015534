#define _DEFAULT_SOURCE // flock, madvise
#include "model/pack_image.h"

#include "base/num.h"
#include "kernels/packed.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// "cLLMpack" as a little-endian number.
static const uint64_t image_magic = 0x6b6361704d4c4c63;

typedef struct Header {
    uint64_t magic;
    uint64_t layout; // PACKED_LAYOUT_VERSION
    ContentHash model;
    uint64_t n_tensors, head_bytes, region_bytes;
    ContentHash region;
} Header;

enum { HUGE_PAGE = 2 << 20, NAME_BYTES = 48 };

// The head that an image of this key has: header, directory, zeros. NULL: out of memory, or too large.
static Header *make_head(const PackKey *key) {
    size_t directory, n_bytes, whole;
    if (!num_mul(key->n_tensors, sizeof *key->tensors, &directory) ||
        !num_add(directory, sizeof(Header), &n_bytes) || !num_align(n_bytes, HUGE_PAGE, &n_bytes) ||
        !num_add(n_bytes, key->region_bytes, &whole))
        return NULL;
    Header *head = calloc(1, n_bytes);
    if (!head) return NULL;
    *head = (Header){.magic = image_magic,
                     .layout = PACKED_LAYOUT_VERSION,
                     .model = key->model,
                     .n_tensors = key->n_tensors,
                     .head_bytes = n_bytes,
                     .region_bytes = key->region_bytes};
    memcpy(head + 1, key->tensors, directory);
    return head;
}

static bool same_hash(ContentHash a, ContentHash b) {
    return a.low == b.low && a.high == b.high;
}

static void image_name(const PackKey *key, const char *suffix, char out[NAME_BYTES]) {
    snprintf(out, NAME_BYTES, "%016" PRIx64 "%016" PRIx64 ".%s", key->model.high, key->model.low, suffix);
}

static bool system_error(Err *err, const char *what) {
    ErrCode code = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    return err_set(err, code, "%s: %s", what, strerror(errno));
}

static bool check_ours(int fd, struct stat *st, Err *err) {
    if (fstat(fd, st) != 0) return system_error(err, "cannot stat");
    if (!S_ISREG(st->st_mode)) return err_set(err, ERR_INVALID, "not a regular file");
    if (st->st_uid != geteuid()) return err_set(err, ERR_INVALID, "the file is another user's");
    if (st->st_mode & (S_IWGRP | S_IWOTH)) return err_set(err, ERR_INVALID, "others may write to the file");
    return true;
}

// ---- reading ----

// The fields one by one, for a message that tells what is wrong.
static bool check_header(const Header *got, const Header *want, Err *err) {
    if (got->magic != want->magic) return err_set(err, ERR_INVALID, "not an image of packed weights");
    if (got->layout != want->layout)
        return err_set(err, ERR_INVALID, "the panels are of version %" PRIu64 ", not %" PRIu64, got->layout,
                       want->layout);
    if (!same_hash(got->model, want->model)) return err_set(err, ERR_INVALID, "the image of another model");
    if (got->n_tensors != want->n_tensors || got->head_bytes != want->head_bytes ||
        got->region_bytes != want->region_bytes)
        return err_set(err, ERR_INVALID, "the header has other counts or sizes than the model");
    return true;
}

static bool check_file(int fd, const Header *want, Err *err) {
    struct stat st;
    Header got;
    if (!check_ours(fd, &st, err)) return false;
    if (pread(fd, &got, sizeof got, 0) != sizeof got) return err_set(err, ERR_INVALID, "the file is cut off");
    if (!check_header(&got, want, err)) return false;
    uint64_t n_bytes = want->head_bytes + want->region_bytes;
    return (uint64_t)st.st_size == n_bytes ||
           err_set(err, ERR_INVALID, "the file has %lld bytes instead of %" PRIu64, (long long)st.st_size,
                   n_bytes);
}

// What is mapped is what counts: the header may have been written anew since check_file.
static bool check_mapping(const PackImage *image, Header *want, Workers *workers, Err *err) {
    want->region = ((const Header *)image->base)->region;
    if (memcmp(image->base, want, want->head_bytes) != 0)
        return err_set(err, ERR_INVALID, "the directory does not fit the model's tensors");
    return same_hash(content_hash(image->region, want->region_bytes, workers, NULL, NULL), want->region) ||
           err_set(err, ERR_INVALID, "the checksum does not fit the content");
}

static bool map_file(int fd, Header *want, Workers *workers, PackImage *out, Err *err) {
    if (!check_file(fd, want, err)) return false;
    size_t n_bytes = want->head_bytes + want->region_bytes;
    void *base = mmap(NULL, n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) return system_error(err, "cannot map");
    madvise(base, n_bytes, MADV_HUGEPAGE); // also what the system reads ahead then comes in huge pages
    *out = (PackImage){base, n_bytes, (const char *)base + want->head_bytes};
    if (check_mapping(out, want, workers, err)) return true;
    pack_image_unmap(out);
    return false;
}

bool pack_image_map(const char *folder, const PackKey *key, Workers *workers, PackImage *out, Err *err) {
    char name[NAME_BYTES];
    image_name(key, "pack", name);
    *out = (PackImage){0};
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return system_error(err, folder);
    // No links, and no waiting for the writer of a named pipe.
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(dir);
    if (fd < 0) return system_error(err, name);
    Header *want = make_head(key);
    bool ok = want ? map_file(fd, want, workers, out, err) : err_set(err, ERR_NOMEM, "out of memory");
    free(want);
    close(fd);
    return ok || err_prefix(err, "%s", name);
}

void pack_image_unmap(PackImage *image) {
    if (image->base) munmap(image->base, image->n_bytes);
    *image = (PackImage){0};
}

// ---- writing ----

static bool write_all(int fd, const void *bytes, size_t n, const Workers *workers, Err *err) {
    for (const char *at = bytes; n > 0;) {
        if (workers_cancelled(workers)) return err_set(err, ERR_IO, "interrupted");
        ssize_t written = write(fd, at, num_min(n, HUGE_PAGE));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return system_error(err, "cannot write");
        at += written;
        n -= (size_t)written;
    }
    return true;
}

// Whoever holds the lock on the file of that name owns the name: only it truncates, renames or removes.
// A file that lost its name before we had the lock is somebody's finished image.
static bool own_temporary(int dir, const char *name, int fd, Err *err) {
    struct stat st, named;
    if (!check_ours(fd, &st, err)) return false;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? err_set(err, ERR_LIMIT, "another process is writing it")
                                    : system_error(err, "cannot lock");
    if (fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) != 0 || named.st_dev != st.st_dev ||
        named.st_ino != st.st_ino)
        return err_set(err, ERR_LIMIT, "another process has just written it");
    return true;
}

static bool fill_file(int fd, const Header *head, const void *region, const Workers *workers, Err *err) {
    if (ftruncate(fd, 0) != 0) return system_error(err, "cannot truncate");
    if (!write_all(fd, head, head->head_bytes, workers, err) ||
        !write_all(fd, region, head->region_bytes, workers, err))
        return false;
    // Before the rename: a name must never stand for bytes that a crash can still lose.
    return fsync(fd) == 0 || system_error(err, "cannot write to the disk");
}

static bool write_file(int dir, const PackKey *key, const Header *head, const void *region,
                       const Workers *workers, Err *err) {
    char name[NAME_BYTES], temporary[NAME_BYTES];
    image_name(key, "pack", name);
    image_name(key, "tmp", temporary);
    int fd = openat(dir, temporary, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0) return system_error(err, temporary);
    bool ok = own_temporary(dir, temporary, fd, err);
    if (ok) {
        ok = fill_file(fd, head, region, workers, err) &&
             (renameat(dir, temporary, dir, name) == 0 || system_error(err, "cannot rename"));
        if (!ok) (void)unlinkat(dir, temporary, 0);
    }
    close(fd);
    return ok || err_prefix(err, "%s", temporary);
}

bool pack_image_write(const char *folder, const PackKey *key, const void *region, Workers *workers,
                      Err *err) {
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) return system_error(err, folder);
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return system_error(err, folder);
    Header *head = make_head(key);
    bool ok = head != NULL || err_set(err, ERR_NOMEM, "out of memory");
    if (ok) {
        head->region = content_hash(region, key->region_bytes, workers, NULL, NULL);
        ok = write_file(dir, key, head, region, workers, err);
    }
    free(head);
    close(dir);
    return ok;
}
