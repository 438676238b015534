#include "server/api_texts.h"

bool api_encode_prompt(const Served *served, Str text, TokenList *out, Err *err) {
    return prompt_encode_text(served->prompts, text, true, true, out, err);
}

bool api_encode_part(const Served *served, Str text, TokenList *out, Err *err) {
    return prompt_encode_text(served->prompts, text, false, false, out, err);
}

bool api_encode_whole(const Served *served, Str text, TokenList *out, Err *err) {
    EncodeOptions options = {.special = true, .bos_eos = true};
    return tokenizer_encode(served->service.tokenizer, text, options, out, err);
}

bool api_read_token_ids(const Served *served, Fields *f, const char *name, const json_t *list,
                        TokenList *out) {
    int32_t n_vocab = tokenizer_n_vocab(served->service.tokenizer);
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item) {
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item) || id < 0 || id >= n_vocab)
            return fields_fail(f, name, "must have token ids between 0 and %d, but element %zu is not one",
                               (int)n_vocab - 1, i);
        if (!token_list_push(out, (int32_t)id)) return fields_fail(f, name, "does not fit into memory");
    }
    return true;
}

// What all texts of a field have in common.
typedef struct TextField {
    const Served *served;
    Fields *f;
    const char *name;
    TextEncode encode;
} TextField;

static bool encode(const TextField *t, Str text, TokenList *out) {
    Err err = {0};
    if (text.len == 0 && t->encode != api_encode_part) return fields_fail(t->f, t->name, "must not be empty");
    if (!served_admits_text(t->served, t->name, text.len, t->f->error)) return false;
    return t->encode(t->served, text, out, &err) || api_error_from(t->f->error, &err, t->name);
}

static bool read_one(const TextField *t, const json_t *text, TokenList *out) {
    if (!out) return fields_fail(t->f, t->name, "does not fit into memory");
    if (json_is_string(text)) return encode(t, json_str(text), out);
    if (!json_is_array(text) || json_array_size(text) == 0)
        return fields_fail(t->f, t->name, "must be a string or an array of token ids, not empty");
    return api_read_token_ids(t->served, t->f, t->name, text, out);
}

bool api_read_texts(const Served *served, Fields *f, const char *name, TextEncode encode_one, size_t most,
                    GenPlan *plan) {
    const json_t *texts = fields_get(f, name), *first = json_array_get(texts, 0), *one;
    TextField t = {served, f, name, encode_one};
    size_t i;
    if (!texts) return fields_fail(f, name, "is missing");
    if (!json_is_array(texts) || (!json_is_string(first) && !json_is_array(first)))
        return read_one(&t, texts, gen_plan_add_prompt(plan));
    if (json_array_size(texts) > most)
        return fields_fail(f, name, "may have at most %zu texts here, not %zu", most, json_array_size(texts));
    json_array_foreach(texts, i, one) {
        if (!read_one(&t, one, gen_plan_add_prompt(plan))) return false;
    }
    return true;
}
