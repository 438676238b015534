// cllm grammar: what a constrained answer can be, without a model.
//
// Says whether a grammar, a JSON schema or a regular expression is understood, which texts it has, and
// writes random ones, so that a schema can be tried before it is used.
#include "cli/commands.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "cli/json_file.h"
#include "constrain/automaton.h"
#include "constrain/gbnf.h"
#include "constrain/json_schema.h"
#include "constrain/regex.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_SAMPLE = 20000, LONG_SAMPLE = 300, MAX_TRIES = 20 };

// ---- grammars and texts

static Grammar *compile(Rules *r, Err *err) {
    Grammar *g = r ? grammar_compile(r, err) : NULL;
    rules_free(r);
    return g;
}

static Rules *regex_rules(Str text, Err *err) {
    Rules *r = rules_new(err);
    if (!r) return NULL;
    int32_t root = rules_add(r, STR("root"));
    rules_define(r, root, regex_parse(r, text, CHARS_PLAIN, true).rx);
    return r;
}

// The state behind one more byte; false: too ambiguous.
static bool step(Automaton *a, int32_t *state, uint8_t byte) {
    int32_t next = automaton_next(a, *state, byte);
    if (next == AUTOMATON_FULL) {
        *state = automaton_keep(a, *state);
        next = automaton_next(a, *state, byte);
    }
    *state = next;
    return next != AUTOMATON_FULL;
}

static const char *fit_of(Automaton *a, Str text) {
    if (a->n_states > AUTOMATON_MAX_STATES / 2) automaton_keep(a, AUTOMATON_DEAD);
    int32_t state = automaton_start(a);
    bool ok = state != AUTOMATON_FULL;
    for (size_t i = 0; i < text.len && ok && state != AUTOMATON_DEAD; i++)
        ok = step(a, &state, (uint8_t)text.ptr[i]);
    if (!ok) return "too ambiguous";
    return state == AUTOMATON_DEAD ? "no" : automaton_accepts(a, state) ? "yes" : "so far";
}

// A byte that may follow, mostly one that people write; in a long text rather one that closes something.
static int random_byte(Automaton *a, int32_t *state, Rng *rng, bool close) {
    int best = -1;
    double best_key = -1;
    for (int b = 0; b < 256; b++) {
        int32_t next = *state;
        if (!step(a, &next, (uint8_t)b)) return -1;
        if (next == AUTOMATON_DEAD) continue;
        bool closes = strchr("\"}])", b) && b;
        double weight = closes                 ? (close ? 100 : 4)
                        : b >= '0' && b <= '9' ? 0.6
                        : b > ' ' && b < 0x7F  ? 0.5
                                               : 0.05;
        double key = weight * rng_uniform(rng);
        if (key > best_key) best_key = key, best = b;
    }
    return best;
}

// false: it did not come to an end.
static bool try_sample(Automaton *a, Rng *rng, Buf *out) {
    if (a->n_states > AUTOMATON_MAX_STATES / 2) automaton_keep(a, AUTOMATON_DEAD);
    int32_t state = automaton_start(a);
    bool ok = state != AUTOMATON_FULL;
    while (ok && out->len < MAX_SAMPLE) {
        bool enough = out->len > LONG_SAMPLE || rng_uniform(rng) < 0.2;
        if (automaton_accepts(a, state) && (enough || automaton_is_final(a, state))) return true;
        if (a->n_states > AUTOMATON_MAX_STATES / 2) state = automaton_keep(a, state);
        int byte = random_byte(a, &state, rng, out->len > LONG_SAMPLE);
        ok = byte >= 0 && step(a, &state, (uint8_t)byte);
        if (ok) buf_putc(out, (char)byte);
    }
    return false;
}

static bool sample(Automaton *a, Rng *rng, Buf *out) {
    for (int i = 0; i < MAX_TRIES; i++) {
        buf_clear(out);
        if (try_sample(a, rng, out)) return true;
    }
    return false;
}

// ---- one grammar

static Grammar *grammar_of_schema_file(const char *path, Err *err) {
    json_t *schema = json_file_read(path, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, err);
    Grammar *g = schema ? compile(json_schema_rules(schema, err), err) : NULL;
    json_decref(schema);
    return g;
}

static Grammar *grammar_of_options(const Options *o, Err *err) {
    Buf text = {0};
    Grammar *g = NULL;
    if (o->regex[0]) return compile(regex_rules(str_from(o->regex), err), err);
    if (o->schema[0]) return grammar_of_schema_file(o->schema, err);
    if (file_read(o->gbnf, 0, &text, err)) g = compile(gbnf_parse(buf_str(&text), err), err);
    buf_free(&text);
    return g;
}

static bool print_samples(Automaton *a, const Options *o, Err *err) {
    Rng rng = {o->seed >= 0 ? (uint64_t)o->seed : (uint64_t)clock_now_ns()};
    Buf text = {0};
    bool ok = true;
    for (int64_t i = 0; i < o->samples && ok; i++) {
        ok = sample(a, &rng, &text) || err_set(err, ERR_LIMIT, "no random text came to an end");
        if (ok) printf("%.*s\n", (int)text.len, text.ptr ? text.ptr : "");
    }
    buf_free(&text);
    return ok;
}

static void judge_lines(Automaton *a) {
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        if (line[n - 1] == '\n') n--;
        printf("%s\t%.*s\n", fit_of(a, (Str){line, (size_t)n}), (int)n, line);
    }
    free(line);
}

static bool run_one(const Options *o, Err *err) {
    Grammar *g = grammar_of_options(o, err);
    Automaton *a = g ? automaton_new(g, err) : NULL;
    bool ok = a != NULL;
    if (ok && o->samples)
        ok = print_samples(a, o, err);
    else if (ok)
        judge_lines(a);
    automaton_free(a);
    grammar_free(g);
    return ok;
}

// ---- many

static Grammar *grammar_of_line(const json_t *item, Err *err) {
    const json_t *schema = json_object_get(item, "schema");
    const char *gbnf = json_string_value(json_object_get(item, "gbnf"));
    const char *regex = json_string_value(json_object_get(item, "regex"));
    if (schema) return compile(json_schema_rules(schema, err), err);
    if (gbnf) return compile(gbnf_parse(str_from(gbnf), err), err);
    if (regex) return compile(regex_rules(str_from(regex), err), err);
    err_set(err, ERR_INVALID, "a line needs \"schema\", \"gbnf\" or \"regex\"");
    return NULL;
}

static json_t *fits_json(Automaton *a, const json_t *texts) {
    json_t *fits = json_array();
    const json_t *text;
    size_t i;
    json_array_foreach(texts, i, text) json_array_append_new(
        fits, json_string(fit_of(a, (Str){json_string_value(text), json_string_length(text)})));
    return fits;
}

static json_t *samples_json(Automaton *a, const json_t *item) {
    Rng rng = {(uint64_t)json_integer_value(json_object_get(item, "seed"))};
    json_t *samples = json_array();
    Buf text = {0};
    for (json_int_t n = json_integer_value(json_object_get(item, "samples")); n > 0; n--)
        if (sample(a, &rng, &text))
            json_array_append_new(samples, json_stringn(text.ptr ? text.ptr : "", text.len));
    buf_free(&text);
    return samples;
}

static json_t *answer_line(const char *line, size_t len) {
    Err err = {0};
    json_error_t why;
    json_t *item = json_loadb(line, len, JSON_ALLOW_NUL, &why), *answer;
    if (!item) err_set(&err, ERR_INVALID, "not JSON: %s", why.text);
    Grammar *g = item ? grammar_of_line(item, &err) : NULL;
    Automaton *a = g ? automaton_new(g, &err) : NULL;
    if (a)
        answer = json_pack("{s:b, s:o, s:o}", "ok", 1, "fits", fits_json(a, json_object_get(item, "texts")),
                           "samples", samples_json(a, item));
    else
        answer = json_pack("{s:b, s:s}", "ok", 0, "error", err.msg);
    automaton_free(a);
    grammar_free(g);
    json_decref(item);
    return answer;
}

static bool run_batch(Err *err) {
    char *line = NULL;
    size_t cap = 0;
    bool ok = true;
    for (ssize_t n; ok && (n = getline(&line, &cap, stdin)) > 0;) {
        json_t *answer = answer_line(line, (size_t)n);
        char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
        ok = text || err_set(err, ERR_NOMEM, "out of memory");
        if (ok) puts(text);
        ok = ok && output_is_written(err);
        free(text);
        json_decref(answer);
    }
    free(line);
    return ok;
}

static bool run(Options *o, int *code, Err *err) {
    if (o->batch + (o->schema[0] != 0) + (o->gbnf[0] != 0) + (o->regex[0] != 0) != 1) {
        *code = EXIT_USAGE;
        return err_set(err, ERR_INVALID, "give one of --schema, --gbnf, --regex and --batch");
    }
    return o->batch ? run_batch(err) : run_one(o, err);
}

int cmd_grammar(int argc, char **argv) {
    return command_main(COMMAND_GRAMMAR, argc, argv, run);
}
