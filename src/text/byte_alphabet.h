// The alphabet of byte-level BPE: every byte has a printable character that stands for it.
//
// Introduced with GPT-2 so that vocabularies can be kept as text: the printable bytes of Latin-1
// stand for themselves, the other 68 are numbered from U+0100 on in byte order (a space becomes
// U+0120).
#ifndef CLLM_TEXT_BYTE_ALPHABET_H
#define CLLM_TEXT_BYTE_ALPHABET_H

#include "base/buf.h"

// Appends the bytes that `text` stands for. False, with `out` unchanged, when a character of it is
// not in the alphabet.
bool byte_alphabet_decode(Str text, Buf *out);
// Appends the character of one byte.
void byte_alphabet_put(uint8_t byte, Buf *out);

#endif
