// cllm inspect: what is in a GGUF file, for people and (with --json) for programs.
//
// Whatever the file holds, the output is valid UTF-8, and the text form has no control bytes.
#include "cli/commands.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "cli/fetch.h"
#include "cli/gguf_summary.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SHOW_SUMMARY = 1,
    SHOW_METADATA = 2,
    SHOW_TENSORS = 4,
    TEXT_CHARS = 64,       // longer strings are cut in the text form
    TEXT_ELEMENTS = 5,     // elements of an array in the text form
    JSON_WHOLE_ARRAY = 64, // longer arrays are abridged in JSON …
    JSON_FIRST = 8,        // … to so many elements
};

// A scalar or an element of an array, ready to be shown.
typedef struct Value {
    GgufKind kind;
    bool flag;
    bool fits_i64; // integers: `i` holds it, else `u`
    int64_t i;
    uint64_t u;
    double f;
    Str s;
} Value;

static const char *kind_name(GgufKind kind) {
    static const char *const names[GGUF_N_KINDS] = {
        [GGUF_U8] = "u8",      [GGUF_I8] = "i8",   [GGUF_U16] = "u16", [GGUF_I16] = "i16",
        [GGUF_U32] = "u32",    [GGUF_I32] = "i32", [GGUF_F32] = "f32", [GGUF_BOOL] = "bool",
        [GGUF_U64] = "u64",    [GGUF_I64] = "i64", [GGUF_F64] = "f64", [GGUF_STRING] = "string",
        [GGUF_ARRAY] = "array"};
    return names[kind];
}

static Value read_scalar(const Gguf *g, const char *key, GgufKind kind) {
    Value v = {.kind = kind};
    v.fits_i64 = gguf_get_i64(g, key, &v.i);
    gguf_get_u64(g, key, &v.u);
    gguf_get_f64(g, key, &v.f);
    gguf_get_bool(g, key, &v.flag);
    gguf_get_str(g, key, &v.s);
    return v;
}

// Element i; `it` stands before it when the elements are strings.
static Value read_element(const GgufArray *a, uint64_t i, GgufStrIter *it) {
    Value v = {.kind = a->kind};
    if (a->kind == GGUF_STRING) {
        gguf_next_str(it, &v.s);
        return v;
    }
    v.flag = a->kind == GGUF_BOOL && a->data[i];
    v.fits_i64 = gguf_array_i64(a, i, &v.i);
    gguf_array_u64(a, i, &v.u);
    gguf_array_f64(a, i, &v.f);
    return v;
}

static void raw_key(const Gguf *g, uint64_t i, GgufKind *kind, Buf *out) {
    buf_clear(out);
    buf_put(out, gguf_key(g, i, kind));
}

// ---- text ----

static void put_name(Buf *out, Str name, size_t width) {
    size_t start = out->len;
    gguf_put_text(out, name, 200);
    while (!out->failed && out->len - start < width) buf_putc(out, ' ');
}

// A short decimal number that reads back as the same F32 or F64.
static void put_real(Buf *out, double v, bool is_f32) {
    char text[40];
    for (int digits = 7; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (is_f32 ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v) break;
    }
    buf_puts(out, text);
}

static void put_value(Buf *out, const Value *v, bool quoted) {
    if (v->kind == GGUF_STRING) {
        if (quoted) buf_putc(out, '"');
        gguf_put_text(out, v->s, TEXT_CHARS);
        if (quoted) buf_putc(out, '"');
    } else if (v->kind == GGUF_BOOL)
        buf_puts(out, v->flag ? "true" : "false");
    else if (v->kind == GGUF_F32 || v->kind == GGUF_F64)
        put_real(out, v->f, v->kind == GGUF_F32);
    else if (v->fits_i64)
        buf_printf(out, "%lld", (long long)v->i);
    else
        buf_printf(out, "%llu", (unsigned long long)v->u);
}

static void put_array(Buf *out, const GgufArray *a) {
    GgufStrIter it = {0};
    gguf_array_strings(a, &it);
    buf_printf(out, "%s[%llu]  ", kind_name(a->kind), (unsigned long long)a->n);
    for (uint64_t i = 0; i < a->n && i < TEXT_ELEMENTS; i++) {
        Value v = read_element(a, i, &it);
        if (i) buf_puts(out, ", ");
        put_value(out, &v, true);
    }
    if (a->n > TEXT_ELEMENTS) buf_puts(out, ", …");
}

static void put_metadata(Buf *out, const Gguf *g) {
    Buf key = {0};
    buf_printf(out, "metadata (%llu)\n", (unsigned long long)gguf_n_keys(g));
    for (uint64_t i = 0; i < gguf_n_keys(g); i++) {
        GgufKind kind;
        GgufArray a;
        raw_key(g, i, &kind, &key);
        buf_puts(out, "  ");
        put_name(out, buf_str(&key), 42);
        buf_putc(out, ' ');
        if (gguf_get_array(g, key.ptr, &a)) {
            put_array(out, &a);
        } else {
            Value v = read_scalar(g, key.ptr, kind);
            buf_printf(out, "%-7s ", kind_name(kind));
            put_value(out, &v, false);
        }
        buf_putc(out, '\n');
    }
    out->failed |= key.failed;
    buf_free(&key);
}

static void put_tensors(Buf *out, const Gguf *g) {
    buf_printf(out, "tensors (%llu)\n", (unsigned long long)gguf_n_tensors(g));
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        char shape[100];
        size_t len = 0;
        for (uint32_t d = 0; d < t->n_dims; d++)
            len += (size_t)snprintf(shape + len, sizeof shape - len, "%s%llu", d ? " × " : "",
                                    (unsigned long long)t->dims[d]);
        buf_puts(out, "  ");
        put_name(out, t->name, 36);
        buf_printf(out, " %-6s  %*s  %14zu bytes\n", gguf_type_info(t->type)->name, 18 + (int)t->n_dims - 1,
                   shape, t->n_bytes); // "×" has two bytes
    }
}

static bool print_text(const Gguf *g, int show, Err *err) {
    Buf out = {0};
    if (show & SHOW_SUMMARY) gguf_put_summary(&out, g);
    if (show & SHOW_METADATA && out.len) buf_putc(&out, '\n');
    if (show & SHOW_METADATA) put_metadata(&out, g);
    if (show & SHOW_TENSORS && out.len) buf_putc(&out, '\n');
    if (show & SHOW_TENSORS) put_tensors(&out, g);
    bool ok = !out.failed;
    if (ok) fwrite(out.ptr, 1, out.len, stdout);
    buf_free(&out);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

// ---- JSON ----
// Builders return NULL when memory runs out, and take over what they are given (jansson's _new
// functions do the same with NULL), so that one failure makes the whole document NULL.

static json_t *json_value(const Value *v) {
    if (v->kind == GGUF_STRING) return gguf_json_text(v->s);
    if (v->kind == GGUF_BOOL) return json_boolean(v->flag);
    if (v->kind == GGUF_F32 || v->kind == GGUF_F64) {
        if (isfinite(v->f)) return json_real(v->f);
        return json_string(isnan(v->f) ? "nan" : v->f > 0 ? "inf" : "-inf");
    }
    return v->fits_i64 ? json_integer(v->i) : json_sprintf("%llu", (unsigned long long)v->u);
}

static json_t *json_elements(const GgufArray *a, uint64_t n) {
    GgufStrIter it = {0};
    gguf_array_strings(a, &it);
    json_t *list = json_array();
    for (uint64_t i = 0; list && i < n; i++) {
        Value v = read_element(a, i, &it);
        if (json_array_append_new(list, json_value(&v)) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

static json_t *json_of_array(const GgufArray *a) {
    if (a->n <= JSON_WHOLE_ARRAY) return json_elements(a, a->n);
    return json_pack("{s:s, s:I, s:o}", "kind", kind_name(a->kind), "n", (json_int_t)a->n, "first",
                     json_elements(a, JSON_FIRST));
}

// Sets obj[name] for a name of any bytes.
static bool set_named(json_t *obj, Str name, json_t *value) {
    Buf clean = {0};
    utf8_sanitize(name, &clean);
    bool ok = !clean.failed && json_object_set_new(obj, clean.ptr, value) == 0;
    if (clean.failed) json_decref(value);
    buf_free(&clean);
    return ok;
}

static json_t *json_metadata(const Gguf *g) {
    json_t *all = json_object();
    Buf key = {0};
    bool ok = all != NULL;
    for (uint64_t i = 0; ok && i < gguf_n_keys(g); i++) {
        GgufKind kind;
        GgufArray a;
        raw_key(g, i, &kind, &key);
        ok = !key.failed;
        if (!ok) break;
        bool is_array = gguf_get_array(g, key.ptr, &a);
        Value v = read_scalar(g, key.ptr, kind);
        ok = set_named(all, buf_str(&key), is_array ? json_of_array(&a) : json_value(&v));
    }
    buf_free(&key);
    if (ok) return all;
    json_decref(all);
    return NULL;
}

static json_t *json_tensor(const GgufTensor *t) {
    json_t *shape = json_array();
    for (uint32_t d = 0; d < t->n_dims; d++)
        if (json_array_append_new(shape, json_integer((json_int_t)t->dims[d])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:o, s:s, s:o, s:I}", "name", gguf_json_text(t->name), "type",
                     gguf_type_info(t->type)->name, "shape", shape, "bytes", (json_int_t)t->n_bytes);
}

static json_t *json_tensors(const Gguf *g) {
    json_t *list = json_array();
    for (uint64_t i = 0; list && i < gguf_n_tensors(g); i++) {
        if (json_array_append_new(list, json_tensor(gguf_tensor(g, i))) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

static bool print_json(const Gguf *g, int show, Err *err) {
    json_t *doc = show & SHOW_SUMMARY ? gguf_json_summary(g) : json_object();
    bool ok = doc != NULL;
    if (ok && show & SHOW_METADATA) ok = json_object_set_new(doc, "metadata", json_metadata(g)) == 0;
    if (ok && show & SHOW_TENSORS) ok = json_object_set_new(doc, "tensors", json_tensors(g)) == 0;
    if (ok) ok = json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) == 0 || ferror(stdout);
    if (ok) putchar('\n');
    json_decref(doc);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

// ---- the command ----

static bool inspect(Options *o, int *code, Err *err) {
    LibraryModel model;
    bool in_library;
    int show = (o->metadata ? SHOW_METADATA : 0) | (o->tensors ? SHOW_TENSORS : 0);
    if (!show) show = SHOW_SUMMARY | SHOW_METADATA | SHOW_TENSORS;
    if (!o->model[0]) {
        *code = EXIT_USAGE;
        return err_set(err, ERR_INVALID, "the file to inspect is missing");
    }
    Gguf *g = model_name_find(o, &model, &in_library, err) ? gguf_open(o->model, err) : NULL;
    if (!g) return false;
    bool ok = o->json ? print_json(g, show, err) : print_text(g, show, err);
    gguf_close(g);
    return ok;
}

int cmd_inspect(int argc, char **argv) {
    return command_main(COMMAND_INSPECT, argc, argv, inspect);
}
