// A compiled grammar: a recursive transition network over bytes.
//
// Nodes either consume a byte (BYTES), or are passed without one: SPLIT goes on in several places, CALL
// enters a rule and REPEAT a counted body, both of which remember on a stack where to go on, and RETURN
// goes on there. A call in last place remembers nothing, so right recursion needs no stack. Uncounted
// repetitions are circles of nodes. automaton.h runs it.
//
// What would make the running of it go wrong is refused here, with the name of the rule: rules that
// never end, that call themselves before they have consumed anything, and grammars that are too large.
// Then every text that has begun as the grammar says can be finished as it says.
// Thread: immutable.
#ifndef CLLM_CONSTRAIN_GRAMMAR_H
#define CLLM_CONSTRAIN_GRAMMAR_H

#include "constrain/rules.h"

enum {
    GRAMMAR_MAX_NODES = 1 << 19,
    GRAMMAR_RETURN = 0, // the one RETURN node
    GRAMMAR_MANY_BYTES = 255
};

typedef enum NodeKind { NODE_RETURN, NODE_BYTES, NODE_SPLIT, NODE_CALL, NODE_REPEAT } NodeKind;

typedef struct Edge {
    uint8_t lo, hi; // bytes, both included
    int32_t to;
} Edge;

typedef struct Node {
    NodeKind kind;
    int32_t first, n; // BYTES: of `edges`; SPLIT: of `targets`; CALL: first is the rule's entry;
                      // REPEAT: first is the body, which ends in GRAMMAR_RETURN
    int32_t next;     // CALL, REPEAT: where it goes on; of a CALL in last place GRAMMAR_RETURN
    int32_t min, max; // REPEAT; max may be RX_ENDLESS
} Node;

typedef struct Grammar {
    Node *nodes;
    int32_t n_nodes, cap_nodes;
    Edge *edges;
    int32_t n_edges, cap_edges;
    int32_t *targets;
    int32_t n_targets, cap_targets;
    int32_t *entries; // [n_rules]
    int32_t start;
    uint8_t *least; // [n_nodes] no text from the node to its RETURN has fewer bytes (at most MANY_BYTES)
    int32_t climb;  // most calls and repetitions that are entered between two bytes, one in another
    // Bytes that no edge tells apart are one class.
    uint8_t class_of[256];
    uint8_t class_last[256]; // the last byte of the byte's class
    int32_t n_classes;
} Grammar;

// Compiles rule 0 and what it needs. The rules may be freed afterwards.
Grammar *grammar_compile(const Rules *r, Err *err);
void grammar_free(Grammar *g); // NULL is allowed

#endif
