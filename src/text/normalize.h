// Unicode normal form C, as some tokenizers ask for.
#ifndef CLLM_TEXT_NORMALIZE_H
#define CLLM_TEXT_NORMALIZE_H

#include "base/buf.h"

// The NFC of `text` (valid UTF-8, fewer than 2^29 bytes). *out views `text` itself when it surely
// is in that form already, else `store`, whose content is replaced. False: out of memory.
bool normalize_nfc(Str text, Buf *store, Str *out);

#endif
