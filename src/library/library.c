#include "library/library.h"

#include "base/file.h"
#include "base/printable.h"
#include "base/user_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

bool library_open(const char *folder, Library *out, Err *err) {
    char own[sizeof out->folder];
    if (!folder[0]) {
        if (!user_folder(USER_CACHE, "models", own, sizeof own, err)) return false;
        folder = own;
    }
    int n = snprintf(out->folder, sizeof out->folder, "%s", folder);
    return (n > 0 && (size_t)n < sizeof out->folder) ||
           err_set(err, ERR_LIMIT, "the path of the model library is too long: %.80s…", folder);
}

bool library_create(const Library *l, Err *err) {
    return folder_create(l->folder, err);
}

void library_path(const Library *l, const char *name, const char *suffix, char out[LIBRARY_PATH_MAX]) {
    snprintf(out, LIBRARY_PATH_MAX, "%s/%s%s", l->folder, name, suffix);
}

// ---- records ----

static void get_text(const json_t *object, const char *key, char *out, size_t size) {
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(out, size, "%s", text ? text : "");
    make_printable(out);
}

bool record_read(const char *path, ModelRecord *out) {
    *out = (ModelRecord){0};
    json_t *r = json_load_file(path, 0, NULL);
    bool ok = json_is_object(r);
    get_text(r, "source", out->source, sizeof out->source);
    get_text(r, "licence", out->licence, sizeof out->licence);
    get_text(r, "sha256", out->sha256, sizeof out->sha256);
    get_text(r, "tag", out->tag, sizeof out->tag);
    get_text(r, "fetched", out->fetched, sizeof out->fetched);
    out->verified = json_is_true(json_object_get(r, "verified"));
    json_decref(r);
    return ok;
}

bool record_write(const char *path, const ModelRecord *r, Err *err) {
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "source", r->source, "licence", r->licence, "sha256",
                  r->sha256, "tag", r->tag, "fetched", r->fetched, "verified", r->verified);
    char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
    json_decref(object);
    bool ok = text ? file_write(path, str_from(text), 0666, err) : err_set(err, ERR_NOMEM, "out of memory");
    free(text);
    return ok;
}

// ---- models ----

bool library_find(const Library *l, const char *name, LibraryModel *out) {
    char path[LIBRARY_PATH_MAX];
    struct stat info;
    if (!model_name_valid(name)) return false;
    library_path(l, name, ".gguf", path);
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    *out = (LibraryModel){.bytes = info.st_size};
    snprintf(out->name, sizeof out->name, "%s", name);
    library_path(l, name, ".json", path);
    out->recorded = record_read(path, &out->record);
    return true;
}

// "NAME.gguf" or "NAME.part" -> NAME
static bool name_of_entry(const char *entry, const char *suffix, char name[MODEL_NAME_MAX + 1]) {
    size_t n = strlen(entry), k = strlen(suffix);
    if (n <= k || n - k > MODEL_NAME_MAX || strcmp(entry + n - k, suffix) != 0) return false;
    snprintf(name, MODEL_NAME_MAX + 1, "%.*s", (int)(n - k), entry);
    return true;
}

static bool find_part(const Library *l, const char *name, LibraryModel *out) {
    char path[LIBRARY_PATH_MAX];
    struct stat info;
    library_path(l, name, ".part", path);
    if (!model_name_valid(name) || stat(path, &info) != 0) return false;
    *out = (LibraryModel){.bytes = info.st_size, .unfinished = true};
    snprintf(out->name, sizeof out->name, "%s", name);
    library_path(l, name, ".part-of", path);
    out->recorded = record_read(path, &out->record);
    return true;
}

static int by_name(const void *a, const void *b) {
    const LibraryModel *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->unfinished - y->unfinished;
}

static bool read_models(const Library *l, DIR *folder, LibraryModel **out, size_t *n) {
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[MODEL_NAME_MAX + 1];
        LibraryModel model;
        bool found = (name_of_entry(entry->d_name, ".gguf", name) && library_find(l, name, &model)) ||
                     (name_of_entry(entry->d_name, ".part", name) && find_part(l, name, &model));
        if (!found) continue;
        LibraryModel *grown = realloc(*out, (*n + 1) * sizeof **out);
        if (!grown) return false;
        *out = grown;
        grown[(*n)++] = model;
    }
    return true;
}

bool library_list(const Library *l, LibraryModel **out, size_t *n, Err *err) {
    *out = NULL;
    *n = 0;
    DIR *folder = opendir(l->folder);
    if (!folder && errno == ENOENT) return true;
    if (!folder) return err_set(err, ERR_IO, "cannot read %s: %s", l->folder, strerror(errno));
    bool ok = read_models(l, folder, out, n);
    closedir(folder);
    if (*n) qsort(*out, *n, sizeof **out, by_name);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

static bool comes_from(const LibraryModel *m, const ModelRef *ref) {
    char source[MODEL_URL_MAX];
    if (m->unfinished || !m->recorded) return false;
    if (ref->url[0]) return strcmp(m->record.source, ref->url) == 0;
    model_ref_source(ref, ref->path, source, sizeof source);
    if (ref->path[0]) return strcmp(m->record.source, source) == 0;
    return str_starts_with(str_from(m->record.source), str_from(source)) &&
           (!ref->type[0] || model_path_has_type(m->record.source, ref->type));
}

bool library_find_source(const Library *l, const ModelRef *ref, LibraryModel *out) {
    LibraryModel *models;
    size_t n;
    bool found = false;
    if (!library_list(l, &models, &n, NULL)) return false;
    for (size_t i = 0; i < n && !found; i++) {
        found = comes_from(&models[i], ref);
        if (found) *out = models[i];
    }
    free(models);
    return found;
}

// ---- changes ----

static bool is_same_file(int fd, const char *path) {
    struct stat open_one, named;
    return fstat(fd, &open_one) == 0 && stat(path, &named) == 0 && open_one.st_ino == named.st_ino &&
           open_one.st_dev == named.st_dev;
}

// Who had it before removes the file, and another one may have made a new one meanwhile.
bool library_lock(const Library *l, const char *name, LibraryLock *out, bool *busy, Err *err) {
    *busy = false;
    library_path(l, name, ".lock", out->path);
    for (;;) {
        out->fd = open(out->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (out->fd < 0) return err_set(err, ERR_IO, "cannot write %s: %s", out->path, strerror(errno));
        if (flock(out->fd, LOCK_EX | LOCK_NB) != 0) {
            *busy = errno == EWOULDBLOCK;
            err_set(err, ERR_IO, "cannot lock %s: %s", out->path, strerror(errno));
            close(out->fd);
            return false;
        }
        if (is_same_file(out->fd, out->path)) return true;
        close(out->fd);
    }
}

void library_unlock(LibraryLock *lock) {
    unlink(lock->path);
    close(lock->fd);
}

// The files of a name, in the order in which they go.
static const char *const suffixes[] = {".gguf", ".part", ".part-of", ".json"};
enum { N_SUFFIXES = sizeof suffixes / sizeof suffixes[0] };

static bool is_known(const Library *l, const char *name) {
    bool any = false;
    for (size_t i = 0; i < N_SUFFIXES && !any; i++) {
        char path[LIBRARY_PATH_MAX];
        struct stat info;
        library_path(l, name, suffixes[i], path);
        any = lstat(path, &info) == 0;
    }
    return any;
}

static bool remove_files(const Library *l, const char *name, int64_t *freed, Err *err) {
    for (size_t i = 0; i < N_SUFFIXES; i++) {
        char path[LIBRARY_PATH_MAX];
        struct stat info;
        library_path(l, name, suffixes[i], path);
        if (lstat(path, &info) != 0) continue;
        if (unlink(path) != 0) return err_set(err, ERR_IO, "cannot remove %s: %s", path, strerror(errno));
        *freed += info.st_size;
    }
    return true;
}

bool library_remove(const Library *l, const char *name, int64_t *freed, Err *err) {
    LibraryLock lock;
    bool busy;
    *freed = 0;
    if (!model_name_valid(name) || !is_known(l, name))
        return err_set(err, ERR_NOT_FOUND, "the library has no model '%.80s' (`cllm list`)", name);
    if (!library_lock(l, name, &lock, &busy, err))
        return busy ? err_set(err, ERR_IO, "%s is being fetched at the moment", name) : false;
    bool ok = remove_files(l, name, freed, err);
    library_unlock(&lock);
    return ok;
}
