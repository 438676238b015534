#include "cli/gguf_summary.h"

#include "base/utf8.h"

#include <stdio.h>

enum { N_TYPES = 64 }; // above any GgufType

// The bytes of the character at the front of valid UTF-8.
static size_t char_bytes(Str s) {
    size_t n = 1;
    while (n < s.len && ((unsigned char)s.ptr[n] & 0xC0) == 0x80) n++;
    return n;
}

static void put_char(Buf *out, Str c) {
    unsigned char b = (unsigned char)c.ptr[0];
    if (b == '\n')
        buf_puts(out, "\\n");
    else if (b == '\t')
        buf_puts(out, "\\t");
    else if (b < 0x20 || b == 0x7F)
        buf_printf(out, "\\x%02x", b);
    else if (b == 0xC2 && (unsigned char)c.ptr[1] < 0xA0) // the C1 controls
        buf_printf(out, "\\u%04x", (unsigned char)c.ptr[1]);
    else
        buf_put(out, c);
}

// At most max_chars characters of `s`, escaped; "…" when there are more.
void gguf_put_text(Buf *out, Str s, size_t max_chars) {
    Buf clean = {0};
    // This many bytes hold more characters than can be shown, so the cut never shows.
    utf8_sanitize(str_sub(s, 0, 4 * max_chars + 4), &clean);
    Str left = buf_str(&clean);
    for (size_t n = 0; left.len && n < max_chars; n++) {
        size_t k = char_bytes(left);
        put_char(out, str_sub(left, 0, k));
        left = str_skip(left, k);
    }
    if (left.len) buf_puts(out, "…");
    out->failed |= clean.failed;
    buf_free(&clean);
}

typedef struct Mix {
    uint64_t n_tensors, n_elems, n_bytes;
} Mix;

// Adds up the tensors by type; returns the total.
static Mix mix_types(const Gguf *g, Mix by_type[N_TYPES]) {
    Mix all = {0};
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        CHECK((unsigned)t->type < N_TYPES);
        uint64_t n_elems = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        Mix *both[] = {&by_type[t->type], &all};
        for (int k = 0; k < 2; k++) {
            both[k]->n_tensors++;
            both[k]->n_elems += n_elems;
            both[k]->n_bytes += t->n_bytes;
        }
    }
    return all;
}

static Str text_of(const Gguf *g, const char *key) {
    Str s = STR("");
    gguf_get_str(g, key, &s);
    return s;
}

static void put_line(Buf *out, const char *label, Str text) {
    buf_printf(out, "%-14s", label);
    if (text.len)
        gguf_put_text(out, text, 200);
    else
        buf_puts(out, "(not given)");
    buf_putc(out, '\n');
}

void gguf_put_summary(Buf *out, const Gguf *g) {
    Mix by_type[N_TYPES] = {0};
    Mix all = mix_types(g, by_type);
    put_line(out, "file", str_from(gguf_path(g)));
    buf_printf(out, "size          %zu bytes (%.1f MiB)\n", gguf_file_bytes(g),
               (double)gguf_file_bytes(g) / 0x1p20);
    buf_printf(out, "version       GGUF v%u\n", gguf_version(g));
    put_line(out, "architecture", text_of(g, "general.architecture"));
    put_line(out, "name", text_of(g, "general.name"));
    buf_printf(out, "parameters    %llu (%.1f M)\n", (unsigned long long)all.n_elems,
               (double)all.n_elems / 1e6);
    const char *label = "types";
    for (int i = 0; i < N_TYPES; i++) {
        const Mix *m = &by_type[i];
        if (!m->n_tensors) continue;
        buf_printf(out, "%-14s%-6s %5llu tensors %14llu bytes  %5.1f %%\n", label,
                   gguf_type_info((GgufType)i)->name, (unsigned long long)m->n_tensors,
                   (unsigned long long)m->n_bytes, 100.0 * (double)m->n_bytes / (double)all.n_bytes);
        label = "";
    }
}

// ---- JSON ----

json_t *gguf_json_text(Str s) {
    Buf clean = {0};
    utf8_sanitize(s, &clean);
    Str text = buf_str(&clean);
    json_t *j = clean.failed ? NULL : json_stringn(text.ptr, text.len);
    buf_free(&clean);
    return j;
}

static json_t *json_text_of(const Gguf *g, const char *key) {
    Str s;
    return gguf_get_str(g, key, &s) ? gguf_json_text(s) : json_null();
}

static json_t *json_types(const Mix by_type[N_TYPES]) {
    json_t *list = json_array();
    for (int i = 0; list && i < N_TYPES; i++) {
        if (!by_type[i].n_tensors) continue;
        json_t *row = json_pack("{s:s, s:I, s:I, s:I}", "type", gguf_type_info((GgufType)i)->name, "tensors",
                                (json_int_t)by_type[i].n_tensors, "elements", (json_int_t)by_type[i].n_elems,
                                "bytes", (json_int_t)by_type[i].n_bytes);
        if (json_array_append_new(list, row) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    return list;
}

json_t *gguf_json_summary(const Gguf *g) {
    Mix by_type[N_TYPES] = {0};
    Mix all = mix_types(g, by_type);
    return json_pack("{s:o, s:I, s:I, s:o, s:o, s:I, s:o}", "file", gguf_json_text(str_from(gguf_path(g))),
                     "bytes", (json_int_t)gguf_file_bytes(g), "version", (json_int_t)gguf_version(g),
                     "architecture", json_text_of(g, "general.architecture"), "name",
                     json_text_of(g, "general.name"), "parameters", (json_int_t)all.n_elems, "types",
                     json_types(by_type));
}
