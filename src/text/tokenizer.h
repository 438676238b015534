// Text to tokens and back, as the model file says.
//
// One front for the vocabularies that GGUF files carry: byte-level BPE (`tokenizer.ggml.model` =
// gpt2) and SentencePiece unigram-style BPE with byte fallback (`llama`). The file's
// `tokenizer.ggml.pre` names the pre-tokenizer.
//
// Thread: immutable once opened; encode may be called from several threads at once.
#ifndef CLLM_TEXT_TOKENIZER_H
#define CLLM_TEXT_TOKENIZER_H

#include "base/buf.h"
#include "base/err.h"
#include "gguf/gguf.h"

typedef struct Tokenizer Tokenizer;

// A growable list of token ids. Zeroed is empty; free with token_list_free.
typedef struct TokenList {
    int32_t *ids;
    size_t n, cap;
} TokenList;
bool token_list_push(TokenList *l, int32_t id); // false: out of memory
void token_list_free(TokenList *l);

typedef enum TokenKind {
    TOKEN_NORMAL,
    TOKEN_UNKNOWN,
    TOKEN_CONTROL,
    TOKEN_USER,
    TOKEN_UNUSED,
    TOKEN_BYTE
} TokenKind;

Tokenizer *tokenizer_open(const Gguf *g, Err *err); // the Gguf must outlive it
void tokenizer_free(Tokenizer *t);                  // NULL is allowed

// Appends the tokens of `text` (any bytes; invalid UTF-8 is encoded, never refused or changed).
// A byte that the vocabulary has no token for is left out, as the reference tokenizers do (SmolLM2 has
// none for some control bytes and for bytes that UTF-8 never uses).
//   special: recognise the texts of control tokens anywhere in the text (a chat prompt);
//            without it they are ordinary text (a user's words must not forge turns).
//   bos_eos: add BOS/EOS as the file's add_bos_token / add_eos_token say.
typedef struct EncodeOptions {
    bool special;
    bool bos_eos;
} EncodeOptions;
bool tokenizer_encode(const Tokenizer *t, Str text, EncodeOptions opt, TokenList *out, Err *err);

// The bytes that a token stands for; empty for control tokens unless `special`. Appends to out.
// An id outside the vocabulary appends nothing.
void tokenizer_decode_token(const Tokenizer *t, int32_t id, bool special, Buf *out);
// Whole sequences (SentencePiece drops the first space of a text that starts with one).
void tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t n, bool special, Buf *out);

int32_t tokenizer_n_vocab(const Tokenizer *t);
TokenKind tokenizer_kind(const Tokenizer *t, int32_t id);
int32_t tokenizer_bos(const Tokenizer *t);           // -1: none
int32_t tokenizer_eos(const Tokenizer *t);           // -1: none
int32_t tokenizer_find(const Tokenizer *t, Str raw); // id of the token with this raw text, or -1
// All tokens that end a generation: eos, eot, eom and the well-known end-of-turn texts
// (<|im_end|>, <|eot_id|>, <|endoftext|>, <end_of_turn>, …) that the vocabulary has as control tokens.
const int32_t *tokenizer_end_tokens(const Tokenizer *t, size_t *n);
// The tokens that fill in the middle (fim_tokens.h), NULL: the vocabulary has none.
typedef struct FimTokens {
    int32_t prefix, suffix, middle;
} FimTokens;
const FimTokens *tokenizer_fim(const Tokenizer *t);
bool tokenizer_is_end(const Tokenizer *t, int32_t id);
const char *tokenizer_pre_name(const Tokenizer *t); // "qwen2", "smollm", … for messages

#endif
