#include "constrain/automaton.h"

#include <stdlib.h>

enum {
    NO_FRAME = -1,
    FIRST_STATE = AUTOMATON_DEAD,
    MAX_FRAMES = 1 << 15,
    MAX_ALL_PLACES = 1 << 16,
    MAX_VISITED = 4096, // nodes passed between two bytes
    VISITED_SLOTS = 2 * MAX_VISITED
};

// The top of a stack. Frames come after their parents, and equal ones are one.
typedef struct Frame {
    int32_t parent, node; // where to go on: behind this CALL or REPEAT
    int32_t count;        // REPEAT: matches so far
    int32_t depth;
} Frame;

typedef struct Place {
    int32_t node, stack; // BYTES, or RETURN without a stack: the text may end
} Place;

typedef struct State {
    int32_t first, n; // of `places`, sorted
} State;

typedef struct Visited {
    Place place;
    uint32_t round;
} Visited;

typedef struct AutomatonTables {
    Frame frames[MAX_FRAMES];
    int32_t frame_slots[2 * MAX_FRAMES]; // number + 1
    int32_t n_frames;
    State states[AUTOMATON_MAX_STATES];
    int32_t state_slots[2 * AUTOMATON_MAX_STATES]; // 0: free (there is no state 0)
    Place places[MAX_ALL_PLACES];
    int32_t n_places;
    // The walk between two bytes.
    Visited visited[VISITED_SLOTS];
    uint32_t round;
    int32_t n_visited;
    Place pending[2 * MAX_VISITED]; // to be passed
    int32_t n_pending;
    Place found[AUTOMATON_MAX_PLACES];
    int32_t n_found;
    bool overflow;
    Frame path[AUTOMATON_MAX_DEPTH]; // automaton_alike: the frames of a stack from the top
    int32_t moved[MAX_FRAMES];       // automaton_keep: a frame's new number
} AutomatonTables;

static uint32_t mix(uint32_t h, int32_t value) {
    h = (h ^ (uint32_t)value) * 0x9E3779B1u;
    return h ^ h >> 15;
}

static int32_t settle(Automaton *a);

// The state without places; the tables are all zeros.
static void begin(Automaton *a) {
    AutomatonTables *t = a->tables;
    a->n_states = FIRST_STATE;
    t->n_places = t->n_frames = t->n_found = 0;
    t->overflow = false;
    CHECK(settle(a) == AUTOMATON_DEAD);
}

static void clear(Automaton *a) {
    AutomatonTables *t = a->tables;
    memset(a->table, 0, (size_t)a->n_states * (size_t)a->g->n_classes * sizeof *a->table);
    memset(t->state_slots, 0, sizeof t->state_slots);
    memset(t->frame_slots, 0, sizeof t->frame_slots);
    begin(a);
}

// ---- stacks

static int32_t *frame_slot(AutomatonTables *t, const Frame *f) {
    uint32_t at = mix(mix(mix(0, f->parent), f->node), f->count);
    for (;; at++) {
        int32_t *slot = &t->frame_slots[at % (2 * MAX_FRAMES)];
        if (!*slot) return slot;
        const Frame *other = &t->frames[*slot - 1];
        if (other->parent == f->parent && other->node == f->node && other->count == f->count) return slot;
    }
}

// The stack with one more frame. false: there is none, since it would be too deep or there is no room.
static bool push_frame(AutomatonTables *t, int32_t parent, int32_t node, int32_t count, int32_t *out) {
    Frame f = {parent, node, count, parent == NO_FRAME ? 1 : t->frames[parent].depth + 1};
    if (f.depth > AUTOMATON_MAX_DEPTH) return false;
    int32_t *slot = frame_slot(t, &f);
    if (!*slot) {
        if (t->n_frames == MAX_FRAMES) {
            t->overflow = true;
            return false;
        }
        t->frames[t->n_frames] = f;
        *slot = ++t->n_frames;
    }
    *out = *slot - 1;
    return true;
}

// ---- what is reached without a byte

static void begin_walk(AutomatonTables *t) {
    if (++t->round == 0) {
        memset(t->visited, 0, sizeof t->visited);
        t->round = 1;
    }
    t->n_visited = t->n_pending = t->n_found = 0;
    t->overflow = false;
}

static void reach(AutomatonTables *t, int32_t node, int32_t stack) {
    uint32_t at = mix(mix(0, node), stack);
    Visited *v;
    for (;; at++) {
        v = &t->visited[at % VISITED_SLOTS];
        if (v->round != t->round) break;
        if (v->place.node == node && v->place.stack == stack) return;
    }
    if (t->n_visited == MAX_VISITED) {
        t->overflow = true;
        return;
    }
    t->n_visited++;
    *v = (Visited){{node, stack}, t->round};
    t->pending[t->n_pending++] = v->place;
}

static void note_place(AutomatonTables *t, Place p) {
    if (t->n_found < AUTOMATON_MAX_PLACES)
        t->found[t->n_found++] = p;
    else
        t->overflow = true;
}

// A repetition's body has matched `count` times: once more, or on. Without an upper end only what is
// missing to the lower one counts.
static void pass_repeat(Automaton *a, int32_t node, int32_t parent, int32_t count) {
    const Node *n = &a->g->nodes[node];
    int32_t stack;
    if (n->max == RX_ENDLESS && count > n->min) count = n->min;
    if (count >= n->min) reach(a->tables, n->next, parent);
    if ((n->max == RX_ENDLESS || count < n->max) && push_frame(a->tables, parent, node, count, &stack))
        reach(a->tables, n->first, stack);
}

static void pass_return(Automaton *a, Place p) {
    AutomatonTables *t = a->tables;
    if (p.stack == NO_FRAME) {
        note_place(t, p);
        return;
    }
    Frame f = t->frames[p.stack];
    if (a->g->nodes[f.node].kind == NODE_REPEAT)
        pass_repeat(a, f.node, f.parent, f.count + 1);
    else
        reach(t, a->g->nodes[f.node].next, f.parent);
}

static void pass(Automaton *a, Place p) {
    const Node *n = &a->g->nodes[p.node];
    int32_t stack = p.stack;
    switch (n->kind) {
    case NODE_BYTES: note_place(a->tables, p); break;
    case NODE_RETURN: pass_return(a, p); break;
    case NODE_REPEAT: pass_repeat(a, p.node, p.stack, 0); break;
    case NODE_SPLIT:
        for (int32_t i = 0; i < n->n; i++) reach(a->tables, a->g->targets[n->first + i], p.stack);
        break;
    case NODE_CALL:
        if (n->next == GRAMMAR_RETURN || push_frame(a->tables, p.stack, p.node, 0, &stack))
            reach(a->tables, n->first, stack);
        break;
    }
}

static void walk(Automaton *a) {
    AutomatonTables *t = a->tables;
    while (t->n_pending > 0 && !t->overflow) pass(a, t->pending[--t->n_pending]);
}

// ---- states

static bool before(Place a, Place b) {
    return a.node != b.node ? a.node < b.node : a.stack < b.stack;
}

static void sort_places(Place *p, int32_t n) {
    for (int32_t gap = n > 16 ? n / 2 : 1; gap > 0; gap /= 2)
        for (int32_t i = gap; i < n; i++) {
            Place one = p[i];
            int32_t k = i;
            for (; k >= gap && before(one, p[k - gap]); k -= gap) p[k] = p[k - gap];
            p[k] = one;
        }
}

static int32_t *state_slot(AutomatonTables *t, const Place *places, int32_t n) {
    uint32_t at = 0;
    for (int32_t i = 0; i < n; i++) at = mix(mix(at, places[i].node), places[i].stack);
    for (;; at++) {
        int32_t *slot = &t->state_slots[at % (2 * AUTOMATON_MAX_STATES)];
        if (!*slot) return slot;
        const State *s = &t->states[*slot];
        if (s->n == n && memcmp(t->places + s->first, places, (size_t)n * sizeof *places) == 0) return slot;
    }
}

// The state of the places found.
static int32_t settle(Automaton *a) {
    AutomatonTables *t = a->tables;
    if (t->overflow) return AUTOMATON_FULL;
    sort_places(t->found, t->n_found);
    int32_t *slot = state_slot(t, t->found, t->n_found);
    if (*slot) return *slot;
    if (a->n_states == AUTOMATON_MAX_STATES || t->n_places + t->n_found > MAX_ALL_PLACES)
        return AUTOMATON_FULL;
    memcpy(t->places + t->n_places, t->found, (size_t)t->n_found * sizeof *t->found);
    t->states[a->n_states] = (State){t->n_places, t->n_found};
    t->n_places += t->n_found;
    *slot = a->n_states;
    return a->n_states++;
}

int32_t automaton_look_up(Automaton *a, int32_t state, uint8_t byte) {
    AutomatonTables *t = a->tables;
    const State *s = &t->states[state];
    begin_walk(t);
    for (int32_t i = 0; i < s->n; i++) {
        Place p = t->places[s->first + i];
        const Node *n = &a->g->nodes[p.node];
        for (int32_t e = n->first; n->kind == NODE_BYTES && e < n->first + n->n; e++)
            if (byte >= a->g->edges[e].lo && byte <= a->g->edges[e].hi) reach(t, a->g->edges[e].to, p.stack);
    }
    walk(a);
    a->work += s->n + t->n_visited;
    int32_t next = settle(a);
    if (next != AUTOMATON_FULL)
        a->table[(size_t)state * (size_t)a->g->n_classes + a->g->class_of[byte]] = next;
    return next;
}

int32_t automaton_start(Automaton *a) {
    begin_walk(a->tables);
    reach(a->tables, a->g->start, NO_FRAME);
    walk(a);
    return settle(a);
}

static bool may_end(const Automaton *a, int32_t state) {
    const State *s = &a->tables->states[state];
    return s->n > 0 && a->tables->places[s->first].node == GRAMMAR_RETURN;
}

bool automaton_accepts(const Automaton *a, int32_t state) {
    return may_end(a, state);
}

bool automaton_is_final(const Automaton *a, int32_t state) {
    return may_end(a, state) && a->tables->states[state].n == 1;
}

// ---- states that the next bytes cannot tell apart

// A count that is compared as this one is, `steps` times from the next on.
static int32_t alike_count(const Node *n, int32_t count, int64_t steps) {
    if (n->max != RX_ENDLESS && count + steps >= n->max) return count;
    if (count + 1 >= n->min) return n->min > 0 ? n->min - 1 : 0;
    return count + steps < n->min ? 0 : count;
}

// How often a body can end in so many bytes; the one that is under way may end before the first.
static int64_t steps_within(const Grammar *g, const Node *repeat, int64_t bytes) {
    int32_t least = g->least[repeat->first];
    return least == 0 ? INT32_MAX : bytes > 0 ? 1 + bytes / least : 1;
}

// The bytes that come at least before what is behind a frame has ended too.
static int64_t least_behind(const Grammar *g, const Frame *f) {
    const Node *n = &g->nodes[f->node];
    int64_t again = n->kind == NODE_REPEAT && n->min > f->count + 1 ? n->min - f->count - 1 : 0;
    return again * g->least[n->first] + g->least[n->next];
}

// The part of a stack that so many bytes can come to. false: no room.
static bool alike_stack(Automaton *a, Place p, int32_t bytes, int32_t *out) {
    AutomatonTables *t = a->tables;
    const Grammar *g = a->g;
    int64_t left = bytes - g->least[p.node], n = 0;
    int32_t depth = p.stack == NO_FRAME ? 0 : t->frames[p.stack].depth;
    bool may_cut = depth + (int64_t)bytes * g->climb <= AUTOMATON_MAX_DEPTH;
    int32_t f = p.stack;
    for (; f != NO_FRAME && left >= 0; f = t->frames[f].parent) {
        Frame frame = t->frames[f];
        const Node *node = &g->nodes[frame.node];
        int64_t here = left;
        left -= least_behind(g, &frame);
        if (node->kind == NODE_REPEAT)
            frame.count = alike_count(node, frame.count, steps_within(g, node, here));
        t->path[n++] = frame;
    }
    *out = may_cut ? NO_FRAME : f;
    while (n-- > 0)
        if (!push_frame(t, *out, t->path[n].node, t->path[n].count, out)) return false;
    return true;
}

int32_t automaton_alike(Automaton *a, int32_t state, int32_t bytes) {
    AutomatonTables *t = a->tables;
    State s = t->states[state];
    int32_t kept = 0;
    begin_walk(t);
    for (int32_t i = 0; i < s.n; i++) {
        Place p = t->places[s.first + i];
        if (!alike_stack(a, p, bytes, &p.stack)) return AUTOMATON_FULL;
        note_place(t, p);
    }
    sort_places(t->found, t->n_found);
    for (int32_t i = 0; i < t->n_found; i++)
        if (kept == 0 || before(t->found[kept - 1], t->found[i])) t->found[kept++] = t->found[i];
    t->n_found = kept;
    a->work += s.n;
    return settle(a);
}

// ---- making room

// Frames that the places need stay, in their order, so parents still come first.
static void keep_frames(AutomatonTables *t, Place *places, int32_t n) {
    int32_t n_kept = 0;
    memset(t->moved, 0, (size_t)t->n_frames * sizeof t->moved[0]);
    for (int32_t i = 0; i < n; i++)
        for (int32_t f = places[i].stack; f != NO_FRAME && !t->moved[f]; f = t->frames[f].parent)
            t->moved[f] = 1;
    for (int32_t f = 0; f < t->n_frames; f++) {
        if (!t->moved[f]) continue;
        Frame frame = t->frames[f];
        if (frame.parent != NO_FRAME) frame.parent = t->moved[frame.parent];
        t->moved[f] = n_kept;
        t->frames[n_kept++] = frame;
    }
    for (int32_t i = 0; i < n; i++)
        if (places[i].stack != NO_FRAME) places[i].stack = t->moved[places[i].stack];
    t->n_frames = n_kept;
}

int32_t automaton_keep(Automaton *a, int32_t state) {
    AutomatonTables *t = a->tables;
    int32_t n = t->states[state].n;
    memcpy(t->found, t->places + t->states[state].first, (size_t)n * sizeof *t->found);
    keep_frames(t, t->found, n);
    int32_t n_frames = t->n_frames;
    clear(a);
    t->n_frames = n_frames;
    for (int32_t f = 0; f < n_frames; f++) *frame_slot(t, &t->frames[f]) = f + 1;
    t->n_found = n;
    return settle(a);
}

// ---- life

Automaton *automaton_new(const Grammar *g, Err *err) {
    Automaton *a = calloc(1, sizeof *a);
    if (a) {
        a->g = g;
        a->tables = calloc(1, sizeof *a->tables);
        a->table = calloc((size_t)AUTOMATON_MAX_STATES * (size_t)g->n_classes, sizeof *a->table);
        if (a->tables && a->table) {
            begin(a);
            return a;
        }
    }
    automaton_free(a);
    err_set(err, ERR_NOMEM, "out of memory for a grammar's states");
    return NULL;
}

void automaton_free(Automaton *a) {
    if (!a) return;
    free(a->tables);
    free(a->table);
    free(a);
}
