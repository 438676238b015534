// Fuzz target: a grammar in GBNF, or behind a first byte of '/' a regular expression. What is understood is
// compiled and walked with the text itself; what is not has an error that says so.
#include "constrain/automaton.h"
#include "constrain/gbnf.h"
#include "constrain/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Rules *fuzz_rules(Str text, Err *err) {
    if (text.len == 0 || text.ptr[0] != '/') return gbnf_parse(text, err);
    Rules *r = rules_new(err);
    CHECK(r);
    int32_t root = rules_add(r, STR("root"));
    Regex x =
        regex_parse(r, str_skip(text, 1), text.len % 2 ? CHARS_PLAIN : CHARS_IN_JSON, text.len % 3 == 0);
    CHECK(r->failed || (x.min >= 0 && (x.max == REGEX_ENDLESS || x.max >= x.min)));
    rules_define(r, root, x.rx);
    return r;
}

static void fuzz_walk(const Grammar *g, Str text) {
    Automaton *a = automaton_new(g, NULL);
    CHECK(a);
    int32_t state = automaton_start(a);
    for (size_t i = 0; i < text.len && state > AUTOMATON_DEAD; i++) {
        int32_t next = automaton_next(a, state, (uint8_t)text.ptr[i]);
        if (next == AUTOMATON_DEAD) {
            // Rather any byte that leads on: the walk is to go deep.
            for (int b = 0; b < 256 && next == AUTOMATON_DEAD; b++)
                next = automaton_next(a, state, (uint8_t)(b + text.ptr[i]));
        }
        if (i % 16 == 15 && next > AUTOMATON_DEAD) next = automaton_keep(a, next);
        state = next;
    }
    if (state > AUTOMATON_DEAD) CHECK(!automaton_is_final(a, state) || automaton_accepts(a, state));
    automaton_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Err err = {0};
    Str text = {(const char *)data, size};
    Rules *r = fuzz_rules(text, &err);
    Grammar *g = r ? grammar_compile(r, &err) : NULL;
    CHECK(g || (err.code != ERR_NONE && err.msg[0]));
    if (g) fuzz_walk(g, str_sub(text, 0, 200));
    grammar_free(g);
    rules_free(r);
    return 0;
}
