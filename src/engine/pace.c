#include "engine/pace.h"

#include <stdbool.h>

static const float NEWEST_PART = 0.25f;
enum { LEAST_SAMPLE = 8 }; // rows from which on their price is more than the clock's noise

static void blend(float *mean, float newest) {
    *mean = *mean > 0 ? *mean + NEWEST_PART * (newest - *mean) : newest;
}

static void learn_decoding(Pace *p, int32_t n_seqs, float ns) {
    if (n_seqs != p->n_seqs) p->seq_ns = 0; // another number takes another time
    p->n_seqs = n_seqs;
    blend(&p->seq_ns, ns / (float)n_seqs);
}

static void learn_row(Pace *p, int32_t n_decoding, int32_t n_rows, float ns) {
    if (n_rows < LEAST_SAMPLE || (n_decoding > 0 && p->seq_ns == 0)) return;
    float price = (ns - p->seq_ns * (float)n_decoding) / (float)n_rows;
    blend(&p->row_ns, price > 0 ? price : 0);
}

void pace_learn(Pace *p, const Batch *b, int64_t ns) {
    int32_t n_decoding = 0, prompt_rows = 0;
    for (int32_t i = 0; i < b->n_seqs; i++) {
        bool decodes = b->seqs[i].n_logits == b->seqs[i].n_rows;
        n_decoding += decodes;
        prompt_rows += decodes ? 0 : b->seqs[i].n_rows;
    }
    if (prompt_rows == 0)
        learn_decoding(p, n_decoding, (float)ns);
    else
        learn_row(p, n_decoding, prompt_rows, (float)ns);
}

int32_t pace_prompt_rows(const Pace *p, int32_t n_decoding, int32_t share) {
    if (p->seq_ns <= 0 || p->row_ns <= 0) return INT32_MAX;
    float for_prompts = p->seq_ns * (float)n_decoding * (100.0f / (float)share - 1);
    float rows = for_prompts / p->row_ns;
    if (rows < PACE_LEAST_ROWS) return PACE_LEAST_ROWS;
    return rows < 1e9f ? (int32_t)rows : INT32_MAX;
}
