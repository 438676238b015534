// Fuzz target: a JSON schema. What is understood is compiled and has a beginning; what is not has an error
// that says so. A constant that is understood is accepted.
#include "constrain/automaton.h"
#include "constrain/json_schema.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_accepts(const Grammar *g, const json_t *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
    Automaton *a = automaton_new(g, NULL);
    CHECK(text && a);
    int32_t state = automaton_start(a);
    for (const char *at = text; *at && state != AUTOMATON_FULL; at++)
        state = automaton_next(a, state, (uint8_t)*at);
    CHECK(state == AUTOMATON_FULL || automaton_accepts(a, state));
    automaton_free(a);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Err err = {0};
    json_t *schema = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!schema) return 0;
    Rules *r = json_schema_rules(schema, &err);
    Grammar *g = r ? grammar_compile(r, &err) : NULL;
    CHECK(g || (err.code != ERR_NONE && err.msg[0]));
    const json_t *value = json_object_get(schema, "const");
    if (g && value && json_object_size(schema) == 1) fuzz_accepts(g, value);
    grammar_free(g);
    rules_free(r);
    json_decref(schema);
    return 0;
}
