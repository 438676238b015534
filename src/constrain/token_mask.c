#include "constrain/token_mask.h"

#include <stdlib.h>

enum {
    MASKS_BYTES = 1 << 21, // of all walks kept
    LEAST_MASKS = 8,
    MOST_MASKS = 1024,
    // Work is counted in trie nodes; a place of the automaton takes as long as some of them.
    WORK_OF_PLACE = 4,
    PIECE_WORK = 1 << 15,    // some 150 microseconds
    MASK_WORK = 1 << 22,     // some ten milliseconds, for one mask
    GUESS_WORK = PIECE_WORK, // of one call
    // Sets of plain slices that are walked, beside the rest, for each span.
    N_VIEWS = N_TOKEN_SPANS << N_PLAIN_SLICES,
    UNKNOWN = 0,
    NO_TOKENS = -1, // instead of a place
    MIXED = -1,     // no single state behind all characters
    ENDLESS = TOKEN_MAX_BYTES + 1,
    NOT_UNIFORM = -1
};

typedef enum Step { STEP_DONE, STEP_LATER, STEP_FULL, STEP_FURTHER } Step;

typedef struct Kept {
    int32_t key;   // state and view, 0: free
    uint64_t used; // when last
} Kept;

// One span's part of the mask.
typedef struct Part {
    int32_t state; // the walk's first, see automaton_alike
    int32_t at;    // place in `kept`, or NO_TOKENS
} Part;

// The mask of the place where the text stands, while it comes into being.
typedef struct Making {
    bool done;               // `out` has it
    bool emptied;            // the tables were, for this mask
    int64_t work;            // of earlier pieces
    int run[N_PLAIN_SLICES]; // see plain_run
    int32_t view;            // what is walked
    int span;                // N_TOKEN_SPANS: all are known
    Part parts[N_TOKEN_SPANS];
    // The walk under way:
    bool walking;
    int slice;
    uint32_t node;
    int32_t states[TOKEN_MAX_BYTES + 1]; // behind the bytes of the nodes above
} Making;

struct TokenMask {
    const TokenTrie *trie;
    Automaton *a;
    int32_t start, state;
    bool stuck;                   // a step was too ambiguous
    int32_t reach[N_TOKEN_SPANS]; // bytes of the longest text that a walk may look at
    // By state:
    int32_t *alike[N_TOKEN_SPANS];       // [MAX_STATES] automaton_alike for `reach`
    int16_t *kept_at;                    // [MAX_STATES * N_VIEWS] 1 + place in `kept`, or NO_TOKENS
    int32_t *plain_next[N_PLAIN_SLICES]; // [MAX_STATES] the state behind any one character of the slice
    Kept *kept;                          // [n_kept]
    uint64_t *bits;                      // [n_kept][n_words]
    int32_t n_kept;
    uint64_t clock;
    Making making;
    uint64_t *out; // [n_words]
};

// ---- making room

static void forget_states(TokenMask *m) {
    size_t n = (size_t)m->a->n_states;
    for (int i = 0; i < N_TOKEN_SPANS; i++) memset(m->alike[i], 0, n * sizeof *m->alike[i]);
    memset(m->kept_at, 0, n * N_VIEWS * sizeof m->kept_at[0]);
    for (int i = 0; i < N_PLAIN_SLICES; i++) memset(m->plain_next[i], 0, n * sizeof *m->plain_next[i]);
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

static int64_t work_of_piece(const TokenMask *m) {
    return m->a->work * WORK_OF_PLACE;
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

// Joins the states behind the characters of one row from its k-th byte on to *common. What is left for later
// is remembered as far as it went.
static Step join_row(TokenMask *m, int32_t state, const PlainBytes *row, int k, int32_t *common) {
    const uint8_t *class_last = m->a->g->class_last;
    for (int b = row->lo[k]; b <= row->hi[k]; b = class_last[b] + 1) {
        if (work_of_piece(m) > PIECE_WORK) return STEP_LATER;
        int32_t next = automaton_next(m->a, state, (uint8_t)b);
        if (next == AUTOMATON_FULL) return STEP_FULL;
        if (k + 1 < row->n && next != AUTOMATON_DEAD) {
            Step step = join_row(m, next, row, k + 1, common);
            if (step != STEP_DONE) return step;
        } else if (*common == UNKNOWN) {
            *common = next;
        } else if (*common != next) {
            *common = MIXED;
        }
        if (*common == MIXED) break;
    }
    return STEP_DONE;
}

static Step join_rows(TokenMask *m, int32_t state, const PlainBytes *rows, size_t n, int32_t *common) {
    Step step = STEP_DONE;
    for (size_t i = 0; i < n && *common != MIXED && step == STEP_DONE; i++)
        step = join_row(m, state, &rows[i], 0, common);
    return step;
}

// *out: the state behind any one character of the slice, DEAD if none may follow, MIXED if they differ.
static Step plain_next(TokenMask *m, int slice, int32_t state, int32_t *out) {
    int32_t *known = &m->plain_next[slice][state];
    Step step = STEP_DONE;
    if (*known == UNKNOWN) {
        int32_t common = UNKNOWN;
        const PlainBytes *ascii = slice == TOKENS_JSON ? ascii_json : ascii_text;
        size_t n_ascii = slice == TOKENS_JSON ? sizeof ascii_json / sizeof *ascii : 1;
        step = join_rows(m, state, ascii, n_ascii, &common);
        if (step == STEP_DONE)
            step = join_rows(m, state, beyond_ascii, sizeof beyond_ascii / sizeof *beyond_ascii, &common);
        if (step == STEP_DONE) *known = common;
    }
    *out = *known;
    return step;
}

// How many characters of the slice may follow, whichever they are, none of them beyond; ENDLESS for as many
// as any token has; NOT_UNIFORM if that depends on the characters.
static Step plain_run(TokenMask *m, int slice, int *run) {
    int32_t state = m->state, next, most = m->trie->plain[slice].most_chars;
    for (*run = 0; *run < most; ++*run, state = next) {
        Step step = plain_next(m, slice, state, &next);
        if (step != STEP_DONE || next == AUTOMATON_DEAD) return step;
        if (next == MIXED || next == state) {
            *run = next == state ? ENDLESS : NOT_UNIFORM;
            return STEP_DONE;
        }
    }
    *run = ENDLESS;
    return STEP_DONE;
}

// ---- walks

static int32_t key_of(const TokenMask *m) {
    const Making *k = &m->making;
    return (k->parts[k->span].state * N_TOKEN_SPANS + k->span) * (N_VIEWS / N_TOKEN_SPANS) + k->view;
}

// The least recently used place, or a free one.
static int32_t free_place(TokenMask *m) {
    int32_t best = 0;
    for (int32_t i = 1; i < m->n_kept; i++)
        if (m->kept[i].used < m->kept[best].used) best = i;
    if (m->kept[best].key) m->kept_at[m->kept[best].key] = 0;
    m->kept[best] = (Kept){0};
    return best;
}

// From where `making` says on.
static Step walk_trie(TokenMask *m, const Trie *trie) {
    Making *k = &m->making;
    uint64_t *bits = m->bits + (size_t)k->parts[k->span].at * m->trie->n_words;
    int64_t left = PIECE_WORK;
    for (uint32_t i = k->node; i < trie->n_nodes; left--) {
        const TrieNode *node = &trie->nodes[i];
        if (left < work_of_piece(m)) {
            k->node = i;
            m->a->work = PIECE_WORK;
            return STEP_LATER;
        }
        if (node->depth >= m->reach[k->span]) return STEP_FURTHER;
        int32_t next = automaton_next(m->a, k->states[node->depth], node->byte);
        if (next == AUTOMATON_DEAD) {
            i = node->end;
            continue;
        }
        if (next == AUTOMATON_FULL) return STEP_FULL;
        k->states[node->depth + 1] = next;
        for (uint32_t t = node->first; t < node[1].first; t++) bits_set(bits, trie->tokens[t]);
        i++;
    }
    m->a->work += (PIECE_WORK - left) / WORK_OF_PLACE;
    return STEP_DONE;
}

static void begin_walk(TokenMask *m) {
    Making *k = &m->making;
    Part *part = &k->parts[k->span];
    part->at = free_place(m);
    memset(m->bits + (size_t)part->at * m->trie->n_words, 0, m->trie->n_words * sizeof *m->bits);
    k->slice = 0;
    k->node = 0;
    k->states[0] = part->state;
    k->walking = true;
}

static bool is_empty(const TokenMask *m, const uint64_t *bits) {
    for (size_t w = 0; w < m->trie->n_words; w++)
        if (bits[w]) return false;
    return true;
}

static void keep_walked(TokenMask *m, Part *part, int32_t key) {
    if (is_empty(m, m->bits + (size_t)part->at * m->trie->n_words))
        part->at = NO_TOKENS;
    else
        m->kept[part->at] = (Kept){key, ++m->clock};
    m->kept_at[key] = (int16_t)(part->at < 0 ? NO_TOKENS : part->at + 1);
}

static Step walk_slices(TokenMask *m) {
    Making *k = &m->making;
    for (; k->slice < N_TOKEN_SLICES; k->slice++, k->node = 0) {
        if (k->slice < N_PLAIN_SLICES && !(k->view >> k->slice & 1)) continue;
        Step step = walk_trie(m, &m->trie->tries[k->slice][k->span]);
        if (step != STEP_DONE) return step;
    }
    keep_walked(m, &k->parts[k->span], key_of(m));
    k->walking = false;
    return STEP_DONE;
}

// What was walked before, or now.
static Step find_part(TokenMask *m) {
    Making *k = &m->making;
    Part *part = &k->parts[k->span];
    if (k->walking) return walk_slices(m);
    int32_t *alike = &m->alike[k->span][m->state];
    if (*alike == UNKNOWN) {
        int32_t found = automaton_alike(m->a, m->state, m->reach[k->span]);
        if (found == AUTOMATON_FULL) return STEP_FULL;
        *alike = found;
    }
    part->state = *alike;
    int32_t kept = m->kept_at[key_of(m)];
    if (kept == UNKNOWN) {
        begin_walk(m);
        return walk_slices(m);
    }
    part->at = kept == NO_TOKENS ? NO_TOKENS : kept - 1;
    if (part->at >= 0) m->kept[part->at].used = ++m->clock;
    return STEP_DONE;
}

// What is to be looked up and what to be walked.
static Step look(TokenMask *m) {
    Making *k = &m->making;
    k->view = 0;
    for (int slice = 0; slice < N_PLAIN_SLICES; slice++) {
        Step step = plain_run(m, slice, &k->run[slice]);
        if (step != STEP_DONE) return step;
        if (k->run[slice] == NOT_UNIFORM) k->view |= 1 << slice;
    }
    k->span = 0;
    return STEP_DONE;
}

// ---- the whole mask

static void add_bits(TokenMask *m, const uint64_t *bits) {
    for (size_t w = 0; w < m->trie->n_words; w++) m->out[w] |= bits[w];
}

static void add_plain(TokenMask *m, const PlainTokens *plain, int run) {
    size_t n_words = m->trie->n_words;
    const uint64_t *level = plain->up_to + (size_t)(run < TOKEN_MAX_CHARS ? run : TOKEN_MAX_CHARS) * n_words;
    add_bits(m, level);
    for (uint32_t i = 0; i < plain->n_longer && plain->longer[i].n_chars <= run; i++)
        bits_set(m->out, plain->longer[i].token);
}

static void put_together(TokenMask *m) {
    const Making *k = &m->making;
    size_t n_words = m->trie->n_words;
    memset(m->out, 0, n_words * sizeof *m->out);
    for (int span = 0; span < N_TOKEN_SPANS; span++)
        if (k->parts[span].at >= 0) add_bits(m, m->bits + (size_t)k->parts[span].at * n_words);
    for (int slice = 0; slice < N_PLAIN_SLICES; slice++)
        if (k->run[slice] > 0) add_plain(m, &m->trie->plain[slice], k->run[slice]);
    if (automaton_accepts(m->a, m->state))
        for (size_t i = 0; i < m->trie->n_ends; i++) bits_set(m->out, m->trie->ends[i]);
}

static Step go_on(TokenMask *m) {
    Making *k = &m->making;
    if (k->span < 0) {
        if (half_full(m) && !k->emptied) return STEP_FULL;
        Step step = look(m);
        if (step != STEP_DONE) return step;
    }
    for (; k->span < N_TOKEN_SPANS; k->span++) {
        Step step = find_part(m);
        if (step != STEP_DONE) return step;
    }
    put_together(m);
    k->done = true;
    return STEP_DONE;
}

// The walk begins again from a state that longer texts do not tell apart.
static void go_further(TokenMask *m) {
    int span = m->making.span;
    int32_t reach = m->reach[span] * 2;
    m->reach[span] = reach < TOKEN_MAX_BYTES ? reach : TOKEN_MAX_BYTES;
    memset(m->alike[span], 0, (size_t)m->a->n_states * sizeof *m->alike[span]);
    m->making.walking = false;
}

// Makes room, once a mask.
static void start_again(TokenMask *m) {
    m->stuck = m->making.emptied;
    if (m->stuck) return;
    make_room(m);
    m->making.emptied = true;
    m->making.walking = false;
    m->making.span = -1;
}

static void moved(TokenMask *m) {
    m->making.done = m->making.walking = m->making.emptied = false;
    m->making.work = 0;
    m->making.span = -1; // look first
}

bool token_mask_ready(TokenMask *m) {
    Making *k = &m->making;
    m->a->work = 0;
    while (!m->stuck && !k->done && work_of_piece(m) < PIECE_WORK) {
        switch (go_on(m)) {
        case STEP_DONE:
        case STEP_LATER: break;
        case STEP_FULL: start_again(m); break;
        case STEP_FURTHER: go_further(m); break;
        }
    }
    k->work += work_of_piece(m);
    if (!k->done && k->work > MASK_WORK) m->stuck = true;
    return m->stuck || k->done;
}

const uint64_t *token_mask_bits(TokenMask *m) {
    while (!token_mask_ready(m)) {
    }
    return m->stuck || is_empty(m, m->out) ? NULL : m->out;
}

int64_t token_mask_work(const TokenMask *m) {
    return m->making.work;
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
    if (bytes.len) moved(m);
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
    m->a->work = 0;
    for (int32_t state = m->state; n < MAX_AHEAD && work_of_piece(m) < GUESS_WORK; n++) {
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
    // Where the walk began there were fewer places, so that only here they may be too many.
    CHECK(token_mask_feed(m, token_trie_bytes(m->trie, token)) || m->stuck);
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
    moved(m);
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
    m->out = malloc(n_words * sizeof *m->out);
    m->kept_at = calloc(AUTOMATON_MAX_STATES * N_VIEWS, sizeof *m->kept_at);
    bool ok = m->kept && m->bits && m->out && m->kept_at;
    for (int i = 0; i < N_TOKEN_SPANS; i++) {
        m->alike[i] = calloc(AUTOMATON_MAX_STATES, sizeof *m->alike[i]);
        ok = ok && m->alike[i];
    }
    for (int i = 0; i < N_PLAIN_SLICES; i++) {
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
    m->making.span = -1;
    for (int i = 0; i < N_TOKEN_SPANS; i++) m->reach[i] = TOKEN_SHORT_BYTES;
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
    for (int i = 0; i < N_PLAIN_SLICES; i++) free(m->plain_next[i]);
    for (int i = 0; i < N_TOKEN_SPANS; i++) free(m->alike[i]);
    free(m->kept_at);
    free(m->out);
    free(m->kept);
    free(m->bits);
    free(m);
}
