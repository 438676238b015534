#include "grammar_kit.h"

#include "constrain/gbnf.h"

Grammar *grammar_of_rules(Rules *r, Err *err) {
    Grammar *g = r ? grammar_compile(r, err) : NULL;
    rules_free(r);
    return g;
}

Grammar *grammar_of_gbnf(const char *text, Err *err) {
    return grammar_of_rules(gbnf_parse(str_from(text), err), err);
}

Fit automaton_fit(Automaton *a, Str text) {
    int32_t state = automaton_start(a);
    for (size_t i = 0; i < text.len && state > AUTOMATON_DEAD; i++) {
        int32_t next = automaton_next(a, state, (uint8_t)text.ptr[i]);
        if (next == AUTOMATON_FULL) {
            state = automaton_keep(a, state);
            next = automaton_next(a, state, (uint8_t)text.ptr[i]);
        }
        state = next;
    }
    if (state == AUTOMATON_FULL) return FIT_UNKNOWN;
    return state == AUTOMATON_DEAD ? FIT_NOT : automaton_accepts(a, state) ? FIT_WHOLE : FIT_PREFIX;
}

Fit grammar_fit(const Grammar *g, Str text) {
    Automaton *a = automaton_new(g, NULL);
    CHECK(a);
    Fit fit = automaton_fit(a, text);
    automaton_free(a);
    return fit;
}
