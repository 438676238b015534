#include "constrain/char_form.h"

#include <stdlib.h>

typedef struct Escape {
    uint32_t cp;
    const char *text;
} Escape;

static const Escape escapes[] = {{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\r', "\\r"},
                                 {'\t', "\\t"}, {'\b', "\\b"},  {'\f', "\\f"}};

static bool in_ranges(const CodeRange *ranges, int32_t n, uint32_t cp) {
    for (int32_t i = 0; i < n; i++)
        if (cp >= ranges[i].lo && cp <= ranges[i].hi) return true;
    return false;
}

static const char *short_escape(uint32_t cp) {
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++)
        if (escapes[i].cp == cp) return escapes[i].text;
    return NULL;
}

static void push_control(Rules *r, RxList *forms, uint32_t cp) {
    Buf text = {0};
    const char *escape = short_escape(cp);
    if (escape)
        buf_puts(&text, escape);
    else
        buf_printf(&text, "\\u%04x", (unsigned)cp);
    rx_push(r, forms, rx_bytes(r, buf_str(&text)));
    buf_free(&text);
}

// The characters that stand for themselves inside a string of JSON.
static void push_plain(Rules *r, RxList *forms, const CodeRange *ranges, int32_t n) {
    static const CodeRange plain[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}};
    int32_t n_kept = 0;
    CodeRange *kept = malloc(3 * ((size_t)n + 1) * sizeof *kept);
    if (!kept) {
        rules_fail(r, ERR_NOMEM, "out of memory for a character class");
        return;
    }
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; k < 3; k++) {
            CodeRange both = {ranges[i].lo > plain[k].lo ? ranges[i].lo : plain[k].lo,
                              ranges[i].hi < plain[k].hi ? ranges[i].hi : plain[k].hi};
            if (both.lo <= both.hi) kept[n_kept++] = both;
        }
    if (n_kept) rx_push(r, forms, rx_class(r, kept, n_kept));
    free(kept);
}

static RxId json_class(Rules *r, const CodeRange *ranges, int32_t n) {
    RxList forms = {0};
    push_plain(r, &forms, ranges, n);
    for (uint32_t cp = 0; cp < 0x20; cp++)
        if (in_ranges(ranges, n, cp)) push_control(r, &forms, cp);
    if (in_ranges(ranges, n, '"')) push_control(r, &forms, '"');
    if (in_ranges(ranges, n, '\\')) push_control(r, &forms, '\\');
    RxId id = r->failed ? RX_NOTHING_LEFT
              : forms.n ? rx_alt(r, forms.ids, forms.n)
                        : rules_fail(r, ERR_INVALID, "a character class matches no character");
    free(forms.ids);
    return id;
}

// The ranges between the given ones.
static int32_t invert(CodeRange *ranges, int32_t n, CodeRange *out) {
    int32_t n_out = 0;
    uint32_t from = 0;
    n = code_ranges_tidy(ranges, n);
    for (int32_t i = 0; i < n; i++) {
        if (ranges[i].lo > from) out[n_out++] = (CodeRange){from, ranges[i].lo - 1};
        from = ranges[i].hi + 1;
    }
    if (from <= 0x10FFFF) out[n_out++] = (CodeRange){from, 0x10FFFF};
    return n_out;
}

RxId char_form_class(Rules *r, CharForm form, const CodeRange *ranges, int32_t n, bool negated) {
    if (form == CHARS_PLAIN) return negated ? rx_not_class(r, ranges, n) : rx_class(r, ranges, n);
    if (!negated) return json_class(r, ranges, n);
    CodeRange *copy = malloc(2 * ((size_t)n + 1) * sizeof *copy);
    if (!copy) return rules_fail(r, ERR_NOMEM, "out of memory for a character class");
    if (n) memcpy(copy, ranges, (size_t)n * sizeof *copy);
    RxId id = json_class(r, copy + n, invert(copy, n, copy + n));
    free(copy);
    return id;
}
