// EngineStats as a board that one thread writes and anybody reads: word by word, relaxed. Each
// value is whole; two values of one reading may be a step apart.
#ifndef CLLM_ENGINE_STATS_H
#define CLLM_ENGINE_STATS_H

#include "engine/engine.h"

#include <stdatomic.h>
#include <string.h>

enum { STATS_WORDS = sizeof(EngineStats) / sizeof(uint64_t) };
_Static_assert(sizeof(EngineStats) % sizeof(uint64_t) == 0, "EngineStats is made of whole words");

typedef struct StatsBoard {
    _Atomic uint64_t words[STATS_WORDS];
} StatsBoard;

static inline void stats_publish(StatsBoard *board, const EngineStats *stats) {
    uint64_t words[STATS_WORDS];
    memcpy(words, stats, sizeof words);
    for (int i = 0; i < STATS_WORDS; i++)
        atomic_store_explicit(&board->words[i], words[i], memory_order_relaxed);
}

static inline void stats_read(const StatsBoard *board, EngineStats *stats) {
    uint64_t words[STATS_WORDS];
    for (int i = 0; i < STATS_WORDS; i++)
        words[i] = atomic_load_explicit(&board->words[i], memory_order_relaxed);
    memcpy(stats, words, sizeof words);
}

#endif
