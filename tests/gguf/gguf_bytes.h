// Builds GGUF files in memory, byte by byte, so that tests can also build wrong ones.
#ifndef CLLM_TESTS_GGUF_BYTES_H
#define CLLM_TESTS_GGUF_BYTES_H

#include "base/buf.h"
#include "gguf/gguf.h"

void bytes_uint(Buf *b, uint64_t v, int n_bytes); // little-endian
void bytes_f32(Buf *b, float v);
void bytes_f64(Buf *b, double v);
void bytes_str(Buf *b, Str s); // with its length

void bytes_header(Buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys);

// A key and its value's kind; the value follows by the functions above.
void bytes_key(Buf *b, const char *name, uint32_t kind);
void bytes_key_uint(Buf *b, const char *name, uint32_t kind, uint64_t v, int n_bytes);
void bytes_key_str(Buf *b, const char *name, const char *value);
void bytes_key_array(Buf *b, const char *name, uint32_t elem_kind, uint64_t n); // elements follow

// Unused dimensions (from the first 0 on) are left out.
void bytes_tensor(Buf *b, const char *name, uint64_t d0, uint64_t d1, uint32_t type, uint64_t offset);
void bytes_align(Buf *b, size_t alignment);
void bytes_fill(Buf *b, size_t n); // n bytes 0, 1, 2 …

// A small good file: every kind as a scalar and as an array, three tensors (F32 {4,2}, Q4_1 {32},
// BF16 {3}), alignment 32.
enum { BYTES_GOOD_KEYS = 25, BYTES_GOOD_TENSORS = 3 };
void bytes_good(Buf *b, uint32_t version);

#endif
