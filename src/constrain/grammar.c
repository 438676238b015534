#include "constrain/grammar.h"

#include "constrain/grammar_check.h"
#include "constrain/grammar_sizes.h"
#include "constrain/grow.h"
#include "constrain/utf8_class.h"

// Expressions are compiled backwards: each is told the node behind it and tells the node that it begins
// with.
typedef struct Compiler {
    const Rules *r;
    Grammar *g;
    const bool *nullable;
    bool failed; // too large, or no memory
} Compiler;

static int32_t compile(Compiler *c, RxId id, int32_t next);

static int32_t too_large(Compiler *c) {
    c->failed = true;
    return GRAMMAR_RETURN;
}

static int32_t add_node(Compiler *c, Node node) {
    Grammar *g = c->g;
    if (c->failed || !grow(&g->nodes, &g->cap_nodes, g->n_nodes, sizeof *g->nodes, GRAMMAR_MAX_NODES))
        return too_large(c);
    g->nodes[g->n_nodes] = node;
    return g->n_nodes++;
}

static void add_edge(Compiler *c, Edge edge) {
    Grammar *g = c->g;
    if (grow(&g->edges, &g->cap_edges, g->n_edges, sizeof *g->edges, GRAMMAR_MAX_NODES))
        g->edges[g->n_edges++] = edge;
    else
        too_large(c);
}

static int32_t add_bytes(void *ctx, const Edge *edges, int32_t n) {
    Compiler *c = ctx;
    Node node = {.kind = NODE_BYTES, .first = c->g->n_edges, .n = n};
    for (int32_t i = 0; i < n; i++) add_edge(c, edges[i]);
    return add_node(c, node);
}

// Room for n targets; they are written when they are known.
static int32_t add_split(Compiler *c, int32_t n) {
    Grammar *g = c->g;
    Node node = {.kind = NODE_SPLIT, .first = g->n_targets, .n = n};
    for (int32_t i = 0; i < n; i++) {
        if (!grow(&g->targets, &g->cap_targets, g->n_targets, sizeof *g->targets, GRAMMAR_MAX_NODES))
            return too_large(c);
        g->targets[g->n_targets++] = GRAMMAR_RETURN;
    }
    return add_node(c, node);
}

static void set_target(Compiler *c, int32_t split, int32_t i, int32_t to) {
    if (!c->failed) c->g->targets[c->g->nodes[split].first + i] = to;
}

static int32_t split_two(Compiler *c, int32_t one, int32_t other) {
    int32_t split = add_split(c, 2);
    set_target(c, split, 0, one);
    set_target(c, split, 1, other);
    return split;
}

static const uint8_t *literal(const Compiler *c, RxId id) {
    return (const uint8_t *)c->r->bytes.ptr + c->r->rx[id].first;
}

static int32_t compile_bytes(Compiler *c, RxId id, int32_t from, int32_t next) {
    const uint8_t *bytes = literal(c, id);
    for (int32_t i = c->r->rx[id].n; i-- > from && !c->failed;)
        next = add_bytes(c, &(Edge){bytes[i], bytes[i], next}, 1);
    return next;
}

// ---- Alternatives that are literals become a tree of bytes, so that a choice among a thousand words is
// one place in the grammar and not a thousand.

static int compare_literals(const Compiler *c, RxId a, RxId b) {
    int32_t n_a = c->r->rx[a].n, n_b = c->r->rx[b].n;
    int order = memcmp(literal(c, a), literal(c, b), (size_t)(n_a < n_b ? n_a : n_b));
    return order ? order : (n_a > n_b) - (n_a < n_b);
}

static void sort_literals(const Compiler *c, RxId *ids, int32_t n) {
    for (int32_t gap = n / 2; gap > 0; gap /= 2)
        for (int32_t i = gap; i < n; i++) {
            RxId id = ids[i];
            int32_t k = i;
            for (; k >= gap && compare_literals(c, ids[k - gap], id) > 0; k -= gap) ids[k] = ids[k - gap];
            ids[k] = id;
        }
}

// Sorted literals that agree in their first `depth` bytes.
static int32_t compile_tree(Compiler *c, const RxId *ids, int32_t n, int32_t depth, int32_t next, int level) {
    Edge edges[256];
    int32_t n_edges = 0, i = 0;
    if (n == 1) return compile_bytes(c, ids[0], depth, next);
    int32_t shared = depth;
    while (c->r->rx[ids[0]].n > shared && c->r->rx[ids[n - 1]].n > shared &&
           literal(c, ids[0])[shared] == literal(c, ids[n - 1])[shared])
        shared++;
    if (level == 200) return too_large(c);
    while (i < n && c->r->rx[ids[i]].n == shared) i++; // the words that end here
    bool ends = i > 0;
    while (i < n && !c->failed) {
        uint8_t byte = literal(c, ids[i])[shared];
        int32_t end = i + 1;
        while (end < n && literal(c, ids[end])[shared] == byte) end++;
        edges[n_edges++] = (Edge){byte, byte, compile_tree(c, ids + i, end - i, shared + 1, next, level + 1)};
        i = end;
    }
    int32_t node = n_edges ? add_bytes(c, edges, n_edges) : next;
    if (ends && n_edges) node = split_two(c, next, node);
    const uint8_t *bytes = literal(c, ids[0]);
    for (int32_t at = shared; at-- > depth && !c->failed;)
        node = add_bytes(c, &(Edge){bytes[at], bytes[at], node}, 1);
    return node;
}

static int32_t compile_alt(Compiler *c, const Rx *x, int32_t next) {
    const int32_t *kids = c->r->kids + x->first;
    int32_t n_words = 0, at = 0;
    RxId *words = malloc((size_t)x->n * sizeof *words);
    if (!words) return too_large(c);
    for (int32_t i = 0; i < x->n; i++)
        if (c->r->rx[kids[i]].kind == RX_BYTES) words[n_words++] = kids[i];
    sort_literals(c, words, n_words);
    int32_t split = add_split(c, x->n - n_words + (n_words > 0));
    if (n_words) set_target(c, split, at++, compile_tree(c, words, n_words, 0, next, 0));
    for (int32_t i = 0; i < x->n && !c->failed; i++)
        if (c->r->rx[kids[i]].kind != RX_BYTES) set_target(c, split, at++, compile(c, kids[i], next));
    free(words);
    return split;
}

// ---- the others

static int32_t compile_class(Compiler *c, const Rx *x, int32_t next) {
    int32_t node;
    return utf8_class_nodes(c->r->ranges + x->first, x->n, next, add_bytes, c, &node) ? node : too_large(c);
}

static int32_t compile_repeat(Compiler *c, const Rx *x, int32_t next) {
    int32_t min = c->nullable[x->first] ? 0 : x->min;
    if (x->max == 1) return split_two(c, compile(c, x->first, next), next);
    if (min <= 1 && x->max == RX_ENDLESS) {
        int32_t again = add_split(c, 2), body = compile(c, x->first, again);
        set_target(c, again, 0, body);
        set_target(c, again, 1, next);
        return min == 1 ? body : again;
    }
    int32_t body = compile(c, x->first, GRAMMAR_RETURN);
    return add_node(c, (Node){.kind = NODE_REPEAT, .first = body, .next = next, .min = min, .max = x->max});
}

static int32_t compile(Compiler *c, RxId id, int32_t next) {
    const Rx *x = &c->r->rx[id];
    if (c->failed) return GRAMMAR_RETURN;
    switch ((RxKind)x->kind) {
    case RX_EMPTY: return next;
    case RX_BYTES: return compile_bytes(c, id, 0, next);
    case RX_CLASS: return compile_class(c, x, next);
    case RX_SEQ:
        for (int32_t i = x->n; i-- > 0;) next = compile(c, c->r->kids[x->first + i], next);
        return next;
    case RX_ALT: return compile_alt(c, x, next);
    case RX_REPEAT: return compile_repeat(c, x, next);
    case RX_RULE: return add_node(c, (Node){.kind = NODE_CALL, .first = x->first, .next = next});
    }
    return next;
}

// Calls name rules until all rules have an entry.
static void resolve_calls(Grammar *g) {
    for (int32_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].kind == NODE_CALL) g->nodes[i].first = g->entries[g->nodes[i].first];
}

static void number_classes(Grammar *g) {
    bool begins[257] = {false};
    for (int32_t i = 0; i < g->n_edges; i++) begins[g->edges[i].lo] = begins[g->edges[i].hi + 1] = true;
    for (int b = 0; b < 256; b++) {
        if (b > 0 && begins[b]) g->n_classes++;
        g->class_of[b] = (uint8_t)g->n_classes;
    }
    for (int b = 255; b >= 0; b--)
        g->class_last[b] = b == 255 || begins[b + 1] ? (uint8_t)b : g->class_last[b + 1];
    g->n_classes++;
}

static bool compile_rules(Compiler *c, Err *err) {
    Grammar *g = c->g;
    g->entries = calloc((size_t)c->r->n_rules, sizeof *g->entries);
    add_node(c, (Node){.kind = NODE_RETURN});
    if (!g->entries) c->failed = true;
    for (int32_t i = 0; i < c->r->n_rules && !c->failed; i++)
        g->entries[i] = compile(c, c->r->rules[i].body, GRAMMAR_RETURN);
    if (c->failed) return err_set(err, ERR_LIMIT, "the grammar is too large");
    resolve_calls(g);
    number_classes(g);
    g->start = g->entries[0];
    return grammar_sizes(g, err);
}

Grammar *grammar_compile(const Rules *r, Err *err) {
    if (r->failed) {
        err_set(err, r->err.code, "%s", r->err.msg);
        return NULL;
    }
    CHECK(r->n_rules > 0);
    bool *nullable = calloc((size_t)r->n_rx, sizeof *nullable);
    Grammar *g = calloc(1, sizeof *g);
    Compiler c = {.r = r, .g = g, .nullable = nullable};
    bool ok = (nullable && g) || err_set(err, ERR_NOMEM, "out of memory for a grammar");
    ok = ok && grammar_check(r, nullable, err) && compile_rules(&c, err);
    free(nullable);
    if (ok) return g;
    grammar_free(g);
    return NULL;
}

void grammar_free(Grammar *g) {
    if (!g) return;
    free(g->nodes);
    free(g->edges);
    free(g->targets);
    free(g->entries);
    free(g->least);
    free(g);
}
