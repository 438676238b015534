#include "constrain/json_names.h"

#include "base/utf8.h"
#include "constrain/char_form.h"

#include <stdlib.h>

RxId json_name(Rules *r, const char *name, size_t n) {
    json_t *string = json_stringn(name, n);
    char *text = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    RxId id = text ? rx_text(r, text) : rules_fail(r, ERR_NOMEM, "out of memory for a name");
    free(text);
    json_decref(string);
    return id;
}

enum { MAX_NAME = 512 };

typedef struct Names {
    JsonText *t;
    Str *sorted;
    RxId rest, quote; // any characters to the end of the string; its end
} Names;

static int by_bytes(const void *a, const void *b) {
    const Str *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->ptr, y->ptr, n);
    return order ? order : x->len < y->len ? -1 : x->len > y->len;
}

// What may follow behind the `depth` bytes that the sorted names [from, to) begin with: a rule.
static int32_t names_behind(Names *n, int32_t from, int32_t to, size_t depth) {
    Rules *r = n->t->r;
    int32_t rule = rules_add(r, STR("other name"));
    RxList ways = {0};
    CodeRange *next = malloc(((size_t)(to - from) + 1) * sizeof *next);
    int32_t n_next = 0, i = from;
    if (!next) rules_fail(r, ERR_NOMEM, "out of memory for names");
    if (depth > MAX_NAME) rules_fail(r, ERR_LIMIT, "names beside others may have at most %d bytes", MAX_NAME);
    bool is_name = n->sorted[from].len == depth;
    if (is_name) i++;
    while (i < to && !r->failed) {
        Utf8Step step = utf8_step(str_skip(n->sorted[i], depth));
        Str head = str_sub(n->sorted[i], depth, step.n);
        int32_t end = i + 1;
        while (end < to && str_starts_with(str_skip(n->sorted[end], depth), head)) end++;
        next[n_next++] = (CodeRange){step.cp, step.cp};
        RxId one = char_form_class(r, CHARS_IN_JSON, &next[n_next - 1], 1, false);
        rx_push(r, &ways, RX_SEQ_OF(r, one, rx_rule(r, names_behind(n, i, end, depth + step.n))));
        i = end;
    }
    if (!is_name) rx_push(r, &ways, n->quote);
    if (next && !r->failed) {
        RxId other = char_form_class(r, CHARS_IN_JSON, next, n_next, true);
        rx_push(r, &ways, RX_SEQ_OF(r, other, n->rest));
        rules_define(r, rule, rx_alt(r, ways.ids, ways.n));
    }
    free(next);
    free(ways.ids);
    return rule;
}

RxId json_other_name(JsonText *t, const json_t *names) {
    Rules *r = t->r;
    const char *key;
    size_t len;
    json_t *value;
    int32_t n = 0;
    if (json_object_size(names) == 0) return json_text_string(t, 0, RX_ENDLESS);
    Names x = {.t = t, .quote = rx_text(r, "\"")};
    x.rest = RX_SEQ_OF(r, rx_repeat(r, t->character, 0, RX_ENDLESS), x.quote);
    x.sorted = malloc(json_object_size(names) * sizeof *x.sorted);
    if (!x.sorted) return rules_fail(r, ERR_NOMEM, "out of memory for names");
    json_object_keylen_foreach((json_t *)names, key, len, value) x.sorted[n++] = (Str){key, len};
    qsort(x.sorted, (size_t)n, sizeof *x.sorted, by_bytes);
    int32_t rule = names_behind(&x, 0, n, 0);
    free(x.sorted);
    return RX_SEQ_OF(r, x.quote, rx_rule(r, rule));
}
