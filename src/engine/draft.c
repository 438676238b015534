#include "engine/draft.h"

#include "base/num.h"

#include <stdlib.h>

enum {
    GRAM = 2,          // tokens that must agree
    LONGEST_MATCH = 8, // tokens that are compared
    MAX_WALK = 16,     // occurrences that are looked at
    LEAST_SLOT_BITS = 4,
    MOST_SLOT_BITS = 16,
    SHORTEST_REST = 16, // tokens
    LONGEST_REST = 256,
};

// The gain is the part of guesses that come true, each of which saves a step: a running mean. It has to
// exceed the price of a row by LEAST_PROFIT, since it tells of the past only. At first it is such that
// a few failures are forgiven; after a rest, none.
static const float FIRST_GAIN = 0.3f, LEAST_PROFIT = 0.05f, NEWEST_PART = 0.25f;

// Position p stands for the pair that ends before it: the tokens p-2 and p-1. It is indexed when
// token p is known, so that what followed can be told, and so that the last pair never finds itself.
struct Drafter {
    int32_t next;       // first position not yet indexed
    int32_t rest_until; // no guesses before there are so many tokens
    int32_t rest;       // length of the next rest
    float gain;
    int slot_bits;
    int32_t *link;  // [capacity] the position before this one in its slot; 0: none
    int32_t head[]; // [1 << slot_bits] the latest position in a slot; 0: none
};

Drafter *draft_new(int32_t capacity, Err *err) {
    int bits = LEAST_SLOT_BITS;
    while (bits < MOST_SLOT_BITS && INT32_C(1) << bits < capacity) bits++;
    size_t slots = (size_t)1 << bits, size;
    Drafter *d = NULL;
    // Zeros from calloc: a large region comes from the system page by page, as it is touched.
    if (num_mul(slots + (size_t)capacity, sizeof d->head[0], &size) && num_add(size, sizeof *d, &size))
        d = calloc(1, size);
    if (!d) {
        err_set(err, ERR_NOMEM, "no memory for guessing in %d tokens", capacity);
        return NULL;
    }
    d->next = GRAM;
    d->rest = SHORTEST_REST;
    d->gain = FIRST_GAIN;
    d->slot_bits = bits;
    d->link = d->head + slots;
    return d;
}

void draft_free(Drafter *d) {
    free(d);
}

static uint32_t slot_before(const Drafter *d, const int32_t *tokens, int32_t position) {
    uint64_t pair = (uint64_t)(uint32_t)tokens[position - 2] << 32 | (uint32_t)tokens[position - 1];
    return (uint32_t)(pair * UINT64_C(0x9E3779B97F4A7C15) >> (64 - d->slot_bits));
}

static void index_tokens(Drafter *d, const int32_t *tokens, int32_t len) {
    for (; d->next < len; d->next++) {
        int32_t *head = &d->head[slot_before(d, tokens, d->next)];
        d->link[d->next] = *head;
        *head = d->next;
    }
}

// Tokens before `position` that agree with the last ones.
static int32_t match(const int32_t *tokens, int32_t len, int32_t position) {
    int32_t n = 0;
    while (n < LONGEST_MATCH && n < position && tokens[position - 1 - n] == tokens[len - 1 - n]) n++;
    return n;
}

// Where what follows the last tokens stood before; 0: nowhere.
static int32_t find(const Drafter *d, const int32_t *tokens, int32_t len) {
    int32_t best = 0, longest = GRAM - 1, position = d->head[slot_before(d, tokens, len)];
    for (int walked = 0; position && walked < MAX_WALK && longest < LONGEST_MATCH; walked++) {
        int32_t n = match(tokens, len, position);
        if (n > longest) {
            longest = n;
            best = position;
        }
        position = d->link[position];
    }
    return best;
}

int32_t draft_propose(Drafter *d, int32_t *tokens, int32_t len, int32_t most) {
    if (len < GRAM || len < d->rest_until) return 0;
    index_tokens(d, tokens, len);
    int32_t from = find(d, tokens, len);
    if (!from) return 0;
    for (int32_t i = 0; i < most; i++) tokens[len + i] = tokens[from + i]; // may overlap, on purpose
    return most;
}

void draft_judge(Drafter *d, int32_t len, int32_t n, int32_t n_accepted, float price) {
    float least_gain = price + LEAST_PROFIT;
    d->gain += NEWEST_PART * ((float)n_accepted / (float)n - d->gain);
    if (n_accepted == n) d->rest = SHORTEST_REST;
    if (d->gain >= least_gain) return;
    d->gain = least_gain;
    d->rest_until = len + d->rest;
    if (d->rest < LONGEST_REST) d->rest *= 2;
}
