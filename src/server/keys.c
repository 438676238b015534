#include "server/keys.h"

#include "base/buf.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { KEYS_MAX_FILE = 1 << 20, KEYS_MAX_LENGTH = 512 };

typedef struct Digest {
    unsigned char bytes[SHA256_DIGEST_LENGTH];
} Digest;

typedef struct DigestList {
    Digest *items;
    size_t n;
} DigestList;

struct Keys {
    Digest single;
    bool has_single;
    const char *path; // borrowed; "": none
    DigestList list;
};

static bool digest(Str key, Digest *out) {
    return EVP_Digest(key.ptr, key.len, out->bytes, NULL, EVP_sha256(), NULL) == 1;
}

static bool check_key(Str key, Err *err) {
    if (key.len > KEYS_MAX_LENGTH)
        return err_set(err, ERR_LIMIT, "the key is longer than %d bytes", KEYS_MAX_LENGTH);
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] <= ' ' || key.ptr[i] > '~')
            return err_set(err, ERR_INVALID, "the key holds a blank or a byte that is not printable ASCII");
    return true;
}

static bool add_digest(DigestList *list, const Digest *d, Err *err) {
    Digest *items = realloc(list->items, (list->n + 1) * sizeof *items);
    if (!items) return err_set(err, ERR_NOMEM, "out of memory");
    list->items = items;
    items[list->n++] = *d;
    return true;
}

static bool add_key(DigestList *list, Str key, Err *err) {
    Digest d;
    if (!check_key(key, err)) return false;
    if (!digest(key, &d)) return err_set(err, ERR_NOMEM, "SHA-256 failed");
    return add_digest(list, &d, err);
}

// ---- the file

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static Str trim(Str s) {
    while (s.len && is_blank(s.ptr[0])) s = str_skip(s, 1);
    while (s.len && is_blank(s.ptr[s.len - 1])) s.len--;
    return s;
}

static bool read_file(const char *path, Buf *out, Err *err) {
    FILE *f = fopen(path, "rb");
    if (!f) return err_set(err, ERR_IO, "cannot open %s: %s", path, strerror(errno));
    char piece[4096];
    size_t n;
    while (out->len <= KEYS_MAX_FILE && (n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_put(out, (Str){piece, n});
    OPENSSL_cleanse(piece, sizeof piece);
    bool ok = !ferror(f);
    fclose(f);
    if (!ok) return err_set(err, ERR_IO, "cannot read %s", path);
    if (out->failed) return err_set(err, ERR_NOMEM, "out of memory");
    if (out->len > KEYS_MAX_FILE)
        return err_set(err, ERR_LIMIT, "%s is longer than %d bytes", path, KEYS_MAX_FILE);
    return true;
}

static bool add_lines(DigestList *list, const char *path, Str text, Err *err) {
    for (int number = 1; text.len; number++) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t n = end ? (size_t)(end - text.ptr) : text.len;
        Str key = trim(str_sub(text, 0, n));
        text = str_skip(text, n + 1);
        if (key.len == 0 || key.ptr[0] == '#') continue;
        if (!add_key(list, key, err)) return err_prefix(err, "%s:%d", path, number);
    }
    return true;
}

static bool add_file(DigestList *list, const char *path, Err *err) {
    Buf text = {0};
    size_t before = list->n;
    bool ok = read_file(path, &text, err) && add_lines(list, path, buf_str(&text), err);
    if (ok && list->n == before) ok = err_set(err, ERR_INVALID, "%s holds no key", path);
    if (text.ptr) OPENSSL_cleanse(text.ptr, text.cap);
    buf_free(&text);
    return ok;
}

// ---- life

static bool take_single(Keys *k, const char *single, Err *err) {
    if (!k->has_single) return true;
    if (!check_key(str_from(single), err)) return err_prefix(err, "--api-key");
    return digest(str_from(single), &k->single) || err_set(err, ERR_NOMEM, "SHA-256 failed");
}

Keys *keys_new(const char *single, const char *path, Err *err) {
    Keys *k = calloc(1, sizeof *k);
    if (!k) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    k->has_single = single && *single;
    k->path = path ? path : "";
    if (take_single(k, single, err) && keys_reload(k, err)) return k;
    keys_free(k);
    return NULL;
}

void keys_free(Keys *k) {
    if (!k) return;
    free(k->list.items);
    free(k);
}

bool keys_required(const Keys *k) {
    return k && k->list.n > 0;
}

size_t keys_count(const Keys *k) {
    return k->list.n;
}

bool keys_reload(Keys *k, Err *err) {
    DigestList list = {0};
    bool ok = !k->has_single || add_digest(&list, &k->single, err);
    if (ok && k->path[0]) ok = add_file(&list, k->path, err) || err_prefix(err, "--api-key-file");
    if (!ok) {
        free(list.items);
        return false;
    }
    free(k->list.items);
    k->list = list;
    return true;
}

// ---- the check

static bool knows(const Keys *k, Str key) {
    Digest sent;
    int hits = 0;
    if (!digest(key, &sent)) return false;
    for (size_t i = 0; i < k->list.n; i++)
        hits += CRYPTO_memcmp(sent.bytes, k->list.items[i].bytes, sizeof sent.bytes) == 0;
    return hits > 0;
}

bool keys_admit(const Keys *k, Str authorization, Str x_api_key) {
    static const char scheme[] = "Bearer ";
    size_t n = sizeof scheme - 1;
    if (!keys_required(k)) return true;
    if (authorization.len > n && strncasecmp(authorization.ptr, scheme, n) == 0 &&
        knows(k, trim(str_skip(authorization, n))))
        return true;
    return x_api_key.len && knows(k, x_api_key);
}
