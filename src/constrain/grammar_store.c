#include "constrain/grammar_store.h"

#include "constrain/gbnf.h"
#include "constrain/json_schema.h"
#include "constrain/regex.h"
#include "constrain/shape.h"
#include "constrain/token_mask.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    MAX_GRAMMARS = 64, // kept
    MAX_IDLE = 24,     // masks that wait for a request, of all grammars
    MAX_CHOICES = 1 << 14,
    FIRST_PIECES = 8 // of the first mask, when a request is taken up
};

// One request's: the mask is lent to it.
typedef struct GrammarConstraint {
    Constraint base;
    SharedGrammar *grammar;
    TokenMask *mask;
    struct GrammarConstraint *next; // idle
} GrammarConstraint;

struct SharedGrammar {
    GrammarStore *store;
    Buf key;
    Grammar *grammar;
    int n_users; // besides the store
    GrammarConstraint *idle;
    SharedGrammar *next; // used less recently
};

struct GrammarStore {
    const Tokenizer *tokenizer;
    pthread_mutex_t lock;
    TokenTrie *trie;         // NULL: not yet needed
    SharedGrammar *grammars; // most recently used first
    int n_grammars, n_idle;
};

static void lock(GrammarStore *s) {
    CHECK(pthread_mutex_lock(&s->lock) == 0);
}

static void unlock(GrammarStore *s) {
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
}

// ---- texts

static RxId choice_rx(Rules *r, const json_t *list) {
    RxList texts = {0};
    const json_t *one;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > MAX_CHOICES)
        return rules_fail(r, ERR_INVALID, "must be a list of 1 to %d strings", MAX_CHOICES);
    json_array_foreach(list, i, one) {
        if (!json_is_string(one))
            rules_fail(r, ERR_INVALID, "must be a list of strings, but element %zu is none", i);
        if (r->failed) break;
        rx_push(r, &texts, rx_bytes(r, (Str){json_string_value(one), json_string_length(one)}));
    }
    RxId rx = r->failed ? RX_NOTHING_LEFT : rx_alt(r, texts.ids, texts.n);
    free(texts.ids);
    return rx;
}

static Rules *own_rules(const GrammarSpec *spec, Err *err) {
    Rules *r = rules_new(err);
    if (!r) return NULL;
    int32_t root = rules_add(r, STR("root"));
    RxId rx = spec->kind == GRAMMAR_CHOICE ? choice_rx(r, spec->value)
                                           : regex_parse(r, spec->text, CHARS_PLAIN, true).rx;
    rules_define(r, root, rx);
    return r;
}

static Rules *rules_of(const GrammarSpec *spec, Err *err) {
    switch (spec->kind) {
    case GRAMMAR_GBNF: return gbnf_parse(spec->text, err);
    case GRAMMAR_SCHEMA: return json_schema_rules(spec->value, err);
    case GRAMMAR_JSON_OBJECT: return json_object_rules(err);
    case GRAMMAR_SHAPE: return shape_rules(spec->value, err);
    default: return own_rules(spec, err);
    }
}

static Grammar *compile(const GrammarSpec *spec, Err *err) {
    Rules *r = rules_of(spec, err);
    Grammar *g = r ? grammar_compile(r, err) : NULL;
    rules_free(r);
    return g;
}

static bool write_key(const GrammarSpec *spec, Buf *key, Err *err) {
    buf_putc(key, (char)('0' + spec->kind));
    buf_put(key, spec->text);
    if (spec->value) {
        char *text = json_dumps(spec->value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
        if (!text) key->failed = true;
        buf_puts(key, text ? text : "");
        free(text);
    }
    return !key->failed || err_set(err, ERR_NOMEM, "out of memory for a grammar");
}

// ---- constraints

static GrammarConstraint *own(Constraint *c) {
    return (GrammarConstraint *)c;
}

static bool constraint_ready(Constraint *c) {
    return token_mask_ready(own(c)->mask);
}

static const uint64_t *constraint_mask(Constraint *c) {
    return token_mask_bits(own(c)->mask);
}

static void constraint_accept(Constraint *c, int32_t token) {
    token_mask_accept(own(c)->mask, token);
}

static bool constraint_is_done(const Constraint *c) {
    return token_mask_is_done(((const GrammarConstraint *)c)->mask);
}

static int32_t constraint_guess(Constraint *c, int32_t *out, int32_t most) {
    return token_mask_guess(own(c)->mask, out, most);
}

static void destroy_constraint(GrammarConstraint *c) {
    token_mask_free(c->mask);
    free(c);
}

// ---- with the lock held

static void free_grammar(SharedGrammar *g) {
    for (GrammarConstraint *c; (c = g->idle) != NULL; g->store->n_idle--) {
        g->idle = c->next;
        destroy_constraint(c);
    }
    grammar_free(g->grammar);
    buf_free(&g->key);
    free(g);
}

static SharedGrammar *find(GrammarStore *s, Str key) {
    for (SharedGrammar **at = &s->grammars; *at; at = &(*at)->next) {
        SharedGrammar *g = *at;
        if (!str_eq(buf_str(&g->key), key)) continue;
        *at = g->next;
        g->next = s->grammars;
        s->grammars = g;
        g->n_users++;
        return g;
    }
    return NULL;
}

// Gives up the least recently used that nobody uses, while there are too many.
static void forget_grammars(GrammarStore *s) {
    while (s->n_grammars > MAX_GRAMMARS) {
        SharedGrammar **last = NULL;
        for (SharedGrammar **at = &s->grammars; *at; at = &(*at)->next)
            if ((*at)->n_users == 0) last = at;
        if (!last) return;
        SharedGrammar *g = *last;
        *last = g->next;
        s->n_grammars--;
        free_grammar(g);
    }
}

static void forget_idle(GrammarStore *s) {
    SharedGrammar *last = NULL;
    for (SharedGrammar *g = s->grammars; g; g = g->next)
        if (g->idle) last = g;
    GrammarConstraint *c = last->idle;
    last->idle = c->next;
    s->n_idle--;
    destroy_constraint(c);
}

static void constraint_done(Constraint *base) {
    GrammarConstraint *c = own(base);
    SharedGrammar *g = c->grammar;
    GrammarStore *s = g->store;
    lock(s);
    c->next = g->idle;
    g->idle = c;
    if (++s->n_idle > MAX_IDLE) forget_idle(s);
    g->n_users--;
    forget_grammars(s);
    unlock(s);
}

static bool prepare_locked(GrammarStore *s, Err *err) {
    return s->trie || (s->trie = token_trie_new(s->tokenizer, err)) != NULL;
}

// ---- the store

GrammarStore *grammar_store_new(const Tokenizer *t, Err *err) {
    GrammarStore *s = calloc(1, sizeof *s);
    if (s && pthread_mutex_init(&s->lock, NULL) == 0) {
        s->tokenizer = t;
        return s;
    }
    free(s);
    err_set(err, ERR_NOMEM, "out of memory for grammars");
    return NULL;
}

void grammar_store_free(GrammarStore *s) {
    if (!s) return;
    for (SharedGrammar *g; (g = s->grammars) != NULL;) {
        CHECK(g->n_users == 0);
        s->grammars = g->next;
        free_grammar(g);
    }
    token_trie_free(s->trie);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

bool grammar_store_prepare(GrammarStore *s, Err *err) {
    lock(s);
    bool ok = prepare_locked(s, err);
    unlock(s);
    return ok;
}

static SharedGrammar *add(GrammarStore *s, Buf *key, Grammar *grammar, Err *err) {
    SharedGrammar *g = calloc(1, sizeof *g);
    if (!g) {
        grammar_free(grammar);
        err_set(err, ERR_NOMEM, "out of memory for a grammar");
        return NULL;
    }
    *g = (SharedGrammar){.store = s, .key = *key, .grammar = grammar, .n_users = 1, .next = s->grammars};
    *key = (Buf){0};
    s->grammars = g;
    s->n_grammars++;
    forget_grammars(s);
    return g;
}

// Compiled without the lock: others need not wait, and if two compile the same, the first to end wins.
SharedGrammar *grammar_store_get(GrammarStore *s, const GrammarSpec *spec, Err *err) {
    Buf key = {0};
    SharedGrammar *g = NULL;
    if (write_key(spec, &key, err)) {
        lock(s);
        g = find(s, buf_str(&key));
        unlock(s);
        Grammar *grammar = g ? NULL : compile(spec, err);
        if (grammar) {
            lock(s);
            g = find(s, buf_str(&key));
            if (g)
                grammar_free(grammar);
            else
                g = add(s, &key, grammar, err);
            unlock(s);
        }
    }
    buf_free(&key);
    return g;
}

void shared_grammar_release(SharedGrammar *g) {
    if (!g) return;
    GrammarStore *s = g->store;
    lock(s);
    g->n_users--;
    forget_grammars(s);
    unlock(s);
}

static GrammarConstraint *new_constraint(SharedGrammar *g, Err *err) {
    static const ConstraintOps ops = {constraint_ready,   constraint_mask,  constraint_accept,
                                      constraint_is_done, constraint_guess, constraint_done};
    GrammarConstraint *c = calloc(1, sizeof *c);
    if (!c) {
        err_set(err, ERR_NOMEM, "out of memory for a request's grammar");
        return NULL;
    }
    *c = (GrammarConstraint){.base = {&ops, g->store->trie->n_vocab}, .grammar = g};
    c->mask = token_mask_new(g->store->trie, g->grammar, err);
    if (c->mask) return c;
    free(c);
    return NULL;
}

Constraint *shared_grammar_constraint(SharedGrammar *g, Err *err) {
    GrammarStore *s = g->store;
    lock(s);
    bool ok = prepare_locked(s, err);
    GrammarConstraint *c = g->idle;
    if (c) g->idle = c->next, s->n_idle--;
    unlock(s);
    if (!ok) return NULL;
    if (c)
        token_mask_restart(c->mask);
    else if (!(c = new_constraint(g, err)))
        return NULL;
    // The first mask costs most, and nobody waits for this thread as steps do.
    for (int i = 0; i < FIRST_PIECES && !token_mask_ready(c->mask); i++) {
    }
    lock(s);
    g->n_users++;
    unlock(s);
    return &c->base;
}
