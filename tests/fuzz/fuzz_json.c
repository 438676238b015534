// Request bodies: parsing, the typed readers, and the guard of conversations over what they let in.
#include "server/api_gen.h"
#include "server/parse.h"
#include "server/prompt.h"
#include "text/tiny_vocab.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static PromptEncoder *encoder(void) {
    static TinyVocab vocab;
    static PromptEncoder *made;
    if (made) return made;
    tiny_english(&vocab);
    Tokenizer *t = tiny_open_bpe(&vocab, "gpt-2", NULL);
    CHECK(t);
    made = prompt_encoder_new(t, NULL);
    CHECK(made);
    return made;
}

static void read_params(const json_t *body, Dialect dialect) {
    ServerConfig config = {0};
    ApiError e = {0};
    Fields f = fields_of(body, &e);
    GenParams p = gen_params_default(dialect, &config);
    gen_params_read(&f, dialect, 300, &p);
    CHECK(f.ok == (e.status == 0));
    CHECK(f.ok ? sampling_params_check(&p.sampling, NULL) : e.message[0] != 0);
    json_t *error = api_error_json(&e, dialect);
    CHECK(error);
    json_decref(error);
    gen_params_free(&p);
}

static void guard_everything(json_t *body) {
    Guard guard;
    if (!prompt_guard(encoder(), body, &guard, NULL)) return;
    char *text = json_dumps(body, JSON_COMPACT);
    TokenList tokens = {0};
    CHECK(text && prompt_encode_guarded(encoder(), str_from(text), &guard, &tokens, NULL));
    token_list_free(&tokens);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ApiError e = {0};
    json_t *body = parse_body((Str){(const char *)data, size}, &e);
    if (!body) {
        CHECK(e.status == 400 && e.message[0]);
        return 0;
    }
    read_params(body, DIALECT_NATIVE);
    read_params(body, DIALECT_OPENAI);
    guard_everything(body);
    json_decref(body);
    return 0;
}
