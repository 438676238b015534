#include "base/num.h"
#include "text/tokenizer.h"

#include <stdlib.h>

bool token_list_push(TokenList *l, int32_t id) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap : 32, bytes = 0;
        if (!num_mul(cap, 2, &cap) || !num_mul(cap, sizeof *l->ids, &bytes)) return false;
        int32_t *ids = realloc(l->ids, bytes);
        if (!ids) return false;
        l->ids = ids;
        l->cap = cap;
    }
    l->ids[l->n++] = id;
    return true;
}

void token_list_free(TokenList *l) {
    free(l->ids);
    *l = (TokenList){0};
}
