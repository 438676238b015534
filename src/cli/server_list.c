#include "cli/server_list.h"

#include "base/printable.h"
#include "base/user_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_MAX = 1024 };

// A folder in /tmp could have been made by somebody else, who then could say whom `cllm stop` is to end.
static bool open_folder(char folder[FOLDER_MAX], bool create, Err *err) {
    struct stat info;
    if (!user_folder(USER_RUNTIME, "", folder, FOLDER_MAX, err)) return false;
    if (create && !folder_create(folder, err)) return false;
    if (lstat(folder, &info) != 0) return err_set(err, ERR_NOT_FOUND, "%s: %s", folder, strerror(errno));
    if (S_ISDIR(info.st_mode) && info.st_uid == getuid() && !(info.st_mode & 022)) return true;
    return err_set(err, ERR_IO, "%s is not this user's alone; remove it", folder);
}

// The model's name may be that of a file, which may be anything.
static void make_showable(RunningServer *s) {
    make_printable(s->url);
    make_printable(s->model);
}

// ---- of this process ----

static bool write_entry(int fd, RunningServer s) {
    make_showable(&s);
    json_t *object = json_pack("{s:I, s:i, s:s, s:s, s:I}", "pid", (json_int_t)s.pid, "port", s.port, "url",
                               s.url, "model", s.model, "started", (json_int_t)s.started);
    bool ok = object && json_dumpfd(object, fd, JSON_COMPACT) == 0;
    json_decref(object);
    return ok;
}

bool server_entry_write(ServerEntry *e, const RunningServer *s, Err *err) {
    char folder[FOLDER_MAX];
    e->fd = -1;
    if (!open_folder(folder, true, err)) return false;
    snprintf(e->path, sizeof e->path, "%s/%lld.json", folder, (long long)s->pid);
    unlink(e->path); // left over from an earlier process of this number
    e->fd = open(e->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (e->fd >= 0 && flock(e->fd, LOCK_EX) == 0 && write_entry(e->fd, *s)) return true;
    err_set(err, ERR_IO, "cannot write %s: %s", e->path, strerror(errno));
    server_entry_remove(e);
    return false;
}

void server_entry_remove(ServerEntry *e) {
    if (e->fd < 0) return;
    unlink(e->path);
    close(e->fd);
    e->fd = -1;
}

// ---- of all ----

// Whether somebody holds the file's lock. A file that nobody holds goes.
static bool is_alive(int fd, const char *path) {
    if (flock(fd, LOCK_SH | LOCK_NB) != 0) return true;
    struct stat info;
    // An empty one is just being written, and one without a name has made room for another there.
    if (fstat(fd, &info) == 0 && info.st_size > 0 && info.st_nlink > 0) unlink(path);
    return false;
}

// False: of no server that runs now and has this number.
static bool read_entry(const char *path, int64_t pid, RunningServer *out) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    json_t *object = is_alive(fd, path) ? json_loadfd(fd, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    close(fd);
    const char *url = json_string_value(json_object_get(object, "url"));
    const char *model = json_string_value(json_object_get(object, "model"));
    *out = (RunningServer){.pid = json_integer_value(json_object_get(object, "pid")),
                           .port = (int)json_integer_value(json_object_get(object, "port")),
                           .started = json_integer_value(json_object_get(object, "started"))};
    snprintf(out->url, sizeof out->url, "%s", url ? url : "");
    snprintf(out->model, sizeof out->model, "%s", model ? model : "");
    make_showable(out);
    json_decref(object);
    return out->pid == pid && pid > 0 && pid <= INT32_MAX; // 0 and below mean groups to kill()
}

static int by_age(const void *a, const void *b) {
    const RunningServer *x = a, *y = b;
    if (x->started != y->started) return x->started < y->started ? -1 : 1;
    return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static bool read_entries(const char *path_of_folder, DIR *folder, RunningServer **out, size_t *n) {
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[FOLDER_MAX + sizeof entry->d_name + 2];
        RunningServer server;
        size_t digits = strspn(entry->d_name, "0123456789");
        if (!digits || strcmp(entry->d_name + digits, ".json") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", path_of_folder, entry->d_name);
        if (!read_entry(path, strtoll(entry->d_name, NULL, 10), &server)) continue;
        RunningServer *grown = realloc(*out, (*n + 1) * sizeof **out);
        if (!grown) return false;
        *out = grown;
        grown[(*n)++] = server;
    }
    return true;
}

bool server_list(RunningServer **out, size_t *n, Err *err) {
    char path[FOLDER_MAX];
    Err why;
    *out = NULL;
    *n = 0;
    if (!open_folder(path, false, &why)) {
        if (why.code == ERR_NOT_FOUND) return true;
        return err_set(err, why.code, "%s", why.msg);
    }
    DIR *folder = opendir(path);
    if (!folder) return err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    bool ok = read_entries(path, folder, out, n);
    closedir(folder);
    if (*n) qsort(*out, *n, sizeof **out, by_age);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

bool server_is_running(int64_t pid) {
    char folder[FOLDER_MAX], path[FOLDER_MAX + 40];
    RunningServer server;
    if (!open_folder(folder, false, NULL)) return false;
    snprintf(path, sizeof path, "%s/%lld.json", folder, (long long)pid);
    return read_entry(path, pid, &server);
}
