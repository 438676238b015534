#include "constrain/token_mask.h"

#include <stdlib.h>

enum {
    MASKS_BYTES = 1 << 20, // of all masks kept
    MAX_WORK = 1 << 20,    // of the automaton for one mask: some ten milliseconds
    LEAST_MASKS = 8,
    MOST_MASKS = 1024,
    N_PLAIN = TOKENS_REST, // plain slices come first
    UNKNOWN = 0,
    MIXED = -1, // no single state behind all characters
    ENDLESS = TOKEN_MAX_CHARS + 1,
    NOT_UNIFORM = -1
};

typedef struct Kept {
    int32_t state; // 0: free
    uint64_t used; // when last
} Kept;

struct TokenMask {
    const TokenTrie *trie;
    Automaton *a;
    int32_t start, state;
    bool stuck; // a step was too ambiguous
    // By state:
    int16_t *kept_at;             // [MAX_STATES] 1 + place in `kept`
    int32_t *plain_next[N_PLAIN]; // [MAX_STATES] the state behind any one character of the slice
    Kept *kept;                   // [n_kept]
    uint64_t *bits;               // [n_kept][n_words]
    int32_t n_kept;
    uint64_t clock;
};

// ---- making room

static void forget_states(TokenMask *m) {
    size_t n = (size_t)m->a->n_states;
    memset(m->kept_at, 0, n * sizeof m->kept_at[0]);
    for (int i = 0; i < N_PLAIN; i++) memset(m->plain_next[i], 0, n * sizeof *m->plain_next[i]);
    memset(m->kept, 0, (size_t)m->n_kept * sizeof *m->kept);
}

static void make_room(TokenMask *m) {
    forget_states(m);
    m->state = automaton_keep(m->a, m->state);
    m->start = UNKNOWN;
}

static bool half_full(const TokenMask *m) {
    return m->a->n_states > AUTOMATON_MAX_STATES / 2;
}

// ---- plain slices

// Byte ranges of a slice's alphabet: each row is the bytes of some characters.
typedef struct PlainBytes {
    uint8_t n, lo[4], hi[4];
} PlainBytes;

static const PlainBytes ascii_json[] = {{1, {0x20}, {0x21}}, {1, {0x23}, {0x5B}}, {1, {0x5D}, {0x7E}}};
static const PlainBytes ascii_text[] = {{1, {0x20}, {0x7E}}};
static const PlainBytes beyond_ascii[] = {
    {2, {0xC2, 0x80}, {0xDF, 0xBF}},
    {3, {0xE0, 0xA0, 0x80}, {0xE0, 0xBF, 0xBF}},
    {3, {0xE1, 0x80, 0x80}, {0xEC, 0xBF, 0xBF}},
    {3, {0xED, 0x80, 0x80}, {0xED, 0x9F, 0xBF}},
    {3, {0xEE, 0x80, 0x80}, {0xEF, 0xBF, 0xBF}},
    {4, {0xF0, 0x90, 0x80, 0x80}, {0xF0, 0xBF, 0xBF, 0xBF}},
    {4, {0xF1, 0x80, 0x80, 0x80}, {0xF3, 0xBF, 0xBF, 0xBF}},
    {4, {0xF4, 0x80, 0x80, 0x80}, {0xF4, 0x8F, 0xBF, 0xBF}},
};

// Joins the states behind the characters of one row from its k-th byte on to *common.
static bool join_row(TokenMask *m, int32_t state, const PlainBytes *row, int k, int32_t *common) {
    const uint8_t *class_of = m->a->g->class_of;
    int last_class = -1;
    for (int b = row->lo[k]; b <= row->hi[k]; b++) {
        if (class_of[b] == last_class) continue;
        last_class = class_of[b];
        int32_t next = automaton_next(m->a, state, (uint8_t)b);
        if (next == AUTOMATON_FULL) return false;
        if (k + 1 < row->n && next != AUTOMATON_DEAD) {
            if (!join_row(m, next, row, k + 1, common)) return false;
        } else if (*common == UNKNOWN) {
            *common = next;
        } else if (*common != next) {
            *common = MIXED;
        }
        if (*common == MIXED) return true;
    }
    return true;
}

static bool join_rows(TokenMask *m, int32_t state, const PlainBytes *rows, size_t n, int32_t *common) {
    for (size_t i = 0; i < n && *common != MIXED; i++)
        if (!join_row(m, state, &rows[i], 0, common)) return false;
    return true;
}

// *out: the state behind any one character of the slice, DEAD if none may follow, MIXED if they differ.
// false: full.
static bool plain_next(TokenMask *m, TokenSlice slice, int32_t state, int32_t *out) {
    int32_t *known = &m->plain_next[slice][state];
    if (*known == UNKNOWN) {
        int32_t common = UNKNOWN;
        const PlainBytes *ascii = slice == TOKENS_JSON ? ascii_json : ascii_text;
        size_t n_ascii = slice == TOKENS_JSON ? sizeof ascii_json / sizeof *ascii : 1;
        if (!join_rows(m, state, ascii, n_ascii, &common) ||
            !join_rows(m, state, beyond_ascii, sizeof beyond_ascii / sizeof *beyond_ascii, &common))
            return false;
        *known = common;
    }
    *out = *known;
    return true;
}

// How many characters of the slice may follow, whichever they are, none of them beyond: 0 … MAX_CHARS, or
// ENDLESS for more than any token has; NOT_UNIFORM if that depends on the characters. false: full.
static bool plain_run(TokenMask *m, TokenSlice slice, int32_t state, int *run) {
    for (*run = 0; *run < ENDLESS; ++*run) {
        int32_t next;
        if (!plain_next(m, slice, state, &next)) return false;
        if (next == AUTOMATON_DEAD) return true;
        if (next == MIXED || next == state) {
            *run = next == state ? ENDLESS : NOT_UNIFORM;
            return true;
        }
        state = next;
    }
    return true;
}

// ---- masks

static bool walk_trie(TokenMask *m, const Trie *trie, uint64_t *bits) {
    int32_t states[TOKEN_MAX_BYTES + 1];
    states[0] = m->state;
    for (uint32_t i = 0; i < trie->n_nodes;) {
        const TrieNode *node = &trie->nodes[i];
        int32_t next = automaton_next(m->a, states[node->depth], node->byte);
        if (next == AUTOMATON_DEAD) {
            i = node->end;
            continue;
        }
        if (next == AUTOMATON_FULL || m->a->work > MAX_WORK) return false;
        states[node->depth + 1] = next;
        for (uint32_t t = node->first; t < node[1].first; t++) bits_set(bits, trie->tokens[t]);
        i++;
    }
    return true;
}

static bool add_slice(TokenMask *m, TokenSlice slice, uint64_t *bits) {
    const Trie *trie = &m->trie->slices[slice];
    int run = NOT_UNIFORM;
    if (slice != TOKENS_REST && !plain_run(m, slice, m->state, &run)) return false;
    if (run == NOT_UNIFORM) return walk_trie(m, trie, bits);
    size_t n_words = m->trie->n_words;
    const uint64_t *level = trie->up_to + (size_t)(run < TOKEN_MAX_CHARS ? run : TOKEN_MAX_CHARS) * n_words;
    for (size_t w = 0; w < n_words; w++) bits[w] |= level[w];
    return true;
}

static bool fill(TokenMask *m, uint64_t *bits) {
    memset(bits, 0, m->trie->n_words * sizeof *bits);
    m->a->work = 0;
    for (int slice = 0; slice < N_TOKEN_SLICES; slice++)
        if (!add_slice(m, (TokenSlice)slice, bits)) return false;
    for (size_t i = 0; i < m->trie->n_ends && automaton_accepts(m->a, m->state); i++)
        bits_set(bits, m->trie->ends[i]);
    return true;
}

// The place for one more mask.
static int32_t free_place(TokenMask *m) {
    int32_t oldest = 0;
    for (int32_t i = 0; i < m->n_kept; i++) {
        if (!m->kept[i].state) return i;
        if (m->kept[i].used < m->kept[oldest].used) oldest = i;
    }
    m->kept_at[m->kept[oldest].state] = 0;
    return oldest;
}

// What one mask needs must never depend on what was there before: with too little room it is tried once
// more with all of it.
static bool fill_with_room(TokenMask *m, uint64_t *bits) {
    bool empty = false;
    if (half_full(m)) make_room(m), empty = true;
    if (fill(m, bits)) return true;
    if (empty) return false;
    make_room(m);
    return fill(m, bits);
}

static bool is_empty(const TokenMask *m, const uint64_t *bits) {
    for (size_t w = 0; w < m->trie->n_words; w++)
        if (bits[w]) return false;
    return true;
}

const uint64_t *token_mask_bits(TokenMask *m) {
    size_t n_words = m->trie->n_words;
    if (m->stuck) return NULL;
    int32_t at = m->kept_at[m->state] - 1;
    if (at < 0) {
        at = free_place(m);
        m->kept[at].state = UNKNOWN;
        if (!fill_with_room(m, m->bits + (size_t)at * n_words)) {
            m->stuck = true;
            return NULL;
        }
        m->kept[at].state = m->state;
        m->kept_at[m->state] = (int16_t)(at + 1);
    }
    m->kept[at].used = ++m->clock;
    const uint64_t *bits = m->bits + (size_t)at * n_words;
    return is_empty(m, bits) ? NULL : bits;
}

bool token_mask_feed(TokenMask *m, Str bytes) {
    for (size_t i = 0; i < bytes.len && !m->stuck; i++) {
        int32_t next = automaton_next(m->a, m->state, (uint8_t)bytes.ptr[i]);
        if (next == AUTOMATON_FULL) {
            make_room(m);
            next = automaton_next(m->a, m->state, (uint8_t)bytes.ptr[i]);
        }
        m->stuck = next == AUTOMATON_FULL;
        if (m->stuck || next == AUTOMATON_DEAD) return false;
        m->state = next;
    }
    return !m->stuck;
}

// ---- guesses

// The byte that alone may follow, or -1. (A text that may also end here has another way.)
static int only_byte(TokenMask *m, int32_t state) {
    int only = -1;
    for (int b = 0; b < 256; b++) {
        int32_t next = automaton_next(m->a, state, (uint8_t)b);
        if (next == AUTOMATON_DEAD) continue;
        if (next == AUTOMATON_FULL || only >= 0) return -1;
        only = b;
    }
    return automaton_accepts(m->a, state) ? -1 : only;
}

int32_t token_mask_guess(TokenMask *m, int32_t *out, int32_t most) {
    enum { MAX_AHEAD = 64 };
    char text[MAX_AHEAD];
    size_t n = 0, at = 0;
    int32_t n_out = 0;
    if (m->stuck) return 0;
    for (int32_t state = m->state; n < MAX_AHEAD; n++) {
        int byte = only_byte(m, state);
        if (byte < 0) break;
        text[n] = (char)byte;
        state = automaton_next(m->a, state, (uint8_t)byte);
    }
    while (n_out < most && at < n) {
        Str rest = {text + at, n - at};
        int32_t token = token_trie_longest(m->trie, rest);
        if (token < 0) break;
        out[n_out++] = token;
        at += token_trie_bytes(m->trie, token).len;
    }
    return n_out;
}

// ---- the text

static bool is_end(const TokenTrie *t, int32_t token) {
    for (size_t i = 0; i < t->n_ends; i++)
        if (t->ends[i] == token) return true;
    return false;
}

void token_mask_accept(TokenMask *m, int32_t token) {
    if (is_end(m->trie, token)) return;
    CHECK(token_mask_feed(m, token_trie_bytes(m->trie, token)));
}

bool token_mask_is_done(const TokenMask *m) {
    return !m->stuck && automaton_is_final(m->a, m->state);
}

bool token_mask_may_end(const TokenMask *m) {
    return !m->stuck && automaton_accepts(m->a, m->state);
}

void token_mask_restart(TokenMask *m) {
    if (m->start == UNKNOWN || half_full(m)) {
        m->state = AUTOMATON_DEAD;
        make_room(m);
        m->start = automaton_start(m->a);
        CHECK(m->start != AUTOMATON_FULL); // token_mask_new has seen it
    }
    m->state = m->start;
    m->stuck = false;
}

// ---- life

static int32_t masks_for(size_t n_words) {
    size_t n = MASKS_BYTES / (n_words * sizeof(uint64_t));
    return n < LEAST_MASKS ? LEAST_MASKS : n > MOST_MASKS ? MOST_MASKS : (int32_t)n;
}

static bool allocate(TokenMask *m) {
    size_t n_words = m->trie->n_words;
    m->n_kept = masks_for(n_words);
    m->kept = calloc((size_t)m->n_kept, sizeof *m->kept);
    m->bits = calloc((size_t)m->n_kept * n_words, sizeof *m->bits);
    m->kept_at = calloc(AUTOMATON_MAX_STATES, sizeof *m->kept_at);
    bool ok = m->kept && m->bits && m->kept_at;
    for (int i = 0; i < N_PLAIN; i++) {
        m->plain_next[i] = calloc(AUTOMATON_MAX_STATES, sizeof *m->plain_next[i]);
        ok = ok && m->plain_next[i];
    }
    return ok;
}

TokenMask *token_mask_new(const TokenTrie *trie, const Grammar *g, Err *err) {
    TokenMask *m = calloc(1, sizeof *m);
    if (!m) {
        err_set(err, ERR_NOMEM, "out of memory for a request's grammar");
        return NULL;
    }
    m->trie = trie;
    if (!(m->a = automaton_new(g, err))) goto fail;
    if (!allocate(m)) {
        err_set(err, ERR_NOMEM, "out of memory for a request's grammar");
        goto fail;
    }
    m->state = m->start = automaton_start(m->a);
    if (m->start == AUTOMATON_FULL || m->start == AUTOMATON_DEAD) {
        err_set(err, ERR_LIMIT, "the grammar is too %s to begin with",
                m->start == AUTOMATON_DEAD ? "deep" : "ambiguous");
        goto fail;
    }
    return m;
fail:
    token_mask_free(m);
    return NULL;
}

void token_mask_free(TokenMask *m) {
    if (!m) return;
    automaton_free(m->a);
    for (int i = 0; i < N_PLAIN; i++) free(m->plain_next[i]);
    free(m->kept_at);
    free(m->kept);
    free(m->bits);
    free(m);
}
