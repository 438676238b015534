#include "constrain/grammar_check.h"

#include <stdlib.h>

static const int64_t most_steps = 40 * 1000 * 1000;

typedef struct Check {
    const Rules *r;
    bool *nullable; // [n_rx] may match the empty text
    bool *ends;     // [n_rx] has a finite match
    int32_t *path;  // [n_rules] of the walk along first calls
    uint8_t *mark;  // [n_rules] NEW, ON_PATH, DONE
    int32_t *heads; // [n_rx] expressions still to look at
    int32_t *froms; // [n_rules] where a rule's expressions begin in `heads`
    Err *err;
} Check;

enum { NEW, ON_PATH, DONE };

static bool any_kid(const Rules *r, const Rx *x, const bool *is) {
    for (int32_t i = 0; i < x->n; i++)
        if (is[r->kids[x->first + i]]) return true;
    return false;
}

static bool all_kids(const Rules *r, const Rx *x, const bool *is) {
    for (int32_t i = 0; i < x->n; i++)
        if (!is[r->kids[x->first + i]]) return false;
    return true;
}

// What holds of an expression, from what is known of its parts and of the rules so far.
static bool holds(const Rules *r, const Rx *x, const bool *is, bool of_text) {
    switch ((RxKind)x->kind) {
    case RX_EMPTY: return true;
    case RX_BYTES:
    case RX_CLASS: return of_text;
    case RX_SEQ: return all_kids(r, x, is);
    case RX_ALT: return any_kid(r, x, is);
    case RX_REPEAT: return x->min == 0 || is[x->first];
    case RX_RULE: return is[r->rules[x->first].body];
    }
    return false;
}

// Expressions come after their parts, so a sweep settles all but what depends on later rules.
static bool settle(const Check *c, bool *is, bool of_text) {
    int64_t steps = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (int32_t i = 0; i < c->r->n_rx; i++) {
            const Rx *x = &c->r->rx[i];
            steps += 1 + (x->kind == RX_SEQ || x->kind == RX_ALT ? x->n : 0);
            if (is[i] || !holds(c->r, x, is, of_text)) continue;
            is[i] = changed = true;
        }
        if (steps > most_steps) return err_set(c->err, ERR_LIMIT, "the grammar is too complex");
    }
    return true;
}

static bool rules_are_defined(const Check *c) {
    for (int32_t i = 0; i < c->r->n_rules; i++)
        if (c->r->rules[i].body < 0)
            return err_set(c->err, ERR_INVALID, "rule %s is not defined", c->r->rules[i].name);
    return true;
}

static bool rules_end(const Check *c) {
    for (int32_t i = 0; i < c->r->n_rules; i++) {
        const Rule *rule = &c->r->rules[i];
        if (!c->ends[rule->body])
            return err_set(c->err, ERR_INVALID, "rule %s can never end: every way through it leads back",
                           rule->name);
    }
    return true;
}

// Replaces the expression on top of the list by those of its parts that may come first. A rule stays.
static bool open_head(const Check *c, int32_t *n, int64_t *steps) {
    const Rules *r = c->r;
    const Rx *x = &r->rx[c->heads[--*n]];
    switch ((RxKind)x->kind) {
    case RX_ALT:
    case RX_SEQ:
        for (int32_t i = 0; i < x->n; i++) {
            int32_t kid = r->kids[x->first + i];
            if (++*steps > most_steps || *n == r->n_rx)
                return err_set(c->err, ERR_LIMIT, "the grammar is too complex");
            c->heads[(*n)++] = kid;
            if (x->kind == RX_SEQ && !c->nullable[kid]) break;
        }
        return true;
    case RX_REPEAT: c->heads[(*n)++] = x->first; return true;
    default: return true;
    }
}

// Depth first through "may begin with a call of"; the list of heads is one stack for all levels.
static bool follow_first_calls(const Check *c, int32_t from, int64_t *steps) {
    const Rules *r = c->r;
    int32_t depth = 0, n = 0;
    c->path[0] = from;
    c->froms[0] = 0;
    c->mark[from] = ON_PATH;
    c->heads[n++] = r->rules[from].body;
    while (depth >= 0) {
        if (n == c->froms[depth]) {
            c->mark[c->path[depth--]] = DONE;
            continue;
        }
        const Rx *x = &r->rx[c->heads[n - 1]];
        if (x->kind != RX_RULE) {
            if (!open_head(c, &n, steps)) return false;
            continue;
        }
        n--;
        if (c->mark[x->first] == ON_PATH)
            return err_set(c->err, ERR_INVALID,
                           "rule %s is left-recursive: it calls itself before it has consumed anything",
                           r->rules[x->first].name);
        if (c->mark[x->first] == DONE) continue;
        c->mark[x->first] = ON_PATH;
        c->path[++depth] = x->first;
        c->froms[depth] = n;
        if (n == r->n_rx) return err_set(c->err, ERR_LIMIT, "the grammar is too complex");
        c->heads[n++] = r->rules[x->first].body;
    }
    return true;
}

static bool no_left_recursion(const Check *c) {
    int64_t steps = 0;
    for (int32_t i = 0; i < c->r->n_rules; i++)
        if (c->mark[i] == NEW && !follow_first_calls(c, i, &steps)) return false;
    return true;
}

bool grammar_check(const Rules *r, bool *nullable, Err *err) {
    size_t n_rx = (size_t)r->n_rx, n_rules = (size_t)r->n_rules + 1;
    Check c = {.r = r, .nullable = nullable, .err = err};
    c.ends = calloc(n_rx, sizeof *c.ends);
    c.heads = calloc(n_rx, sizeof *c.heads);
    c.path = calloc(n_rules, sizeof *c.path);
    c.froms = calloc(n_rules, sizeof *c.froms);
    c.mark = calloc(n_rules, sizeof *c.mark);
    bool ok = c.ends && c.heads && c.path && c.froms && c.mark;
    if (!ok) err_set(err, ERR_NOMEM, "out of memory for a grammar");
    ok = ok && rules_are_defined(&c) && settle(&c, c.ends, true) && rules_end(&c) &&
         settle(&c, nullable, false) && no_left_recursion(&c);
    free(c.ends);
    free(c.heads);
    free(c.path);
    free(c.froms);
    free(c.mark);
    return ok;
}
