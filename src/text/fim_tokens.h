// The tokens that models for code fill in the middle by.
//
// Such a model has seen texts as prefix-token, what comes before, suffix-token, what comes after,
// middle-token, what is between; so it continues the first five with the sixth. The file may name the
// three (tokenizer.ggml.fim_pre_token_id, fim_suf_token_id, fim_mid_token_id; in older files prefix_token_id,
// suffix_token_id, middle_token_id); otherwise they are known by their texts.
#ifndef CLLM_TEXT_FIM_TOKENS_H
#define CLLM_TEXT_FIM_TOKENS_H

#include "text/vocab.h"

// Fills *out, all of it or with -1 where the vocabulary has no such three. False: a key is wrong.
bool fim_tokens_find(const Vocab *v, const Gguf *g, FimTokens *out, Err *err);

#endif
