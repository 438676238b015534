#include "text/special.h"

#include <inttypes.h>
#include <stdlib.h>

static bool new_node(SpecialTrie *t, uint8_t byte, uint32_t *out) {
    if (t->n == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 256;
        SpecialNode *nodes = cap > t->cap ? realloc(t->nodes, cap * sizeof *nodes) : NULL;
        if (!nodes) return false;
        t->nodes = nodes;
        t->cap = cap;
    }
    t->nodes[t->n] = (SpecialNode){.token = -1, .byte = byte};
    *out = t->n++;
    return true;
}

static uint32_t child_of(const SpecialTrie *t, uint32_t node, uint8_t byte) {
    uint32_t c = t->nodes[node].child;
    while (c && t->nodes[c].byte != byte) c = t->nodes[c].sibling;
    return c;
}

static bool insert(SpecialTrie *t, Str text, int32_t token, bool control) {
    uint32_t at = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.ptr[i];
        uint32_t next = child_of(t, at, byte);
        if (next == 0) {
            if (!new_node(t, byte, &next)) return false;
            t->nodes[next].sibling = t->nodes[at].child;
            t->nodes[at].child = next;
        }
        at = next;
    }
    t->nodes[at].token = token;
    t->nodes[at].control = control;
    t->first[(uint8_t)text.ptr[0]] |= control ? 2 : 1;
    return true;
}

bool special_open(SpecialTrie *t, const Vocab *v, Err *err) {
    *t = (SpecialTrie){0};
    uint32_t root = 0;
    if (!new_node(t, 0, &root)) goto no_memory;
    for (int32_t i = 0; i < v->n; i++) {
        bool control = v->kind[i] == TOKEN_CONTROL;
        Str text = v->text[i];
        if ((!control && v->kind[i] != TOKEN_USER) || text.len == 0) continue;
        if (text.len > SPECIAL_MAX_BYTES) {
            err_set(err, ERR_LIMIT,
                    "tokenizer.ggml.tokens[%" PRId32 "] is a special token of %zu bytes; at most %d", i,
                    text.len, SPECIAL_MAX_BYTES);
            goto failed;
        }
        if (!insert(t, text, i, control)) goto no_memory;
    }
    return true;
no_memory:
    err_set(err, ERR_NOMEM, "out of memory for the special tokens");
failed:
    special_free(t);
    return false;
}

void special_free(SpecialTrie *t) {
    free(t->nodes);
    *t = (SpecialTrie){0};
}

static bool match_at(const SpecialTrie *t, Str text, size_t at, bool control, SpecialHit *out) {
    bool found = false;
    uint32_t node = 0;
    for (size_t i = at; i < text.len; i++) {
        node = child_of(t, node, (uint8_t)text.ptr[i]);
        if (node == 0) break;
        const SpecialNode *n = &t->nodes[node];
        if (n->token < 0 || (n->control && !control)) continue;
        *out = (SpecialHit){at, i + 1 - at, n->token};
        found = true;
    }
    return found;
}

bool special_find(const SpecialTrie *t, Str text, size_t from, bool control, SpecialHit *out) {
    uint8_t wanted = control ? 3 : 1;
    for (size_t at = from; at < text.len; at++) {
        if ((t->first[(uint8_t)text.ptr[at]] & wanted) == 0) continue;
        if (match_at(t, text, at, control, out)) return true;
    }
    return false;
}
