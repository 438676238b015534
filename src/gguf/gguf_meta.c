// The metadata: parsing of keys and values, and the getters.
#include "gguf/gguf_parse.h"
#include "base/num.h"

#include <stdlib.h>

// Bytes of a value with a fixed size; 0 for strings and arrays.
static const uint8_t kind_bytes[GGUF_N_KINDS] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

static bool ends_inside(const GgufKey *k, Err *err) {
    char shown[GGUF_SHOWN_BYTES];
    return err_set(err, ERR_INVALID, "the file ends inside the value of key '%s': " GGUF_FETCH_AGAIN,
                   gguf_show(k->name, shown));
}

static bool take_kind(GgufCursor *c, const GgufKey *k, const char *of, GgufKind *out, Err *err) {
    uint32_t kind;
    if (!gguf_take_u32(c, &kind)) return ends_inside(k, err);
    char shown[GGUF_SHOWN_BYTES];
    if (kind >= GGUF_N_KINDS)
        return err_set(err, ERR_INVALID, "key '%s' has an unknown %s type %u", gguf_show(k->name, shown), of,
                       kind);
    *out = (GgufKind)kind;
    return true;
}

static bool check_bools(const GgufKey *k, Err *err) {
    char shown[GGUF_SHOWN_BYTES];
    for (uint64_t i = 0; i < k->n; i++)
        if (k->value[i] > 1)
            return err_set(err, ERR_INVALID, "key '%s' has the truth value %u; only 0 and 1 are allowed",
                           gguf_show(k->name, shown), k->value[i]);
    return true;
}

// Walks an array of strings once, so that iterators can trust the lengths.
static bool skip_strings(GgufCursor *c, const GgufKey *k, Err *err) {
    Str s;
    for (uint64_t i = 0; i < k->n; i++)
        if (!gguf_take_str(c, &s)) return ends_inside(k, err);
    return true;
}

static bool take_array(GgufCursor *c, GgufKey *k, Err *err) {
    if (!take_kind(c, k, "element", &k->elem, err)) return false;
    char shown[GGUF_SHOWN_BYTES];
    if (k->elem == GGUF_ARRAY)
        return err_set(err, ERR_UNSUPPORTED, "key '%s' is an array of arrays, which is not supported",
                       gguf_show(k->name, shown));
    if (!gguf_take_u64(c, &k->n)) return ends_inside(k, err);
    k->value = c->base + c->at;
    if (k->elem == GGUF_STRING) return skip_strings(c, k, err);
    size_t bytes;
    const uint8_t *data;
    if (k->n > SIZE_MAX || !num_mul((size_t)k->n, kind_bytes[k->elem], &bytes) || !gguf_take(c, bytes, &data))
        return ends_inside(k, err);
    return k->elem != GGUF_BOOL || check_bools(k, err);
}

static bool take_value(GgufCursor *c, GgufKey *k, Err *err) {
    if (k->kind == GGUF_ARRAY) return take_array(c, k, err);
    if (k->kind == GGUF_STRING) {
        if (!gguf_take_u64(c, &k->n) || !gguf_take(c, k->n, &k->value)) return ends_inside(k, err);
        return true;
    }
    k->n = 1;
    if (!gguf_take(c, kind_bytes[k->kind], &k->value)) return ends_inside(k, err);
    return k->kind != GGUF_BOOL || check_bools(k, err);
}

static bool take_key(Gguf *g, GgufCursor *c, uint32_t i, Err *err) {
    GgufKey *k = &g->keys[i];
    if (!gguf_take_name(c, "key", i, &k->name, err) || !take_kind(c, k, "value", &k->kind, err) ||
        !take_value(c, k, err))
        return false;
    char shown[GGUF_SHOWN_BYTES];
    if (!gguf_index_add(&g->key_index, g->keys, sizeof *g->keys, i))
        return err_set(err, ERR_INVALID, "key '%s' occurs twice", gguf_show(k->name, shown));
    return true;
}

static bool read_alignment(Gguf *g, Err *err) {
    if (!gguf_has(g, "general.alignment")) return true;
    uint64_t a;
    if (!gguf_get_u64(g, "general.alignment", &a))
        return err_set(err, ERR_INVALID, "general.alignment is not a positive whole number");
    if (a == 0 || (a & (a - 1)) || a > GGUF_MAX_ALIGNMENT)
        return err_set(err, ERR_INVALID, "general.alignment is %llu; it must be a power of two up to %d",
                       (unsigned long long)a, GGUF_MAX_ALIGNMENT);
    g->alignment = (uint32_t)a;
    return true;
}

bool gguf_parse_keys(Gguf *g, GgufCursor *c, uint64_t n, Err *err) {
    if (!gguf_index_init(&g->key_index, (uint32_t)n, err)) return false;
    g->keys = calloc(n ? n : 1, sizeof *g->keys);
    if (!g->keys) return err_set(err, ERR_NOMEM, "out of memory for the metadata");
    for (; g->n_keys < n; g->n_keys++)
        if (!take_key(g, c, g->n_keys, err)) return false;
    return read_alignment(g, err);
}

// A number as it is stored, wide enough for every kind.
typedef struct Number {
    enum { NOT_A_NUMBER, UNSIGNED, SIGNED, FLOATING } is; // SIGNED: negative values only
    uint64_t u;
    int64_t i;
    double f;
} Number;

static Number from_signed(int64_t i) {
    if (i >= 0) return (Number){.is = UNSIGNED, .u = (uint64_t)i};
    return (Number){.is = SIGNED, .i = i};
}

static Number read_f32(const uint8_t *p) {
    uint32_t bits = (uint32_t)gguf_load(p, 4);
    float f;
    memcpy(&f, &bits, sizeof f);
    return (Number){.is = FLOATING, .f = (double)f};
}

static Number read_f64(const uint8_t *p) {
    uint64_t bits = gguf_load(p, 8);
    double f;
    memcpy(&f, &bits, sizeof f);
    return (Number){.is = FLOATING, .f = f};
}

static Number read_number(GgufKind kind, const uint8_t *p) {
    switch (kind) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64: return (Number){.is = UNSIGNED, .u = gguf_load(p, kind_bytes[kind])};
    case GGUF_I8: return from_signed((int8_t)p[0]);
    case GGUF_I16: return from_signed((int16_t)gguf_load(p, 2));
    case GGUF_I32: return from_signed((int32_t)gguf_load(p, 4));
    case GGUF_I64: return from_signed((int64_t)gguf_load(p, 8));
    case GGUF_F32: return read_f32(p);
    case GGUF_F64: return read_f64(p);
    default: return (Number){.is = NOT_A_NUMBER};
    }
}

static bool to_u64(Number x, uint64_t *out) {
    if (x.is != UNSIGNED) return false;
    *out = x.u;
    return true;
}

static bool to_i64(Number x, int64_t *out) {
    if (x.is != SIGNED && (x.is != UNSIGNED || x.u > INT64_MAX)) return false;
    *out = x.is == SIGNED ? x.i : (int64_t)x.u;
    return true;
}

// An integer becomes a double only when the double still is that integer.
static bool to_f64(Number x, double *out) {
    uint64_t magnitude = x.is == SIGNED ? 0 - (uint64_t)x.i : x.u;
    if (x.is == NOT_A_NUMBER) return false;
    if (x.is == FLOATING) {
        *out = x.f;
        return true;
    }
    double f = (double)magnitude;
    if (f >= 0x1p64 || (uint64_t)f != magnitude) return false;
    *out = x.is == SIGNED ? -f : f;
    return true;
}

static const GgufKey *find_key(const Gguf *g, const char *key) {
    uint32_t i;
    bool there = gguf_index_find(&g->key_index, g->keys, sizeof *g->keys, str_from(key), &i);
    return there ? &g->keys[i] : NULL;
}

static Number number_of(const Gguf *g, const char *key) {
    const GgufKey *k = find_key(g, key);
    return k ? read_number(k->kind, k->value) : (Number){.is = NOT_A_NUMBER};
}

bool gguf_has(const Gguf *g, const char *key) {
    return find_key(g, key) != NULL;
}

bool gguf_get_u64(const Gguf *g, const char *key, uint64_t *out) {
    return to_u64(number_of(g, key), out);
}

bool gguf_get_i64(const Gguf *g, const char *key, int64_t *out) {
    return to_i64(number_of(g, key), out);
}

bool gguf_get_u32(const Gguf *g, const char *key, uint32_t *out) {
    uint64_t v;
    if (!gguf_get_u64(g, key, &v) || v > UINT32_MAX) return false;
    *out = (uint32_t)v;
    return true;
}

bool gguf_get_f64(const Gguf *g, const char *key, double *out) {
    return to_f64(number_of(g, key), out);
}

bool gguf_get_bool(const Gguf *g, const char *key, bool *out) {
    const GgufKey *k = find_key(g, key);
    if (!k || k->kind != GGUF_BOOL) return false;
    *out = k->value[0] != 0;
    return true;
}

bool gguf_get_str(const Gguf *g, const char *key, Str *out) {
    const GgufKey *k = find_key(g, key);
    if (!k || k->kind != GGUF_STRING) return false;
    *out = (Str){(const char *)k->value, (size_t)k->n};
    return true;
}

bool gguf_get_array(const Gguf *g, const char *key, GgufArray *out) {
    const GgufKey *k = find_key(g, key);
    if (!k || k->kind != GGUF_ARRAY) return false;
    *out = (GgufArray){k->elem, k->n, k->value};
    return true;
}

uint64_t gguf_n_keys(const Gguf *g) {
    return g->n_keys;
}

Str gguf_key(const Gguf *g, uint64_t i, GgufKind *kind) {
    CHECK(i < g->n_keys);
    if (kind) *kind = g->keys[i].kind;
    return g->keys[i].name;
}

static Number element(const GgufArray *a, uint64_t i) {
    CHECK(i < a->n);
    return read_number(a->kind, a->data + i * kind_bytes[a->kind]);
}

bool gguf_array_u64(const GgufArray *a, uint64_t i, uint64_t *out) {
    return to_u64(element(a, i), out);
}

bool gguf_array_i64(const GgufArray *a, uint64_t i, int64_t *out) {
    return to_i64(element(a, i), out);
}

bool gguf_array_f64(const GgufArray *a, uint64_t i, double *out) {
    return to_f64(element(a, i), out);
}

bool gguf_array_strings(const GgufArray *a, GgufStrIter *it) {
    if (a->kind != GGUF_STRING) return false;
    *it = (GgufStrIter){a->data, a->n};
    return true;
}

bool gguf_next_str(GgufStrIter *it, Str *out) {
    if (it->left == 0) return false;
    size_t n = (size_t)gguf_load(it->at, 8);
    *out = (Str){(const char *)it->at + 8, n};
    it->at += 8 + n;
    it->left--;
    return true;
}
