#include "cli/history_file.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/user_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

bool history_file_path(char out[HISTORY_PATH_MAX], Err *err) {
    return user_folder(USER_STATE, "run_history", out, HISTORY_PATH_MAX, err);
}

static bool write_all(int fd, Str s) {
    return write(fd, s.ptr, s.len) == (ssize_t)s.len;
}

static bool put_line(Buf *out, const char *text) {
    json_t *string = json_string(text);
    char *dump = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    buf_puts(out, dump ? dump : "");
    buf_putc(out, '\n');
    bool ok = dump && !out->failed;
    free(dump);
    json_decref(string);
    return ok;
}

// One write, so that lines of several chats do not mix.
static bool append_line(int fd, const char *text) {
    Buf line = {0};
    bool ok = put_line(&line, text) && write_all(fd, buf_str(&line));
    buf_free(&line);
    return ok;
}

static bool make_folder_of(const char *path, Err *err) {
    char folder[HISTORY_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    return folder_create(folder, err);
}

bool history_file_append(const char *path, const char *text, Err *err) {
    if (!make_folder_of(path, err)) return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && append_line(fd, text);
    if (!ok) err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return ok;
}

// Skips lines that are no JSON strings: somebody has edited the file.
static json_t *read_lines(FILE *f) {
    json_t *lines = json_array();
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; lines && (n = getline(&line, &cap, f)) > 0;) {
        json_t *entry = json_loadb(line, (size_t)n, JSON_DECODE_ANY, NULL);
        if (json_is_string(entry))
            json_array_append_new(lines, entry);
        else
            json_decref(entry);
    }
    free(line);
    return lines;
}

static void rewrite(const char *path, const json_t *lines, size_t from) {
    Buf all = {0};
    bool ok = true;
    for (size_t i = from; ok && i < json_array_size(lines); i++)
        ok = put_line(&all, json_string_value(json_array_get(lines, i)));
    if (ok) file_write(path, buf_str(&all), 0600, NULL); // else it stays as long as it is
    buf_free(&all);
}

bool history_file_read(const char *path, size_t limit, void (*take)(const char *text, void *user), void *user,
                       Err *err) {
    FILE *f = fopen(path, "re");
    if (!f && errno == ENOENT) return true;
    if (!f) return err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    json_t *lines = read_lines(f);
    fclose(f);
    if (!lines) return err_set(err, ERR_NOMEM, "out of memory");
    size_t n = json_array_size(lines), from = n > limit ? n - limit : 0;
    for (size_t i = from; i < n; i++) take(json_string_value(json_array_get(lines, i)), user);
    if (n > 2 * limit) rewrite(path, lines, from);
    json_decref(lines);
    return true;
}
