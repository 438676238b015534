#include "library/pull.h"

#include "gguf/gguf.h"
#include "library/file_digest.h"
#include "library/hub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct Pull {
    const PullConfig *config;
    const char *url, *token;
    char name[MODEL_NAME_MAX + 1];
    char path[LIBRARY_PATH_MAX], part[LIBRARY_PATH_MAX], part_record[LIBRARY_PATH_MAX];
    ModelRecord record; // of what is fetched; its digest empty until it is known
    int64_t size;       // by the hub; 0: not told
    int fd;             // of the part
    PullStage stage;
} Pull;

static bool on_progress(void *user, int64_t done, int64_t total) {
    Pull *p = user;
    const PullHooks *hooks = &p->config->hooks;
    return hooks->progress(hooks->user, p->stage, p->name, done, total);
}

static void on_retry(void *user, const char *why, double seconds) {
    const PullHooks *hooks = &((Pull *)user)->config->hooks;
    hooks->retry(hooks->user, why, seconds);
}

static bool on_digest_progress(void *user, int64_t done) {
    return on_progress(user, done, ((Pull *)user)->size);
}

static TransferConfig transfer_config(Pull *p, const char *token) {
    return (TransferConfig){.token = token,
                            .retries = p->config->retries,
                            .stall_s = p->config->stall_s,
                            .hooks = {on_progress, on_retry, p}};
}

// ---- what to fetch ----

static bool set_name(Pull *p, const char *given, const char *path, Err *err) {
    const char *wanted = p->config->name[0] ? p->config->name : given;
    if (wanted[0])
        snprintf(p->name, sizeof p->name, "%s", strlen(wanted) <= MODEL_NAME_MAX ? wanted : "");
    else
        model_name_of_path(path, p->name);
    if (!model_name_valid(p->name))
        return err_set(
            err, ERR_INVALID,
            "'%.100s' cannot be a name in the library: small letters, digits, '.', '_' and '-' can",
            wanted[0] ? wanted : path);
    const Library *l = p->config->library;
    library_path(l, p->name, ".gguf", p->path);
    library_path(l, p->name, ".part", p->part);
    library_path(l, p->name, ".part-of", p->part_record);
    return true;
}

// By the digest that the user, else the hub, names.
static void set_digest(Pull *p, const char *told) {
    const char *digest = p->config->sha256[0] ? p->config->sha256 : told;
    snprintf(p->record.sha256, sizeof p->record.sha256, "%s", digest);
}

static bool find_on_hub(Pull *p, const ModelRef *ref, HubFile *file, Err *err) {
    TransferConfig config = transfer_config(p, p->config->token);
    snprintf(p->name, sizeof p->name, "%.*s", MODEL_NAME_MAX, ref->name[0] ? ref->name : ref->repo); // shown
    if (!hub_find(&config, p->config->endpoint, ref, file, err)) return false;
    p->url = file->url;
    p->token = p->config->token;
    p->size = file->size;
    model_ref_source(ref, file->path, p->record.source, sizeof p->record.source);
    snprintf(p->record.licence, sizeof p->record.licence, "%s",
             file->licence[0] ? file->licence
             : ref->entry     ? ref->entry->licence
                              : "");
    set_digest(p, file->sha256);
    return set_name(p, ref->name, file->path, err);
}

static bool find(Pull *p, const ModelRef *ref, HubFile *file, Err *err) {
    if (!ref->url[0]) return find_on_hub(p, ref, file, err);
    p->url = ref->url;
    p->token = "";
    url_without_login(ref->url, p->record.source, sizeof p->record.source);
    set_digest(p, "");
    return set_name(p, ref->name, ref->url, err);
}

// Without a digest to compare, what comes from the same place counts as the same.
static bool is_there(const Pull *p, LibraryModel *model) {
    if (p->config->force || !library_find(p->config->library, p->name, model)) return false;
    if (p->record.sha256[0] && model->recorded)
        return strcasecmp(p->record.sha256, model->record.sha256) == 0;
    return true;
}

// ---- the part ----

static bool open_part(Pull *p, Err *err) {
    p->fd = open(p->part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    return p->fd >= 0 || err_set(err, ERR_IO, "cannot write %s: %s", p->part, strerror(errno));
}

static bool truncate_part(Pull *p, Err *err) {
    return ftruncate(p->fd, 0) == 0 || err_set(err, ERR_IO, "cannot write %s: %s", p->part, strerror(errno));
}

// A part of something else, or of another version, is no beginning of this file.
static bool prepare_part(Pull *p, Err *err) {
    ModelRecord old;
    bool same = record_read(p->part_record, &old) && strcmp(old.source, p->record.source) == 0 &&
                strcasecmp(old.sha256, p->record.sha256) == 0 && (old.sha256[0] || old.tag[0]);
    if (same) memcpy(p->record.tag, old.tag, sizeof old.tag);
    return (same || truncate_part(p, err)) && record_write(p->part_record, &p->record, err);
}

static void drop_part(Pull *p) {
    unlink(p->part);
    unlink(p->part_record);
}

// ---- fetching and checking ----

// The digest alone decides where there is one; else the tag tells versions apart, and is kept with the part.
static bool transfer(Pull *p, Err *err) {
    TransferConfig config = transfer_config(p, p->token);
    TransferFacts facts = {.size = p->size};
    if (!p->record.sha256[0]) memcpy(facts.tag, p->record.tag, sizeof facts.tag);
    bool ok = transfer_file(&config, p->url, p->fd, p->part, &facts, err);
    memcpy(p->record.tag, facts.tag, sizeof facts.tag);
    if (!ok) {
        record_write(p->part_record, &p->record, NULL);
        return false;
    }
    if (!p->record.sha256[0]) memcpy(p->record.sha256, facts.sha256, sizeof facts.sha256);
    return true;
}

// *matches: false when the source has told another digest.
static bool check_digest(Pull *p, bool *matches, Err *err) {
    char hex[DIGEST_HEX + 1] = "";
    struct stat info;
    p->stage = PULL_CHECKING;
    if (fstat(p->fd, &info) == 0) p->size = info.st_size;
    if (!file_digest(p->fd, p->part, on_digest_progress, p, hex, err)) return false;
    p->record.verified = p->record.sha256[0] != 0;
    *matches = !p->record.verified || strcasecmp(hex, p->record.sha256) == 0;
    if (!*matches)
        err_set(err, ERR_INVALID, "%s: the file that came has the SHA-256 %s instead of %s", p->record.source,
                hex, p->record.sha256);
    memcpy(p->record.sha256, hex, sizeof hex);
    p->stage = PULL_FETCHING;
    return true;
}

// Once more from the beginning if it came damaged: a part may have been continued with what did not belong to
// it.
static bool fetch(Pull *p, Err *err) {
    char told[sizeof p->record.sha256];
    for (int attempt = 0;; attempt++) {
        bool matches = false;
        memcpy(told, p->record.sha256, sizeof told);
        if (!transfer(p, err)) return false;
        if (!check_digest(p, &matches, err)) return false;
        if (matches) return true;
        if (attempt == 1) break;
        on_retry(p, err->msg, 0);
        memcpy(p->record.sha256, told, sizeof told);
        if (!truncate_part(p, err)) return false;
    }
    drop_part(p);
    return false;
}

static bool check_model(Pull *p, Err *err) {
    Gguf *g = gguf_open(p->part, err);
    if (!g) {
        drop_part(p);
        return err_prefix(err, "what came is no model that can be used");
    }
    Str licence;
    if (!p->record.licence[0] && gguf_get_str(g, "general.license", &licence) && licence.len < 64)
        snprintf(p->record.licence, sizeof p->record.licence, "%.*s", (int)licence.len, licence.ptr);
    gguf_close(g);
    return true;
}

static bool accept_part(Pull *p, Err *err) {
    char record[LIBRARY_PATH_MAX];
    time_t now = time(NULL);
    struct tm utc;
    strftime(p->record.fetched, sizeof p->record.fetched, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    library_path(p->config->library, p->name, ".json", record);
    // The file first: a record that is older than its file leads to another pull, a newer one would lie.
    if (fsync(p->fd) != 0 || rename(p->part, p->path) != 0)
        return err_set(err, ERR_IO, "cannot put %s in its place: %s", p->path, strerror(errno));
    unlink(p->part_record);
    if (!record_write(record, &p->record, err)) return false;
    int folder = open(p->config->library->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        fsync(folder); // the name is to survive a power cut, too
        close(folder);
    }
    return true;
}

static bool fetch_and_accept(Pull *p, PullResult *out, Err *err) {
    if (!open_part(p, err)) return false;
    bool ok = prepare_part(p, err) && fetch(p, err) && check_model(p, err) && accept_part(p, err);
    close(p->fd);
    return ok && (library_find(p->config->library, p->name, &out->model) ||
                  err_set(err, ERR_IO, "%s has vanished", p->path));
}

static bool lock_name(Pull *p, LibraryLock *lock, Err *err) {
    for (bool busy; !library_lock(p->config->library, p->name, lock, &busy, err);) {
        if (!busy) return false;
        p->stage = PULL_WAITING;
        if (!on_progress(p, 0, 0)) return err_set(err, ERR_IO, "interrupted");
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    p->stage = PULL_FETCHING;
    return true;
}

static bool fetch_into_library(Pull *p, PullResult *out, Err *err) {
    LibraryLock lock;
    if (!library_create(p->config->library, err) || !lock_name(p, &lock, err)) return false;
    out->was_there = is_there(p, &out->model); // another pull has brought it while this one waited
    bool ok = out->was_there || fetch_and_accept(p, out, err);
    library_unlock(&lock);
    return ok;
}

bool pull_model(const PullConfig *c, const ModelRef *ref, PullResult *out, Err *err) {
    Pull p = {.config = c, .stage = PULL_FETCHING};
    HubFile file;
    *out = (PullResult){0};
    if (c->sha256[0] && !digest_valid(c->sha256))
        return err_set(err, ERR_INVALID, "'%.80s' is no SHA-256: it has 64 hexadecimal digits", c->sha256);
    if (!find(&p, ref, &file, err)) return false;
    memcpy(out->path, p.path, sizeof out->path);
    out->was_there = is_there(&p, &out->model);
    return out->was_there || fetch_into_library(&p, out, err);
}
