// What a GGUF file is, in a few lines of text or a JSON object: for `cllm inspect` and `cllm show`.
//
// Whatever the file holds, the output is valid UTF-8, and the text has no control bytes.
#ifndef CLLM_CLI_GGUF_SUMMARY_H
#define CLLM_CLI_GGUF_SUMMARY_H

#include "base/buf.h"
#include "gguf/gguf.h"

#include <jansson.h>

void gguf_put_summary(Buf *out, const Gguf *g);
// At most max_chars characters of `s`, escaped; "…" when there are more.
void gguf_put_text(Buf *out, Str s, size_t max_chars);

// NULL: out of memory.
json_t *gguf_json_summary(const Gguf *g);
json_t *gguf_json_text(Str s);

#endif
