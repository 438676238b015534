// GGUF files: a bounded reader for a hostile file.
//
// Format: "GGUF" v2 and v3, little-endian, as the ggml project's gguf.md specifies it. The
// file is mapped read-only; strings, arrays and tensor data are views into the mapping and live
// until gguf_close. Every count, length, offset and product is checked against the file's size
// before use; what does not add up is refused with a message that names the key or the tensor.
//
// Thread: open and close from one; everything else is read-only and safe from any.
#ifndef CLLM_GGUF_GGUF_H
#define CLLM_GGUF_GGUF_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

// Numbers as in the file.
typedef enum GgufKind {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_N_KINDS
} GgufKind;

// Tensor element types, numbered as in the file. Only the types named here can be opened.
typedef enum GgufType {
    GGUF_TYPE_F32 = 0,
    GGUF_TYPE_F16 = 1,
    GGUF_TYPE_Q4_0 = 2,
    GGUF_TYPE_Q4_1 = 3,
    GGUF_TYPE_Q5_0 = 6,
    GGUF_TYPE_Q5_1 = 7,
    GGUF_TYPE_Q8_0 = 8,
    GGUF_TYPE_Q2_K = 10,
    GGUF_TYPE_Q3_K = 11,
    GGUF_TYPE_Q4_K = 12,
    GGUF_TYPE_Q5_K = 13,
    GGUF_TYPE_Q6_K = 14,
    GGUF_TYPE_IQ4_NL = 20,
    GGUF_TYPE_IQ4_XS = 23,
    GGUF_TYPE_BF16 = 30,
} GgufType;

typedef struct GgufTypeInfo {
    const char *name;     // "Q4_K"
    uint32_t block_elems; // elements in a block (1, 32 or 256)
    uint32_t block_bytes; // bytes of a block
} GgufTypeInfo;

typedef struct GgufTensor {
    Str name;
    GgufType type;
    uint32_t n_dims;     // 1 … 4
    uint64_t dims[4];    // dims[0] is the contiguous one (a row); unused ones are 1
    const uint8_t *data; // in the mapping, inside the file, offset aligned to general.alignment
    size_t n_bytes;
    size_t row_bytes; // bytes of dims[0] elements
} GgufTensor;

typedef struct GgufArray {
    GgufKind kind; // of the elements; arrays of arrays are refused
    uint64_t n;
    const uint8_t *data; // first element, unaligned, little-endian
} GgufArray;

typedef struct Gguf Gguf;

Gguf *gguf_open(const char *path, Err *err);
// The same for bytes in memory, which the caller keeps until gguf_close (tests, fuzzing).
Gguf *gguf_open_memory(const void *bytes, size_t n, Err *err);
void gguf_close(Gguf *g); // NULL is allowed

const char *gguf_path(const Gguf *g); // "(memory)" for gguf_open_memory
size_t gguf_file_bytes(const Gguf *g);
const void *gguf_file_data(const Gguf *g); // the whole file, [gguf_file_bytes]; starts a page
uint32_t gguf_version(const Gguf *g);
const GgufTypeInfo *gguf_type_info(GgufType type); // NULL for a type that is not in GgufType

// Metadata. `get` functions return false when the key is missing or is of another kind that does
// not convert without loss; *out is then untouched, so a default can stand in it. Integers of any
// width and sign convert to each other when the value fits; F32/F64 and integers convert to double.
bool gguf_has(const Gguf *g, const char *key);
bool gguf_get_u64(const Gguf *g, const char *key, uint64_t *out);
bool gguf_get_i64(const Gguf *g, const char *key, int64_t *out);
bool gguf_get_u32(const Gguf *g, const char *key, uint32_t *out);
bool gguf_get_f64(const Gguf *g, const char *key, double *out);
bool gguf_get_bool(const Gguf *g, const char *key, bool *out);
bool gguf_get_str(const Gguf *g, const char *key, Str *out);
bool gguf_get_array(const Gguf *g, const char *key, GgufArray *out);

// Elements of an array, i < a->n. Numbers convert as above. Strings: walk from the first with an
// iterator, since they have no index.
bool gguf_array_u64(const GgufArray *a, uint64_t i, uint64_t *out);
bool gguf_array_i64(const GgufArray *a, uint64_t i, int64_t *out);
bool gguf_array_f64(const GgufArray *a, uint64_t i, double *out);
typedef struct GgufStrIter {
    const uint8_t *at;
    uint64_t left;
} GgufStrIter;
bool gguf_array_strings(const GgufArray *a, GgufStrIter *it); // false: not an array of strings
bool gguf_next_str(GgufStrIter *it, Str *out);                // false: at the end

// Directory, in file order.
uint64_t gguf_n_keys(const Gguf *g);
Str gguf_key(const Gguf *g, uint64_t i, GgufKind *kind);
uint64_t gguf_n_tensors(const Gguf *g);
const GgufTensor *gguf_tensor(const Gguf *g, uint64_t i);
const GgufTensor *gguf_find_tensor(const Gguf *g, const char *name); // NULL: not there; O(1)

// Tells the system that these bytes of the mapping are not needed for now (their pages leave the
// resident set and come back from the file when touched). Does nothing for gguf_open_memory.
void gguf_release_pages(const Gguf *g, const void *from, size_t n);

#endif
