#include "gguf/gguf_bytes.h"

void bytes_uint(Buf *b, uint64_t v, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) buf_putc(b, (char)(v >> (8 * i) & 0xff));
}

void bytes_f32(Buf *b, float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bytes_uint(b, bits, 4);
}

void bytes_f64(Buf *b, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bytes_uint(b, bits, 8);
}

void bytes_str(Buf *b, Str s) {
    bytes_uint(b, s.len, 8);
    buf_put(b, s);
}

void bytes_header(Buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys) {
    buf_puts(b, "GGUF");
    bytes_uint(b, version, 4);
    bytes_uint(b, n_tensors, 8);
    bytes_uint(b, n_keys, 8);
}

void bytes_key(Buf *b, const char *name, uint32_t kind) {
    bytes_str(b, str_from(name));
    bytes_uint(b, kind, 4);
}

void bytes_key_uint(Buf *b, const char *name, uint32_t kind, uint64_t v, int n_bytes) {
    bytes_key(b, name, kind);
    bytes_uint(b, v, n_bytes);
}

void bytes_key_str(Buf *b, const char *name, const char *value) {
    bytes_key(b, name, GGUF_STRING);
    bytes_str(b, str_from(value));
}

void bytes_key_array(Buf *b, const char *name, uint32_t elem_kind, uint64_t n) {
    bytes_key(b, name, GGUF_ARRAY);
    bytes_uint(b, elem_kind, 4);
    bytes_uint(b, n, 8);
}

void bytes_tensor(Buf *b, const char *name, uint64_t d0, uint64_t d1, uint32_t type, uint64_t offset) {
    int n_dims = d0 == 0 ? 0 : d1 == 0 ? 1 : 2;
    bytes_str(b, str_from(name));
    bytes_uint(b, (uint64_t)n_dims, 4);
    if (n_dims > 0) bytes_uint(b, d0, 8);
    if (n_dims > 1) bytes_uint(b, d1, 8);
    bytes_uint(b, type, 4);
    bytes_uint(b, offset, 8);
}

void bytes_align(Buf *b, size_t alignment) {
    while (b->len % alignment) buf_putc(b, 0);
}

void bytes_fill(Buf *b, size_t n) {
    for (size_t i = 0; i < n; i++) buf_putc(b, (char)(i & 0xff));
}

static void good_scalars(Buf *b) {
    bytes_key_str(b, "general.architecture", "llama");
    bytes_key_uint(b, "s.u8", GGUF_U8, 200, 1);
    bytes_key_uint(b, "s.i8", GGUF_I8, (uint64_t)-100, 1);
    bytes_key_uint(b, "s.u16", GGUF_U16, 60000, 2);
    bytes_key_uint(b, "s.i16", GGUF_I16, (uint64_t)-30000, 2);
    bytes_key_uint(b, "s.u32", GGUF_U32, 4000000000u, 4);
    bytes_key_uint(b, "s.i32", GGUF_I32, (uint64_t)-2000000000, 4);
    bytes_key_uint(b, "s.u64", GGUF_U64, UINT64_MAX, 8);
    bytes_key_uint(b, "s.i64", GGUF_I64, (uint64_t)INT64_MIN, 8);
    bytes_key_uint(b, "s.true", GGUF_BOOL, 1, 1);
    bytes_key(b, "s.f32", GGUF_F32);
    bytes_f32(b, 1e-5f);
    bytes_key(b, "s.f64", GGUF_F64);
    bytes_f64(b, 0.1);
    bytes_key(b, "s.bytes", GGUF_STRING);
    bytes_str(b, (Str){"\xff\0\n", 3});
}

static void good_arrays(Buf *b) {
    static const struct {
        const char *name;
        uint32_t kind;
        int n_bytes;
    } ints[] = {{"a.u8", GGUF_U8, 1},   {"a.i8", GGUF_I8, 1},   {"a.u16", GGUF_U16, 2},
                {"a.i16", GGUF_I16, 2}, {"a.u32", GGUF_U32, 4}, {"a.i32", GGUF_I32, 4},
                {"a.u64", GGUF_U64, 8}, {"a.i64", GGUF_I64, 8}};
    for (size_t k = 0; k < sizeof ints / sizeof ints[0]; k++) {
        bytes_key_array(b, ints[k].name, ints[k].kind, 3);
        for (uint64_t i = 0; i < 3; i++) bytes_uint(b, i - 1, ints[k].n_bytes); // all ones, 0, 1
    }
    bytes_key_array(b, "a.f32", GGUF_F32, 2);
    bytes_f32(b, 0.5f);
    bytes_f32(b, -2.0f);
    bytes_key_array(b, "a.f64", GGUF_F64, 1);
    bytes_f64(b, 1e300);
    bytes_key_array(b, "a.bool", GGUF_BOOL, 4);
    bytes_uint(b, 0x01000100, 4);
    bytes_key_array(b, "a.str", GGUF_STRING, 4);
    bytes_str(b, STR("one"));
    bytes_str(b, STR(""));
    bytes_str(b, (Str){"a\0b", 3});
    bytes_str(b, STR("\xc3\xa9"));
}

void bytes_good(Buf *b, uint32_t version) {
    bytes_header(b, version, BYTES_GOOD_TENSORS, BYTES_GOOD_KEYS);
    good_scalars(b);
    good_arrays(b);
    bytes_tensor(b, "first", 4, 2, GGUF_TYPE_F32, 0);
    bytes_tensor(b, "second", 32, 0, GGUF_TYPE_Q4_1, 32);
    bytes_tensor(b, "third", 3, 0, GGUF_TYPE_BF16, 64);
    bytes_align(b, 32);
    bytes_fill(b, 64 + 6);
}
