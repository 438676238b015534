#define _XOPEN_SOURCE 700 // realpath
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_read(const char *path, size_t most, Buf *out, Err *err) {
    char piece[65536];
    size_t total = 0;
    FILE *f = fopen(path, "re");
    if (!f) return err_set(err, ERR_IO, "cannot open %s: %s", path, strerror(errno));
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0 && (most == 0 || total <= most); total += n)
        buf_put(out, (Str){piece, n});
    bool failed = ferror(f);
    int why = errno;
    fclose(f);
    if (failed) return err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(why));
    if (most != 0 && total > most) return err_set(err, ERR_LIMIT, "%s has more than %zu bytes", path, most);
    return !out->failed || err_set(err, ERR_NOMEM, "%s does not fit into memory", path);
}

// ---- writing ----

static bool write_all(int fd, Str s) {
    while (s.len) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        s = str_skip(s, (size_t)n);
    }
    return true;
}

// On the disk before it has the name: a name must never stand for bytes that a crash can still lose.
static bool fill(int fd, const char *path, Str content) {
    struct stat old;
    if (stat(path, &old) == 0 && fchmod(fd, old.st_mode & 07777) != 0) return false;
    return write_all(fd, content) && fsync(fd) == 0;
}

static bool replace(const char *path, Str content, mode_t mode) {
    char temporary[PATH_MAX + 32];
    snprintf(temporary, sizeof temporary, "%.*s.%lld.new", PATH_MAX, path, (long long)getpid());
    unlink(temporary); // left over from an earlier process of this number
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return false;
    bool ok = fill(fd, path, content) && rename(temporary, path) == 0;
    int why = errno;
    close(fd);
    if (!ok) unlink(temporary);
    errno = why;
    return ok;
}

// A terminal, a pipe, /dev/null: nothing that another file could stand for.
static bool is_device(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

static bool write_into(const char *path, Str content) {
    int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return false;
    bool ok = write_all(fd, content);
    int why = errno;
    close(fd);
    errno = why;
    return ok;
}

bool file_write(const char *path, Str content, mode_t mode, Err *err) {
    char *linked = realpath(path, NULL); // NULL: there is none yet
    bool ok = is_device(path) ? write_into(path, content) : replace(linked ? linked : path, content, mode);
    int why = errno;
    free(linked);
    return ok || err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(why));
}
