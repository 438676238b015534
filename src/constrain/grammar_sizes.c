#include "constrain/grammar_sizes.h"

#include <stdlib.h>

// Nodes mostly come behind those that they lead to, so a few sweeps settle both; a grammar that takes more
// gets the values that say nothing.
enum { MAX_SWEEPS = 64 };

static const int32_t any_climb = 1 << 20;

static int64_t least_of(const Grammar *g, const Node *n) {
    const uint8_t *least = g->least;
    int64_t best = GRAMMAR_MANY_BYTES;
    switch (n->kind) {
    case NODE_RETURN: return 0;
    case NODE_BYTES:
        for (int32_t e = n->first; e < n->first + n->n; e++)
            if (least[g->edges[e].to] + 1 < best) best = least[g->edges[e].to] + 1;
        return best;
    case NODE_SPLIT:
        for (int32_t i = 0; i < n->n; i++)
            if (least[g->targets[n->first + i]] < best) best = least[g->targets[n->first + i]];
        return best;
    case NODE_CALL: return least[n->first] + least[n->next];
    case NODE_REPEAT: return (int64_t)n->min * least[n->first] + least[n->next];
    }
    return 0;
}

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static int32_t climb_of(const Grammar *g, const Node *n, const int32_t *climb) {
    int32_t most = 0;
    switch (n->kind) {
    case NODE_RETURN:
    case NODE_BYTES: return 0;
    case NODE_SPLIT:
        for (int32_t i = 0; i < n->n; i++) most = larger(most, climb[g->targets[n->first + i]]);
        return most;
    case NODE_CALL: return larger(climb[n->first] + (n->next != GRAMMAR_RETURN), climb[n->next]);
    case NODE_REPEAT: return larger(climb[n->first] + 1, climb[n->next]);
    }
    return 0;
}

// Shortest ways, from above: only what has settled is true.
static void settle_least(Grammar *g) {
    bool changed = true;
    memset(g->least, GRAMMAR_MANY_BYTES, (size_t)g->n_nodes);
    for (int sweep = 0; sweep < MAX_SWEEPS && changed; sweep++) {
        changed = false;
        for (int32_t i = 0; i < g->n_nodes; i++) {
            int64_t least = least_of(g, &g->nodes[i]);
            if (least >= g->least[i]) continue;
            g->least[i] = (uint8_t)least;
            changed = true;
        }
    }
    if (changed) memset(g->least, 0, (size_t)g->n_nodes);
}

// Longest ways, from below; without left recursion they end.
static void settle_climb(Grammar *g, int32_t *climb) {
    bool changed = true;
    for (int sweep = 0; sweep < MAX_SWEEPS && changed; sweep++) {
        changed = false;
        for (int32_t i = 0; i < g->n_nodes; i++) {
            int32_t most = climb_of(g, &g->nodes[i], climb);
            if (most <= climb[i]) continue;
            climb[i] = most;
            g->climb = larger(g->climb, most);
            changed = true;
        }
    }
    if (changed) g->climb = any_climb;
}

bool grammar_sizes(Grammar *g, Err *err) {
    int32_t *climb = calloc((size_t)g->n_nodes, sizeof *climb);
    g->least = malloc((size_t)g->n_nodes);
    if (!climb || !g->least) {
        free(climb);
        return err_set(err, ERR_NOMEM, "out of memory for a grammar");
    }
    settle_least(g);
    settle_climb(g, climb);
    free(climb);
    return true;
}
