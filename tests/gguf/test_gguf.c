// Good files: what the reader gives back.
#include "harness.h"
#include "gguf/gguf.h"
#include "gguf/gguf_bytes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static Gguf *open_good(Buf *b, uint32_t version) {
    Err err = {0};
    bytes_good(b, version);
    Gguf *g = gguf_open_memory(b->ptr, b->len, &err);
    if (!g) fail_msg("%s", err.msg);
    return g;
}

static Gguf *open_ok(const Buf *b) {
    Err err = {0};
    Gguf *g = gguf_open_memory(b->ptr, b->len, &err);
    if (!g) fail_msg("%s", err.msg);
    return g;
}

static void test_versions(void **state) {
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        Buf b = {0};
        Gguf *g = open_good(&b, version);
        assert_int_equal(gguf_version(g), version);
        assert_int_equal(gguf_n_keys(g), BYTES_GOOD_KEYS);
        assert_int_equal(gguf_n_tensors(g), BYTES_GOOD_TENSORS);
        assert_int_equal(gguf_file_bytes(g), b.len);
        assert_string_equal(gguf_path(g), "(memory)");
        gguf_close(g);
        buf_free(&b);
    }
    gguf_close(NULL);
}

static void test_smallest(void **state) {
    (void)state;
    Buf b = {0};
    bytes_header(&b, 3, 0, 0);
    Gguf *g = open_ok(&b);
    assert_int_equal(gguf_n_keys(g), 0);
    assert_false(gguf_has(g, "x"));
    assert_null(gguf_find_tensor(g, "x"));
    gguf_close(g);
    buf_free(&b);
}

static void test_directory_order(void **state) {
    (void)state;
    Buf b = {0};
    Gguf *g = open_good(&b, 3);
    GgufKind kind;
    assert_true(str_eq(gguf_key(g, 0, &kind), STR("general.architecture")));
    assert_int_equal(kind, GGUF_STRING);
    assert_true(str_eq(gguf_key(g, BYTES_GOOD_KEYS - 1, NULL), STR("a.str")));
    assert_true(str_eq(gguf_tensor(g, 0)->name, STR("first")));
    assert_true(str_eq(gguf_tensor(g, 2)->name, STR("third")));
    gguf_close(g);
    buf_free(&b);
}

static void check_uint(const Gguf *g, const char *key, bool fits, uint64_t want) {
    uint64_t v = 77;
    assert_int_equal(gguf_get_u64(g, key, &v), fits);
    assert_true(v == (fits ? want : 77));
}

static void check_int(const Gguf *g, const char *key, bool fits, int64_t want) {
    int64_t v = 77;
    assert_int_equal(gguf_get_i64(g, key, &v), fits);
    assert_true(v == (fits ? want : 77));
}

static void check_real(const Gguf *g, const char *key, bool fits, double want) {
    double v = 77;
    assert_int_equal(gguf_get_f64(g, key, &v), fits);
    assert_true(v == (fits ? want : 77.0));
}

static void test_scalar_integers(void **state) {
    (void)state;
    Buf b = {0};
    Gguf *g = open_good(&b, 3);
    static const char *const names[] = {"s.u8",  "s.u16", "s.u32", "s.u64",  "s.i8",    "s.i16",   "s.i32",
                                        "s.i64", "s.f32", "s.f64", "s.true", "s.bytes", "missing", "a.u8"};
    static const uint64_t u[] = {200, 60000, 4000000000u, UINT64_MAX};
    static const int64_t i[] = {-100, -30000, -2000000000, INT64_MIN};
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        check_uint(g, names[k], k < 4, k < 4 ? u[k] : 0);
        bool is_int = k < 8 && k != 3; // UINT64_MAX does not fit
        check_int(g, names[k], is_int, !is_int ? 0 : k < 4 ? (int64_t)u[k] : i[k - 4]);
    }
    uint32_t small = 77;
    assert_true(gguf_get_u32(g, "s.u32", &small));
    assert_int_equal(small, 4000000000u);
    small = 77;
    assert_false(gguf_get_u32(g, "s.u64", &small));
    assert_false(gguf_get_u32(g, "s.i8", &small));
    assert_int_equal(small, 77);
    gguf_close(g);
    buf_free(&b);
}

static void test_scalar_reals(void **state) {
    (void)state;
    Buf b = {0};
    Gguf *g = open_good(&b, 3);
    check_real(g, "s.f32", true, (double)1e-5f);
    check_real(g, "s.f64", true, 0.1);
    check_real(g, "s.u32", true, 4e9);
    check_real(g, "s.i16", true, -30000);
    check_real(g, "s.i64", true, -0x1p63);
    check_real(g, "s.u64", false, 0); // 2^64 - 1 is not a double
    check_real(g, "s.true", false, 0);
    check_real(g, "s.bytes", false, 0);
    check_real(g, "missing", false, 0);
    gguf_close(g);
    buf_free(&b);
}

static void test_real_edges(void **state) {
    (void)state;
    Buf b = {0};
    bytes_header(&b, 3, 0, 6);
    bytes_key_uint(&b, "2^53", GGUF_U64, 1ull << 53, 8);
    bytes_key_uint(&b, "2^53+1", GGUF_U64, (1ull << 53) + 1, 8);
    bytes_key_uint(&b, "-2^53-1", GGUF_I64, -((1ull << 53) + 1), 8);
    bytes_key_uint(&b, "2^63", GGUF_U64, 1ull << 63, 8);
    bytes_key(&b, "nan", GGUF_F32);
    bytes_f32(&b, (float)NAN);
    bytes_key(&b, "inf", GGUF_F64);
    bytes_f64(&b, (double)INFINITY);
    Gguf *g = open_ok(&b);
    check_real(g, "2^53", true, 0x1p53);
    check_real(g, "2^53+1", false, 0);
    check_real(g, "-2^53-1", false, 0);
    check_real(g, "2^63", true, 0x1p63);
    check_real(g, "inf", true, (double)INFINITY);
    check_int(g, "2^63", false, 0);
    double v = 0;
    assert_true(gguf_get_f64(g, "nan", &v));
    assert_true(isnan(v));
    gguf_close(g);
    buf_free(&b);
}

static void test_scalar_others(void **state) {
    (void)state;
    Buf b = {0};
    Gguf *g = open_good(&b, 3);
    bool flag = false;
    Str s = STR("default");
    assert_true(gguf_get_bool(g, "s.true", &flag));
    assert_true(flag);
    assert_false(gguf_get_bool(g, "s.u8", &flag));
    assert_false(gguf_get_str(g, "s.u8", &s));
    assert_false(gguf_get_str(g, "a.str", &s));
    assert_false(gguf_get_str(g, "missing", &s));
    assert_true(str_eq(s, STR("default")));
    assert_true(gguf_get_str(g, "general.architecture", &s));
    assert_true(str_eq(s, STR("llama")));
    assert_true(gguf_get_str(g, "s.bytes", &s));
    assert_true(str_eq(s, (Str){"\xff\0\n", 3}));
    assert_true(gguf_has(g, "a.str"));
    assert_false(gguf_has(g, "a.st"));
    gguf_close(g);
    buf_free(&b);
}

static void check_int_array(const Gguf *g, const char *key, GgufKind kind, uint64_t all_ones) {
    GgufArray a;
    uint64_t u = 77;
    int64_t i = 77;
    double f = 77;
    bool is_signed = all_ones == 0;
    assert_true(gguf_get_array(g, key, &a));
    assert_int_equal(a.kind, kind);
    assert_int_equal(a.n, 3);
    assert_int_equal(gguf_array_u64(&a, 0, &u), !is_signed);
    assert_true(u == (is_signed ? 77 : all_ones));
    assert_int_equal(gguf_array_i64(&a, 0, &i), all_ones != UINT64_MAX);
    assert_true(i == (is_signed ? -1 : all_ones == UINT64_MAX ? 77 : (int64_t)all_ones));
    assert_true(gguf_array_u64(&a, 1, &u) && u == 0);
    assert_true(gguf_array_i64(&a, 2, &i) && i == 1);
    assert_true(gguf_array_f64(&a, 2, &f) && f == 1.0);
}

static void test_integer_arrays(void **state) {
    (void)state;
    Buf b = {0};
    Gguf *g = open_good(&b, 3);
    check_int_array(g, "a.u8", GGUF_U8, UINT8_MAX);
    check_int_array(g, "a.u16", GGUF_U16, UINT16_MAX);
    check_int_array(g, "a.u32", GGUF_U32, UINT32_MAX);
    check_int_array(g, "a.u64", GGUF_U64, UINT64_MAX);
    check_int_array(g, "a.i8", GGUF_I8, 0);
    check_int_array(g, "a.i16", GGUF_I16, 0);
    check_int_array(g, "a.i32", GGUF_I32, 0);
    check_int_array(g, "a.i64", GGUF_I64, 0);
    gguf_close(g);
    buf_free(&b);
}

static void test_other_arrays(void **state) {
    (void)state;
    Buf b = {0};
    Gguf *g = open_good(&b, 3);
    GgufArray a;
    double f;
    uint64_t u;
    GgufStrIter it;
    assert_true(gguf_get_array(g, "a.f32", &a));
    assert_true(gguf_array_f64(&a, 1, &f) && f == -2.0);
    assert_false(gguf_array_u64(&a, 1, &u));
    assert_false(gguf_array_strings(&a, &it));
    assert_true(gguf_get_array(g, "a.f64", &a));
    assert_true(gguf_array_f64(&a, 0, &f) && f == 1e300);
    assert_true(gguf_get_array(g, "a.bool", &a));
    assert_int_equal(a.n, 4);
    assert_int_equal(a.data[1], 1);
    assert_int_equal(a.data[2], 0);
    assert_false(gguf_array_u64(&a, 1, &u));
    assert_false(gguf_get_array(g, "s.u8", &a));
    gguf_close(g);
    buf_free(&b);
}

static void test_string_array(void **state) {
    (void)state;
    static const Str want[] = {{"one", 3}, {"", 0}, {"a\0b", 3}, {"\xc3\xa9", 2}};
    Buf b = {0};
    Gguf *g = open_good(&b, 3);
    GgufArray a;
    GgufStrIter it;
    Str s;
    uint64_t u;
    double f;
    assert_true(gguf_get_array(g, "a.str", &a));
    assert_false(gguf_array_u64(&a, 0, &u));
    assert_false(gguf_array_f64(&a, 0, &f));
    assert_true(gguf_array_strings(&a, &it));
    for (int i = 0; i < 4; i++) {
        assert_true(gguf_next_str(&it, &s));
        assert_true(str_eq(s, want[i]));
    }
    assert_false(gguf_next_str(&it, &s));
    assert_false(gguf_next_str(&it, &s));
    gguf_close(g);
    buf_free(&b);
}

static void test_tensors(void **state) {
    (void)state;
    Buf b = {0};
    Gguf *g = open_good(&b, 3);
    const GgufTensor *t = gguf_find_tensor(g, "first");
    assert_non_null(t);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 4);
    assert_int_equal(t->dims[1], 2);
    assert_int_equal(t->dims[2], 1);
    assert_int_equal(t->dims[3], 1);
    assert_int_equal(t->row_bytes, 16);
    assert_int_equal(t->n_bytes, 32);
    assert_int_equal(t->data[1], 1);
    t = gguf_find_tensor(g, "second");
    assert_int_equal(t->type, GGUF_TYPE_Q4_1);
    assert_int_equal(t->n_bytes, 20);
    assert_int_equal(t->data[0], 32);
    t = gguf_find_tensor(g, "third");
    assert_int_equal(t->n_bytes, 6);
    assert_ptr_equal(t->data + t->n_bytes, (const uint8_t *)b.ptr + b.len);
    assert_null(gguf_find_tensor(g, "fourth"));
    gguf_close(g);
    buf_free(&b);
}

static void test_every_type(void **state) {
    (void)state;
    static const struct {
        GgufType type;
        const char *name;
        uint32_t elems, bytes;
    } want[] = {{GGUF_TYPE_F32, "F32", 1, 4},         {GGUF_TYPE_F16, "F16", 1, 2},
                {GGUF_TYPE_Q4_0, "Q4_0", 32, 18},     {GGUF_TYPE_Q4_1, "Q4_1", 32, 20},
                {GGUF_TYPE_Q5_0, "Q5_0", 32, 22},     {GGUF_TYPE_Q5_1, "Q5_1", 32, 24},
                {GGUF_TYPE_Q8_0, "Q8_0", 32, 34},     {GGUF_TYPE_Q2_K, "Q2_K", 256, 84},
                {GGUF_TYPE_Q3_K, "Q3_K", 256, 110},   {GGUF_TYPE_Q4_K, "Q4_K", 256, 144},
                {GGUF_TYPE_Q5_K, "Q5_K", 256, 176},   {GGUF_TYPE_Q6_K, "Q6_K", 256, 210},
                {GGUF_TYPE_IQ4_NL, "IQ4_NL", 32, 18}, {GGUF_TYPE_IQ4_XS, "IQ4_XS", 256, 136},
                {GGUF_TYPE_BF16, "BF16", 1, 2}};
    size_t known = 0;
    for (uint32_t i = 0; i < 1000; i++) known += gguf_type_info((GgufType)i) != NULL;
    assert_int_equal(known, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < known; i++) {
        const GgufTypeInfo *info = gguf_type_info(want[i].type);
        assert_string_equal(info->name, want[i].name);
        assert_int_equal(info->block_elems, want[i].elems);
        assert_int_equal(info->block_bytes, want[i].bytes);
        Buf b = {0};
        bytes_header(&b, 3, 1, 0);
        bytes_tensor(&b, "t", 512, 3, (uint32_t)want[i].type, 0);
        bytes_align(&b, 32);
        size_t row = 512 / want[i].elems * want[i].bytes;
        bytes_fill(&b, row * 3);
        Gguf *g = open_ok(&b);
        assert_int_equal(gguf_tensor(g, 0)->row_bytes, row);
        assert_int_equal(gguf_tensor(g, 0)->n_bytes, row * 3);
        gguf_close(g);
        buf_free(&b);
    }
}

static void test_alignments(void **state) {
    (void)state;
    for (uint32_t alignment = 1; alignment <= 1 << 20; alignment *= 2) {
        Buf b = {0};
        bytes_header(&b, 3, 2, 1);
        bytes_key_uint(&b, "general.alignment", GGUF_U32, alignment, 4);
        bytes_tensor(&b, "a", 1, 0, GGUF_TYPE_F32, 0);
        uint64_t next = alignment < 4 ? 4 : alignment;
        bytes_tensor(&b, "b", 1, 0, GGUF_TYPE_F32, next);
        bytes_align(&b, alignment);
        size_t start = b.len;
        bytes_fill(&b, next + 4);
        Gguf *g = open_ok(&b);
        assert_ptr_equal(gguf_tensor(g, 0)->data, (const uint8_t *)b.ptr + start);
        assert_ptr_equal(gguf_tensor(g, 1)->data, (const uint8_t *)b.ptr + start + next);
        gguf_close(g);
        buf_free(&b);
    }
}

static void test_many_names(void **state) {
    (void)state;
    enum { N = 3000 };
    Buf b = {0};
    char name[32];
    bytes_header(&b, 3, N, N);
    for (uint32_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "key.%u", i);
        bytes_key_uint(&b, name, GGUF_U32, i, 4);
    }
    for (uint32_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "blk.%u.w", i);
        bytes_tensor(&b, name, 1, 0, GGUF_TYPE_F32, i * 32u);
    }
    bytes_align(&b, 32);
    bytes_fill(&b, N * 32);
    Gguf *g = open_ok(&b);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t v = 0;
        snprintf(name, sizeof name, "key.%u", i);
        assert_true(gguf_get_u32(g, name, &v) && v == i);
        snprintf(name, sizeof name, "blk.%u.w", i);
        assert_ptr_equal(gguf_find_tensor(g, name), gguf_tensor(g, i));
    }
    assert_false(gguf_has(g, "key.3000"));
    gguf_close(g);
    buf_free(&b);
}

// A file on disk, larger than a few pages, whose pages come back after their release.
static void test_mapped_file(void **state) {
    (void)state;
    Buf b = {0};
    bytes_header(&b, 3, 1, 0);
    bytes_tensor(&b, "w", 10000, 4, GGUF_TYPE_F32, 0);
    bytes_align(&b, 32);
    bytes_fill(&b, 160000);
    char path[] = "/tmp/cllm-gguf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, b.ptr, b.len), b.len);
    close(fd);
    Err err = {0};
    Gguf *g = gguf_open(path, &err);
    unlink(path);
    if (!g) fail_msg("%s", err.msg);
    assert_string_equal(gguf_path(g), path);
    const GgufTensor *t = gguf_find_tensor(g, "w");
    assert_memory_equal(t->data, b.ptr + b.len - 160000, 160000);
    gguf_release_pages(g, t->data, t->n_bytes);
    gguf_release_pages(g, t->data + 100, 50);
    gguf_release_pages(g, t->data + t->n_bytes, 0);
    assert_memory_equal(t->data, b.ptr + b.len - 160000, 160000);
    gguf_close(g);
    g = open_ok(&b);
    gguf_release_pages(g, gguf_tensor(g, 0)->data, 160000);
    assert_int_equal(gguf_tensor(g, 0)->data[1], 1);
    gguf_close(g);
    buf_free(&b);
}

SUITE(gguf, cmocka_unit_test(test_versions), cmocka_unit_test(test_smallest),
      cmocka_unit_test(test_directory_order), cmocka_unit_test(test_scalar_integers),
      cmocka_unit_test(test_scalar_reals), cmocka_unit_test(test_real_edges),
      cmocka_unit_test(test_scalar_others), cmocka_unit_test(test_integer_arrays),
      cmocka_unit_test(test_other_arrays), cmocka_unit_test(test_string_array),
      cmocka_unit_test(test_tensors), cmocka_unit_test(test_every_type), cmocka_unit_test(test_alignments),
      cmocka_unit_test(test_many_names), cmocka_unit_test(test_mapped_file))
