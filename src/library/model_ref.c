#include "library/model_ref.h"

#include "base/num.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

bool model_name_valid(const char *name) {
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-");
    return n > 0 && n <= MODEL_NAME_MAX && !name[n] && isalnum((unsigned char)name[0]);
}

void model_name_of_path(const char *path, char out[MODEL_NAME_MAX + 1]) {
    Str s = {path, strcspn(path, "?#")};
    for (size_t i = s.len; i > 0; i--) {
        if (s.ptr[i - 1] != '/') continue;
        s = str_skip(s, i);
        break;
    }
    if (s.len > 5 && strncasecmp(s.ptr + s.len - 5, ".gguf", 5) == 0) s.len -= 5;
    size_t n = 0;
    for (size_t i = 0; i < s.len && n < MODEL_NAME_MAX; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool keep = isalnum(c) || (n > 0 && (c == '.' || c == '_' || c == '-'));
        if (keep) out[n++] = (char)tolower(c);
    }
    out[n] = 0;
}

bool model_path_has_type(const char *path, const char *type) {
    size_t n = strlen(path), k = strlen(type);
    n = n > 5 ? n - 5 : 0; // ".gguf"
    if (n <= k || strncasecmp(path + n - k, type, k) != 0) return false;
    char before = path[n - k - 1];
    return before == '-' || before == '.' || before == '_' || before == '/';
}

void model_ref_source(const ModelRef *ref, const char *path, char *out, size_t size) {
    bool main = strcmp(ref->revision, "main") == 0;
    snprintf(out, size, "hf:%s%s%s/%s", ref->repo, main ? "" : "@", main ? "" : ref->revision, path);
}

static bool take(Str s, char *out, size_t size, const char *what, Err *err) {
    if (s.len == 0 || s.len >= size) return err_set(err, ERR_INVALID, "the %s is empty or too long", what);
    memcpy(out, s.ptr, s.len);
    out[s.len] = 0;
    return true;
}

static bool take_type(Str s, ModelRef *out, Err *err) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
    if (!take(s, out->type, sizeof out->type, "type", err)) return false;
    return !out->type[strspn(out->type, allowed)] ||
           err_set(err, ERR_INVALID, "'%s' is no type such as Q4_K_M", out->type);
}

static size_t find(Str s, char c) {
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : s.len;
}

// Nothing that would mean something else in a URL or climb out of a folder.
static bool plain_path(const char *s) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/+ ()";
    return !s[strspn(s, allowed)] && !strstr(s, "..") && !strstr(s, "//");
}

// "@REVISION", "/PATH" and ":TYPE" behind OWNER/REPO.
static bool parse_rest(Str s, ModelRef *out, Err *err) {
    if (s.len && s.ptr[0] == '@') {
        size_t end = num_min(find(s, '/'), find(s, ':'));
        if (!take(str_sub(s, 1, end - 1), out->revision, sizeof out->revision, "revision", err)) return false;
        s = str_skip(s, end);
    }
    if (s.len && s.ptr[0] == '/')
        return take(str_skip(s, 1), out->path, sizeof out->path, "file's path", err);
    if (s.len && s.ptr[0] == ':') return take_type(str_skip(s, 1), out, err);
    return true;
}

// "blob/REVISION/PATH", as the hub's pages have it, as "@REVISION/PATH" is read.
static bool parse_page_rest(Str s, ModelRef *out, Err *err) {
    Str kinds[] = {STR("/blob/"), STR("/resolve/"), STR("/tree/")};
    for (int i = 0; i < 3; i++) {
        if (!str_starts_with(s, kinds[i])) continue;
        s = str_skip(s, kinds[i].len);
        size_t slash = find(s, '/');
        if (!take(str_sub(s, 0, slash), out->revision, sizeof out->revision, "revision", err)) return false;
        s = str_skip(s, slash + 1);
        return i == 2 || take(str_sub(s, 0, find(s, '?')), out->path, sizeof out->path, "file's path", err);
    }
    return s.len <= 1 || parse_rest(s, out, err);
}

static bool parse_hub(Str s, bool page, ModelRef *out, Err *err) {
    Str whole = s;
    size_t owner = find(s, '/');
    Str behind = str_skip(s, owner + 1);
    size_t repo = 0;
    while (repo < behind.len && !strchr("/:@", behind.ptr[repo])) repo++;
    if (!owner || !repo)
        return err_set(err, ERR_INVALID, "'%.*s' names no repository: it must be OWNER/REPO", (int)whole.len,
                       whole.ptr);
    Str rest = str_skip(behind, repo);
    snprintf(out->revision, sizeof out->revision, "main");
    return take(str_sub(s, 0, owner + 1 + repo), out->repo, sizeof out->repo, "repository", err) &&
           (page ? parse_page_rest(rest, out, err) : parse_rest(rest, out, err)) &&
           ((plain_path(out->repo) && plain_path(out->revision) && plain_path(out->path)) ||
            err_set(err, ERR_INVALID, "'%.*s' has characters that no repository or file has", (int)whole.len,
                    whole.ptr));
}

static bool unknown(const char *text, Err *err) {
    const CatalogueModel *near = catalogue_nearest(text);
    return err_set(
        err, ERR_NOT_FOUND,
        "the catalogue has no model '%.80s'%s%s%s `cllm list --catalogue` has all; a file, hf:OWNER/REPO "
        "and URLs are understood too",
        text, near ? "; did you mean " : ";", near ? near->name : "", near ? "?" : "");
}

static bool parse_catalogue(const char *text, ModelRef *out, Err *err) {
    Str s = str_from(text);
    size_t colon = find(s, ':');
    out->entry = catalogue_find(str_sub(s, 0, colon));
    if (!out->entry) return unknown(text, err);
    Str type = colon < s.len ? str_skip(s, colon + 1) : str_from(out->entry->type);
    snprintf(out->repo, sizeof out->repo, "%s", out->entry->repo);
    snprintf(out->revision, sizeof out->revision, "main");
    if (!take_type(type, out, err)) return false;
    snprintf(out->name, sizeof out->name, "%s", out->entry->name);
    if (strcasecmp(out->type, out->entry->type) == 0) return true;
    snprintf(out->name, sizeof out->name, "%s-%s", out->entry->name, out->type);
    for (char *p = out->name; *p; p++) *p = (char)tolower((unsigned char)*p);
    return true;
}

bool model_ref_parse(const char *text, ModelRef *out, Err *err) {
    const struct {
        Str prefix;
        bool page;
    } hubs[] = {{STR("hf:"), false},
                {STR("hf.co/"), true},
                {STR("https://hf.co/"), true},
                {STR("huggingface.co/"), true},
                {STR("https://huggingface.co/"), true}};
    *out = (ModelRef){0};
    Str s = str_from(text);
    for (size_t i = 0; i < sizeof hubs / sizeof hubs[0]; i++)
        if (str_starts_with(s, hubs[i].prefix))
            return parse_hub(str_skip(s, hubs[i].prefix.len), hubs[i].page, out, err);
    if (!strstr(text, "://")) return parse_catalogue(text, out, err);
    bool known = str_starts_with(s, STR("http://")) || str_starts_with(s, STR("https://")) ||
                 str_starts_with(s, STR("file://"));
    if (!known)
        return err_set(err, ERR_UNSUPPORTED, "'%.80s': only http, https and file addresses are understood",
                       text);
    return take(s, out->url, sizeof out->url, "address", err);
}
