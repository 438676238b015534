// A grammar at work: a deterministic automaton over bytes that is made while it is used.
//
// A state is a set of places where the grammar may stand: a node that waits for a byte, and a stack of
// where to go on when the rule or the repetition it is in has ended (with the repetition's count). Equal
// stacks are one entry of a table, so a place is two numbers and a state a sorted list of them. States
// get a number when they are first met, and where a byte leads is looked up once and then remembered:
// walking a text mostly costs one load a byte. Only what is met is made; expanding a grammar with counts
// and recursion beforehand would not end.
//
// Everything is allocated by automaton_new. When a table is full the walk gets AUTOMATON_FULL, and
// automaton_keep makes room by forgetting all states but one. A grammar that needs more than an empty
// table for one step, or more than MAX_PLACES places at once, is too ambiguous for this machine; who walks
// then stops with an error. Recursion deeper than MAX_DEPTH is no way of the grammar.
//
// Thread: belongs to one at a time; borrows the grammar.
#ifndef CLLM_CONSTRAIN_AUTOMATON_H
#define CLLM_CONSTRAIN_AUTOMATON_H

#include "constrain/grammar.h"

typedef struct Automaton Automaton;

enum {
    AUTOMATON_FULL = -1,
    AUTOMATON_DEAD = 1, // no text leads on from here
    AUTOMATON_MAX_STATES = 8192,
    AUTOMATON_MAX_DEPTH = 512,
    AUTOMATON_MAX_PLACES = 1024
};

Automaton *automaton_new(const Grammar *g, Err *err);
void automaton_free(Automaton *a); // NULL is allowed

int32_t automaton_start(Automaton *a); // the state before the first byte; AUTOMATON_FULL: too ambiguous
bool automaton_accepts(const Automaton *a, int32_t state);  // the text so far is a whole one
bool automaton_is_final(const Automaton *a, int32_t state); // and nothing may follow
// A state that the same texts of up to `bytes` bytes lead on from as from this one: counts that no such text
// brings to their bounds are reset, and what lies deeper in stacks than any comes is cut off. So many states
// have one in common. AUTOMATON_FULL: room must be made first.
int32_t automaton_alike(Automaton *a, int32_t state, int32_t bytes);
// Forgets all states but one and returns its new number.
int32_t automaton_keep(Automaton *a, int32_t state);

// The parts that automaton_next looks at.
struct Automaton {
    const Grammar *g;
    int32_t *table; // [MAX_STATES][n_classes] 0: not yet looked up
    int32_t n_states;
    int64_t work; // nodes and places looked at so far; who bounds it sets it to 0
    struct AutomatonTables *tables;
};

int32_t automaton_look_up(Automaton *a, int32_t state, uint8_t byte);

// The state behind a byte; AUTOMATON_FULL: room must be made first, or a step is too ambiguous.
static inline int32_t automaton_next(Automaton *a, int32_t state, uint8_t byte) {
    int32_t next = a->table[(size_t)state * (size_t)a->g->n_classes + a->g->class_of[byte]];
    return next ? next : automaton_look_up(a, state, byte);
}

#endif
