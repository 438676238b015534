// The vocabulary of a model file: texts, bytes, kinds and scores of its tokens.
//
// Source: tokenizer.ggml.tokens, .token_type and .scores of the GGUF metadata. `text` is the string
// as the file has it; `bytes` is what the token stands for in a text: the byte alphabet undone for
// byte-level vocabularies, the word mark U+2581 turned into a space and <0xNN> into its byte for
// SentencePiece. Control and user-defined tokens stand for their text.
//
// Thread: read-only once opened. The Gguf must outlive it.
#ifndef CLLM_TEXT_VOCAB_H
#define CLLM_TEXT_VOCAB_H

#include "text/str_index.h"
#include "text/tokenizer.h"

enum { VOCAB_MAX_TOKENS = 10 * 1000 * 1000 };

typedef enum VocabStyle { VOCAB_BYTE_LEVEL, VOCAB_SENTENCEPIECE } VocabStyle;

typedef struct Vocab {
    int32_t n;
    Str *text;            // n, views into the file
    Str *bytes;           // n, views into `blob`
    uint8_t *kind;        // n, TokenKind
    float *score;         // n; NULL for byte-level vocabularies
    int32_t byte_id[256]; // the token for a single byte, -1: none
    int32_t unknown;      // unknown_token_id, -1: none
    size_t max_piece;     // longest text of a normal token, in bytes
    Buf blob;
    StrIndex by_text;
    StrIndex by_bytes; // normal tokens only
} Vocab;

// Fails with a message that names the key. *v is then freed.
bool vocab_open(Vocab *v, const Gguf *g, VocabStyle style, Err *err);
void vocab_free(Vocab *v);

int32_t vocab_find(const Vocab *v, Str text);        // -1: none
int32_t vocab_find_bytes(const Vocab *v, Str bytes); // a normal token with these bytes, -1: none

// Reads an optional key that holds a token id. Absent: *out = -1. Out of range: an error.
bool vocab_token_key(const Vocab *v, const Gguf *g, const char *key, int32_t *out, Err *err);

#endif
