// From a client's words to prompt tokens.
//
// A raw prompt (native API, completions) is the client's own: it may be ready-made chat markup, so
// the texts of control tokens in it are control tokens. A conversation is different: its markup is
// the template's, and a message must not be able to forge a turn by containing "<|im_end|>".
//
// The guard. Templates look into contents (trim, split, "in"), so contents cannot be replaced by
// placeholders before rendering. Instead every occurrence of a control token's text in a string of
// the conversation is broken by one guard character after its first character: a private-use code
// point (one of 16) that occurs nowhere in the conversation. The template sees text that is its own
// apart from that. After rendering, the prompt is cut at the guards, which are dropped, and the
// pieces are encoded one by one: a control token's text then never stands whole in a piece, unless
// the template wrote it. Where no control text occurs, which is nearly always, nothing changes and
// the prompt is encoded in one go. Refused: encoding template and contents separately (the template
// is a program, its output has no seams), and deleting the texts (a user may write about them).
//
// What the client may give beside the messages (chat_template_kwargs) is guarded the same way: a
// template may print it anywhere. Only values are; keys of objects are left as they are.
//
// BOS is added when the file says so and the text does not start with it. EOS is never added to a
// prompt, on no route.
//
// Thread: immutable after creation.
#ifndef CLLM_SERVER_PROMPT_H
#define CLLM_SERVER_PROMPT_H

#include "chat/template.h"
#include "text/tokenizer.h"

typedef struct PromptEncoder PromptEncoder;

PromptEncoder *prompt_encoder_new(const Tokenizer *tokenizer, Err *err); // borrows the tokenizer
void prompt_encoder_free(PromptEncoder *p);                              // NULL is allowed

// Appends the tokens of a raw prompt: special as for tokenizer_encode; bos: as the file says.
bool prompt_encode_text(const PromptEncoder *p, Str text, bool special, bool bos, TokenList *out, Err *err);

// Renders the template and appends the prompt's tokens. `variables` holds "messages" and whatever
// else the template may read; bos_token and eos_token are added. All strings that were in it before
// (at any depth) are guarded; `variables` itself is changed. With "continue_final_message" the text ends
// where the content of the last message, a string, ends in it.
bool prompt_encode_chat(const PromptEncoder *p, const ChatTemplate *t, json_t *variables, TokenList *out,
                        Err *err);

// The text of it alone, where contents are as they are: not to be encoded, since they may forge turns.
bool prompt_render_chat(const PromptEncoder *p, const ChatTemplate *t, json_t *variables, Buf *out, Err *err);

// The two halves of the guard, for tests. prompt_guard breaks control texts in all strings of
// `value`, in place, and tells the guard character (as UTF-8, 4 bytes and NUL).
typedef struct Guard {
    char text[5];
} Guard;
bool prompt_guard(const PromptEncoder *p, json_t *value, Guard *guard, Err *err);
bool prompt_encode_guarded(const PromptEncoder *p, Str text, const Guard *guard, TokenList *out, Err *err);

// The most bytes that n_tokens tokens can be made from: n_tokens times the longest token of the
// vocabulary, times 4, since NFC may shrink a text before it is cut (to a third at worst). A text above
// it has more tokens than that, unless it consists of bytes that the vocabulary has no token for.
size_t prompt_most_bytes(const PromptEncoder *p, int32_t n_tokens);

// Length of a control token's text that s starts with; 0: none.
size_t prompt_control_at(const PromptEncoder *p, Str s);

#endif
