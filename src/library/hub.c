#include "library/hub.h"

#include "library/file_digest.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <strings.h>

enum { MAX_REPLY_BYTES = 16 << 20, MAX_SHOWN_TYPES = 30 };

const char hub_default_endpoint[] = "https://huggingface.co";

// By how well size and quality go together.
static const char *const preferred[] = {"Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "Q8_0",
                                        "Q6_K",   "BF16",   "F16",    "F32"};

// ---- names ----

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcasecmp(s + n - k, end) == 0;
}

static bool is_plain(const char *path) {
    for (; *path; path++)
        if (*path < ' ' || *path > '~') return false;
    return true;
}

static bool is_model(const char *path) {
    return is_plain(path) && ends_with(path, ".gguf") && !strstr(path, "-of-0") && !strstr(path, "mmproj") &&
           !strstr(path, "imatrix");
}

// What stands behind the last "-" or "." of the name: usually the type.
static Str type_of(const char *path) {
    Str s = {path, strlen(path) - 5};
    for (size_t i = s.len; i > 0; i--)
        if (strchr("-./", s.ptr[i - 1])) return str_skip(s, i);
    return s;
}

// ---- choosing ----

static const char *name_of(const json_t *file) {
    const char *name = json_string_value(json_object_get(file, "rfilename"));
    return name ? name : "";
}

static bool means(const ModelRef *ref, const char *path, const char *type) {
    if (ref->path[0]) return strcmp(path, ref->path) == 0;
    return is_model(path) && (!type || model_path_has_type(path, type));
}

static const json_t *first_of(const json_t *files, const ModelRef *ref, const char *type, size_t *n) {
    const json_t *found = NULL;
    *n = 0;
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        if (!means(ref, name_of(file), type)) continue;
        if (!found) found = file;
        ++*n;
    }
    return found;
}

static bool refuse(const json_t *files, const ModelRef *ref, Err *err) {
    Buf types = {0};
    size_t shown = 0;
    for (size_t i = 0; i < json_array_size(files) && shown < MAX_SHOWN_TYPES; i++) {
        const char *path = name_of(json_array_get(files, i));
        if (!is_model(path)) continue;
        Str type = type_of(path);
        buf_printf(&types, "%s%.*s", shown++ ? ", " : "", (int)type.len, type.ptr);
    }
    if (!shown)
        err_set(err, ERR_NOT_FOUND, "hf:%s has no GGUF file in one piece", ref->repo);
    else if (ref->path[0])
        err_set(err, ERR_NOT_FOUND, "hf:%s has no file %s; of its models there are: %s", ref->repo, ref->path,
                types.ptr);
    else
        err_set(err, ERR_NOT_FOUND, "hf:%s has no file of type %s: there are %s", ref->repo,
                ref->type[0] ? ref->type : "that can be chosen for you; give hf:OWNER/REPO:TYPE", types.ptr);
    buf_free(&types);
    return false;
}

static const json_t *choose(const json_t *files, const ModelRef *ref, Err *err) {
    size_t n = 0;
    bool exact = ref->path[0] || ref->type[0];
    const json_t *file = first_of(files, ref, ref->type[0] ? ref->type : NULL, &n);
    if (file && (exact || n == 1)) return file;
    for (size_t i = 0; !exact && i < sizeof preferred / sizeof preferred[0]; i++)
        if ((file = first_of(files, ref, preferred[i], &n))) return file;
    refuse(files, ref, err);
    return NULL;
}

// ---- what is told of the file ----

// Percent-encodes what may stand in a file's name and means something else in an address.
static void put_path(Buf *out, const char *path) {
    for (; *path; path++) {
        bool plain = isalnum((unsigned char)*path) || strchr("-._~/", *path);
        if (plain)
            buf_putc(out, *path);
        else
            buf_printf(out, "%%%02X", (unsigned char)*path);
    }
}

static bool put_url(const char *endpoint, const ModelRef *ref, const char *commit, HubFile *out, Err *err) {
    Buf url = {0};
    buf_printf(&url, "%s/", endpoint);
    put_path(&url, ref->repo);
    buf_puts(&url, "/resolve/");
    put_path(&url, commit);
    buf_putc(&url, '/');
    put_path(&url, out->path);
    int n = snprintf(out->url, sizeof out->url, "%s", url.failed ? "" : url.ptr);
    buf_free(&url);
    return (n > 0 && (size_t)n < sizeof out->url) ||
           err_set(err, ERR_LIMIT, "the file's address is too long");
}

static void read_licence(const json_t *model, HubFile *out) {
    const json_t *card = json_object_get(model, "cardData");
    const char *name = json_string_value(json_object_get(card, "license_name"));
    const char *licence = name ? name : json_string_value(json_object_get(card, "license"));
    snprintf(out->licence, sizeof out->licence, "%s", licence ? licence : "");
}

static bool read_file(const json_t *file, HubFile *out, Err *err) {
    const json_t *large = json_object_get(file, "lfs");
    const json_t *size = json_object_get(large ? large : file, "size");
    const char *digest = json_string_value(json_object_get(large, "sha256"));
    int n = snprintf(out->path, sizeof out->path, "%s", name_of(file));
    if ((size_t)n >= sizeof out->path) return err_set(err, ERR_LIMIT, "the file's path is too long");
    out->size = json_integer_value(size) > 0 ? json_integer_value(size) : 0;
    if (digest && digest_valid(digest)) snprintf(out->sha256, sizeof out->sha256, "%s", digest);
    return true;
}

bool hub_choose(Str text, const char *endpoint, const ModelRef *ref, HubFile *out, Err *err) {
    char shown[256];
    *out = (HubFile){0};
    url_without_login(endpoint, shown, sizeof shown);
    json_t *model = json_loadb(text.ptr, text.len, 0, NULL);
    const json_t *files = json_object_get(model, "siblings");
    const char *commit = json_string_value(json_object_get(model, "sha"));
    bool ok = json_is_array(files) ||
              err_set(err, ERR_INVALID, "%s does not speak the hub's API: its reply lists no files", shown);
    const json_t *file = ok ? choose(files, ref, err) : NULL;
    ok = file && read_file(file, out, err) &&
         put_url(endpoint, ref, commit ? commit : ref->revision, out, err);
    if (ok) read_licence(model, out);
    json_decref(model);
    return ok;
}

bool hub_find(const TransferConfig *c, const char *endpoint, const ModelRef *ref, HubFile *out, Err *err) {
    Buf url = {0}, reply = {0};
    buf_printf(&url, "%s/api/models/", endpoint);
    put_path(&url, ref->repo);
    buf_puts(&url, "/revision/");
    put_path(&url, ref->revision);
    buf_puts(&url, "?blobs=true");
    bool ok = (!url.failed || err_set(err, ERR_NOMEM, "out of memory")) &&
              transfer_document(c, url.ptr, MAX_REPLY_BYTES, &reply, err) &&
              hub_choose(buf_str(&reply), endpoint, ref, out, err);
    buf_free(&url);
    buf_free(&reply);
    return ok;
}
