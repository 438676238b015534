// Private to gguf/: what the files of the reader share. Include gguf.h instead.
//
// The order of the work is fixed: header, keys, tensor directory, then the tensors' places. Nothing
// is allocated before its count has been compared with the bytes that are left, and nothing is
// reachable through gguf.h before all of it has been checked; the accessors therefore read without
// bounds checks.
#ifndef CLLM_GGUF_GGUF_PARSE_H
#define CLLM_GGUF_GGUF_PARSE_H

#include "gguf/gguf.h"

enum {
    GGUF_MAX_ENTRIES = 16384,     // keys, and tensors: above any model, and hostile collisions stay cheap
    GGUF_MAX_NAME_BYTES = 65535,  // of a key or a tensor name (the specification's limit for keys)
    GGUF_MAX_ALIGNMENT = 1 << 20, // of general.alignment
    GGUF_DEFAULT_ALIGNMENT = 32,  // when the key is missing
    GGUF_SHOWN_BYTES = 80,        // buffer for a name inside a message
};

#define GGUF_FETCH_AGAIN "the download may be incomplete: fetch it again"

typedef struct GgufKey {
    Str name;
    GgufKind kind;
    const uint8_t *value; // scalar: its bytes; string: its bytes without the length; array: first element
    uint64_t n;           // string: bytes; array: elements
    GgufKind elem;        // of an array
} GgufKey;

// Names to positions: open addressing, a power of two of slots, at most half full.
typedef struct GgufIndex {
    uint32_t *slots; // position + 1; 0: free
    uint32_t n_slots;
} GgufIndex;

struct Gguf {
    char *path;
    const uint8_t *base;
    size_t size;
    bool mapped;
    uint32_t version;
    uint32_t alignment;
    uint32_t n_keys;
    uint32_t n_tensors;
    GgufKey *keys;
    GgufTensor *tensors;
    GgufIndex key_index;
    GgufIndex tensor_index;
};

// A position in the file. `at` never passes `size`.
typedef struct GgufCursor {
    const uint8_t *base;
    size_t size;
    size_t at;
} GgufCursor;

// Moves over n bytes and gives their start; false (and nothing moves) when fewer are left.
static inline bool gguf_take(GgufCursor *c, uint64_t n, const uint8_t **out) {
    if (n > c->size - c->at) return false;
    *out = c->base + c->at;
    c->at += (size_t)n;
    return true;
}

static inline uint64_t gguf_load(const uint8_t *p, unsigned n_bytes) {
    uint64_t v = 0;
    for (unsigned i = 0; i < n_bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static inline bool gguf_take_u32(GgufCursor *c, uint32_t *out) {
    const uint8_t *p;
    if (!gguf_take(c, 4, &p)) return false;
    *out = (uint32_t)gguf_load(p, 4);
    return true;
}

static inline bool gguf_take_u64(GgufCursor *c, uint64_t *out) {
    const uint8_t *p;
    if (!gguf_take(c, 8, &p)) return false;
    *out = gguf_load(p, 8);
    return true;
}

// A length-prefixed string.
static inline bool gguf_take_str(GgufCursor *c, Str *out) {
    uint64_t n;
    const uint8_t *p;
    if (!gguf_take_u64(c, &n) || !gguf_take(c, n, &p)) return false;
    *out = (Str){(const char *)p, (size_t)n};
    return true;
}

// A name for a message: printable ASCII as it is, everything else as \xNN, cut with "...".
const char *gguf_show(Str name, char out[GGUF_SHOWN_BYTES]);

// A key's or tensor's name: not empty, not too long, no NUL. `what` is "key" or "tensor", i counts from 0.
bool gguf_take_name(GgufCursor *c, const char *what, uint64_t i, Str *out, Err *err);

// A count from the header: at most GGUF_MAX_ENTRIES, and so many entries of min_bytes fit into what is left.
bool gguf_check_count(const GgufCursor *c, const char *what, uint64_t n, size_t min_bytes, Err *err);

bool gguf_parse_keys(Gguf *g, GgufCursor *c, uint64_t n, Err *err);
bool gguf_parse_tensors(Gguf *g, GgufCursor *c, uint64_t n, Err *err);

enum { GGUF_MIN_KEY_BYTES = 8 + 1 + 4 + 1, GGUF_MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8 };

// The names that gguf_type_info knows, "F32, F16, …", for messages.
const char *gguf_type_names(char *out, size_t n);

// The index. `names` are records of `stride` bytes that begin with their Str name.
bool gguf_index_init(GgufIndex *x, uint32_t n_entries, Err *err);
void gguf_index_free(GgufIndex *x);
bool gguf_index_find(const GgufIndex *x, const void *names, size_t stride, Str name, uint32_t *out);
// Adds names[i]; false when the name is there already.
bool gguf_index_add(GgufIndex *x, const void *names, size_t stride, uint32_t i);

#endif
