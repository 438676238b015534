#include "text/end_tokens.h"

static const char *const keys[] = {
    "tokenizer.ggml.eos_token_id",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
};

static const char *const well_known[] = {
    "<|im_end|>",      "<|endoftext|>",
    "<|end_of_text|>", "<|eot_id|>",
    "<|eom_id|>",      "<|eot|>",
    "<|eom|>",         "<end_of_turn>",
    "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>",
    "<|return|>",      "<|call|>",
    "<EOT>",           "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
};

static bool add(TokenList *out, int32_t id, Err *err) {
    if (id < 0) return true;
    for (size_t i = 0; i < out->n; i++)
        if (out->ids[i] == id) return true;
    return token_list_push(out, id) || err_set(err, ERR_NOMEM, "out of memory for the end tokens");
}

static int32_t find_control(const Vocab *v, const char *text) {
    int32_t id = vocab_find(v, str_from(text));
    return id >= 0 && v->kind[id] == TOKEN_CONTROL ? id : -1;
}

bool end_tokens_collect(const Vocab *v, const Gguf *g, TokenList *out, Err *err) {
    int32_t id = -1;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!vocab_token_key(v, g, keys[i], &id, err) || !add(out, id, err)) return false;
    for (size_t i = 0; i < sizeof well_known / sizeof well_known[0]; i++)
        if (!add(out, find_control(v, well_known[i]), err)) return false;
    // <|end|> ends a turn, except in the vocabularies where it only ends a message of several in one
    // turn; those have <|return|> for the turn.
    if (find_control(v, "<|return|>") >= 0) return true;
    return add(out, find_control(v, "<|end|>"), err);
}
