#include "engine/row_price.h"

#include <stdbool.h>

static const float FIRST_VALUE = 0.1f, NEWEST_PART = 0.125f;

void row_price_init(RowPrice *p) {
    *p = (RowPrice){.value = FIRST_VALUE};
}

// Of two times that n rows make the difference between.
static float price_of(int64_t without, int64_t with, int32_t n) {
    if (without <= 0) return 0;
    float price = (float)(with - without) / (float)without / (float)n;
    return price < 0 ? 0 : price > 1 ? 1 : price;
}

void row_price_learn(RowPrice *p, const Batch *b, int64_t ns) {
    bool decodes = b->n_logits == b->n_rows;
    int32_t n_extra = b->n_rows - b->n_seqs;
    if (decodes && b->n_seqs == p->n_seqs && (n_extra == 0) != (p->n_extra == 0)) {
        float price = n_extra ? price_of(p->ns, ns, n_extra) : price_of(ns, p->ns, p->n_extra);
        p->value += NEWEST_PART * (price - p->value);
    }
    *p = (RowPrice){.value = p->value, .n_seqs = decodes ? b->n_seqs : 0, .n_extra = n_extra, .ns = ns};
}
