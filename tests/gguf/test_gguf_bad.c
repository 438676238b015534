// Bad files: each is refused with a message that names the thing and, where there is one, the remedy.
#include "harness.h"
#include "gguf/gguf.h"
#include "gguf/gguf_bytes.h"

#include <stdlib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

// The bytes in a block of exactly their size, so that a sanitizer sees a read past the end.
static void check_refused(const char *what, const Buf *b, ErrCode code, const char *part) {
    char *exact = malloc(b->len ? b->len : 1);
    assert_non_null(exact);
    if (b->len) memcpy(exact, b->ptr, b->len);
    Err err = {0};
    Gguf *g = gguf_open_memory(exact, b->len, &err);
    if (g) fail_msg("%s: opened", what);
    if (!strstr(err.msg, part)) fail_msg("%s: '%s' lacks '%s'", what, err.msg, part);
    if (err.code != code) fail_msg("%s: code %d for '%s'", what, (int)err.code, err.msg);
    if (strncmp(err.msg, "(memory): ", 10) != 0) fail_msg("%s: '%s' does not name the file", what, err.msg);
    for (const char *p = err.msg; *p; p++)
        if ((unsigned char)*p < 0x20) fail_msg("%s: a control byte in '%s'", what, err.msg);
    assert_null(gguf_open_memory(exact, b->len, NULL)); // without interest in the reason
    free(exact);
}

static void raw(Buf *b, const char *text) {
    buf_puts(b, text);
}

// One tensor "t" with the data that 64 floats need.
static void tensor(Buf *b, uint64_t d0, uint64_t d1, uint32_t type, uint64_t offset) {
    bytes_header(b, 3, 1, 0);
    bytes_tensor(b, "t", d0, d1, type, offset);
    bytes_align(b, 32);
    bytes_fill(b, 256);
}

static void alignment(Buf *b, uint32_t kind, uint64_t v, int n_bytes) {
    bytes_header(b, 3, 0, 1);
    bytes_key_uint(b, "general.alignment", kind, v, n_bytes);
}

static void key_named(Buf *b, Str name) {
    bytes_header(b, 3, 0, 1);
    bytes_str(b, name);
    bytes_uint(b, GGUF_U64, 4);
    bytes_uint(b, 1, 8);
}

static void array(Buf *b, uint32_t kind, uint64_t n) {
    bytes_header(b, 3, 0, 1);
    bytes_key_array(b, "arr", kind, n);
    bytes_fill(b, 64);
}

static void empty(Buf *b) {
    (void)b;
}
static void not_gguf(Buf *b) {
    raw(b, "PK\x03\x04xxxxxxxxxxxxxxxxxxxxxxxxxxx");
}
static void lfs_pointer(Buf *b) {
    raw(b, "version https://git-lfs.github.com/spec/v1\n");
}
static void web_page(Buf *b) {
    raw(b, "<!doctype html>");
}
static void only_magic(Buf *b) {
    raw(b, "GGUF");
}
static void half_magic(Buf *b) {
    raw(b, "GG");
}
static void version_0(Buf *b) {
    bytes_header(b, 0, 0, 0);
}
static void version_1(Buf *b) {
    bytes_header(b, 1, 0, 0);
}
static void version_4(Buf *b) {
    bytes_header(b, 4, 0, 0);
}
static void big_endian(Buf *b) {
    bytes_header(b, 0x03000000, 0, 0);
}
static void many_keys(Buf *b) {
    bytes_header(b, 3, 0, UINT64_MAX);
}
static void many_tensors(Buf *b) {
    bytes_header(b, 3, UINT64_MAX / 33, 0);
}
static void one_key_promised(Buf *b) {
    bytes_header(b, 3, 0, 1), bytes_fill(b, 13);
}
static void over_limit(Buf *b) {
    bytes_header(b, 3, 0, 16385), bytes_fill(b, 16385 * 14);
}
static void empty_key(Buf *b) {
    key_named(b, STR(""));
}
static void nul_key(Buf *b) {
    key_named(b, (Str){"a\0b", 3});
}
static void endless_key(Buf *b) {
    bytes_header(b, 3, 0, 1), bytes_uint(b, UINT64_MAX, 8), bytes_fill(b, 64);
}
static void kind_13(Buf *b) {
    bytes_header(b, 3, 0, 1), bytes_key_uint(b, "k\n", 13, 0, 8);
}
static void bool_2(Buf *b) {
    bytes_header(b, 3, 0, 1), bytes_key_uint(b, "flag", GGUF_BOOL, 2, 1);
}
static void bools_2(Buf *b) {
    array(b, GGUF_BOOL, 3);
} // the bytes are 0, 1, 2
static void cut_value(Buf *b) {
    bytes_header(b, 3, 0, 1), bytes_key_uint(b, "cut", GGUF_U64, 0, 7);
}
static void array_of_arrays(Buf *b) {
    array(b, GGUF_ARRAY, 1);
}
static void array_kind_99(Buf *b) {
    array(b, 99, 1);
}
static void array_wraps(Buf *b) {
    array(b, GGUF_U64, UINT64_MAX / 8 + 1);
}
static void array_too_long(Buf *b) {
    array(b, GGUF_U8, 65);
}
static void strings_too_many(Buf *b) {
    array(b, GGUF_STRING, UINT64_MAX);
}
static void strings_leave(Buf *b) {
    bytes_header(b, 3, 0, 1);
    bytes_key_array(b, "arr", GGUF_STRING, 2);
    bytes_str(b, STR("fine"));
    bytes_uint(b, UINT64_MAX - 7, 8);
}
static void key_twice(Buf *b) {
    bytes_header(b, 3, 0, 2);
    bytes_key_str(b, "again", "a");
    bytes_key_uint(b, "again", GGUF_U32, 1, 4);
}
static void align_0(Buf *b) {
    alignment(b, GGUF_U32, 0, 4);
}
static void align_24(Buf *b) {
    alignment(b, GGUF_U32, 24, 4);
}
static void align_2m(Buf *b) {
    alignment(b, GGUF_U64, 2 << 20, 8);
}
static void align_negative(Buf *b) {
    alignment(b, GGUF_I32, (uint64_t)-32, 4);
}
static void align_real(Buf *b) {
    alignment(b, GGUF_F32, 0x42000000, 4);
}
static void no_dims(Buf *b) {
    tensor(b, 0, 0, GGUF_TYPE_F32, 0);
}
static void five_dims(Buf *b) {
    bytes_header(b, 3, 1, 0);
    bytes_str(b, STR("t"));
    bytes_uint(b, 5, 4);
    for (int i = 0; i < 5; i++) bytes_uint(b, 1, 8);
    bytes_fill(b, 64);
}
static void shape(Buf *b, uint32_t n_dims, const uint64_t *dims) {
    bytes_header(b, 3, 1, 0);
    bytes_str(b, STR("t"));
    bytes_uint(b, n_dims, 4);
    for (uint32_t i = 0; i < n_dims; i++) bytes_uint(b, dims[i], 8);
    bytes_uint(b, GGUF_TYPE_F32, 4);
    bytes_uint(b, 0, 8);
    bytes_align(b, 32);
    bytes_fill(b, 64);
}
static void zero_dim(Buf *b) {
    shape(b, 2, (uint64_t[]){4, 0});
}
static void dims_wrap_to_0(Buf *b) {
    shape(b, 4, (uint64_t[]){1 << 16, 1 << 16, 1 << 16, 1 << 16});
}
static void dims_wrap_to_4(Buf *b) {
    shape(b, 2, (uint64_t[]){4, (1ull << 62) + 1});
}
static void bytes_wrap(Buf *b) {
    shape(b, 1, (uint64_t[]){1ull << 62});
}
static void dim_max(Buf *b) {
    shape(b, 1, (uint64_t[]){UINT64_MAX});
}
static void block_31(Buf *b) {
    tensor(b, 31, 0, GGUF_TYPE_Q8_0, 0);
}
static void block_128(Buf *b) {
    tensor(b, 128, 0, GGUF_TYPE_Q4_K, 0);
}
static void type_4(Buf *b) {
    tensor(b, 32, 0, 4, 0);
}
static void type_max(Buf *b) {
    tensor(b, 32, 0, UINT32_MAX, 0);
}
static void offset_odd(Buf *b) {
    tensor(b, 4, 0, GGUF_TYPE_F32, 16);
}
static void offset_end(Buf *b) {
    tensor(b, 4, 0, GGUF_TYPE_F32, 256);
}
static void offset_wraps(Buf *b) {
    tensor(b, 4, 0, GGUF_TYPE_F32, UINT64_MAX - 31);
}
static void data_1_short(Buf *b) {
    tensor(b, 65, 0, GGUF_TYPE_F32, 0);
}
static void tensor_twice(Buf *b) {
    bytes_header(b, 3, 2, 0);
    bytes_tensor(b, "same", 1, 0, GGUF_TYPE_F32, 0);
    bytes_tensor(b, "same", 1, 0, GGUF_TYPE_F32, 32);
    bytes_align(b, 32);
    bytes_fill(b, 64);
}
static void nul_tensor(Buf *b) {
    bytes_header(b, 3, 1, 0);
    bytes_str(b, (Str){"w\0", 2});
    bytes_fill(b, 64);
}
static void long_tensor_name(Buf *b) {
    bytes_header(b, 3, 1, 0);
    bytes_uint(b, 70000, 8);
    for (int i = 0; i < 70000; i++) buf_putc(b, 'x');
    bytes_fill(b, 64);
}

static const char again[] = "the download may be incomplete: fetch it again";

static void test_bad_files(void **state) {
    (void)state;
#define CASE(build, code, part) {#build, build, code, part}
    const struct {
        const char *name;
        void (*build)(Buf *);
        ErrCode code;
        const char *part;
    } cases[] = {
        CASE(empty, ERR_INVALID, "the file is empty"),
        CASE(not_gguf, ERR_INVALID, "it starts with 'PK\\x03\\x04' instead of 'GGUF'"),
        CASE(lfs_pointer, ERR_INVALID, "Git LFS pointer"),
        CASE(web_page, ERR_INVALID, "web page"),
        CASE(only_magic, ERR_INVALID, "ends inside its header"),
        CASE(half_magic, ERR_INVALID, again),
        CASE(version_0, ERR_UNSUPPORTED, "version 0 is not supported"),
        CASE(version_1, ERR_UNSUPPORTED, "version 1 is too old"),
        CASE(version_4, ERR_UNSUPPORTED, "version 4 is not supported"),
        CASE(big_endian, ERR_UNSUPPORTED, "big-endian"),
        CASE(many_keys, ERR_INVALID, "promises 18446744073709551615 keys"),
        CASE(many_tensors, ERR_INVALID, "tensors, but the file has only"),
        CASE(one_key_promised, ERR_INVALID, again),
        CASE(over_limit, ERR_LIMIT, "at most 16384 are supported"),
        CASE(empty_key, ERR_INVALID, "key 1 has an empty name"),
        CASE(nul_key, ERR_INVALID, "('a\\x00b') contains a NUL byte"),
        CASE(endless_key, ERR_INVALID, "inside the name of key 1"),
        CASE(kind_13, ERR_INVALID, "key 'k\\x0a' has an unknown value type 13"),
        CASE(bool_2, ERR_INVALID, "key 'flag' has the truth value 2"),
        CASE(bools_2, ERR_INVALID, "key 'arr' has the truth value 2"),
        CASE(cut_value, ERR_INVALID, "inside the value of key 'cut'"),
        CASE(array_of_arrays, ERR_UNSUPPORTED, "key 'arr' is an array of arrays"),
        CASE(array_kind_99, ERR_INVALID, "key 'arr' has an unknown element type 99"),
        CASE(array_wraps, ERR_INVALID, again),
        CASE(array_too_long, ERR_INVALID, "inside the value of key 'arr'"),
        CASE(strings_too_many, ERR_INVALID, again),
        CASE(strings_leave, ERR_INVALID, again),
        CASE(key_twice, ERR_INVALID, "key 'again' occurs twice"),
        CASE(align_0, ERR_INVALID, "general.alignment is 0"),
        CASE(align_24, ERR_INVALID, "general.alignment is 24; it must be a power of two"),
        CASE(align_2m, ERR_INVALID, "general.alignment is 2097152"),
        CASE(align_negative, ERR_INVALID, "general.alignment is not a positive whole number"),
        CASE(align_real, ERR_INVALID, "general.alignment is not a positive whole number"),
        CASE(no_dims, ERR_INVALID, "tensor 't' has 0 dimensions"),
        CASE(five_dims, ERR_INVALID, "tensor 't' has 5 dimensions"),
        CASE(zero_dim, ERR_INVALID, "tensor 't' has a dimension of size 0"),
        CASE(dims_wrap_to_0, ERR_INVALID, "tensor 't' has a shape whose size overflows"),
        CASE(dims_wrap_to_4, ERR_INVALID, "tensor 't' has a shape whose size overflows"),
        CASE(bytes_wrap, ERR_INVALID, "tensor 't' has a shape whose size overflows"),
        CASE(dim_max, ERR_INVALID, "tensor 't' has a shape whose size overflows"),
        CASE(block_31, ERR_INVALID,
             "tensor 't' has rows of 31 elements, not a multiple of Q8_0's block of 32"),
        CASE(block_128, ERR_INVALID, "not a multiple of Q4_K's block of 256"),
        CASE(type_4, ERR_UNSUPPORTED,
             "tensor 't' has the element type 4, which is not supported (these are: F32, F16"),
        CASE(type_max, ERR_UNSUPPORTED, "Q6_K, IQ4_NL, IQ4_XS, BF16)"),
        CASE(offset_odd, ERR_INVALID, "tensor 't' lies at offset 16, not a multiple of the alignment 32"),
        CASE(offset_end, ERR_INVALID, "pass the file's end"),
        CASE(offset_wraps, ERR_INVALID, again),
        CASE(data_1_short, ERR_INVALID, "the 260 bytes of tensor 't' at offset 0 pass the file's end"),
        CASE(tensor_twice, ERR_INVALID, "tensor 'same' occurs twice"),
        CASE(nul_tensor, ERR_INVALID, "the name of tensor 1 ('w\\x00') contains a NUL byte"),
        CASE(long_tensor_name, ERR_INVALID, "the name of tensor 1 is 70000 bytes long"),
    };
#undef CASE
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf b = {0};
        cases[i].build(&b);
        check_refused(cases[i].name, &b, cases[i].code, cases[i].part);
        buf_free(&b);
    }
}

static void check_path(const char *path, ErrCode code, const char *part) {
    Err err = {0};
    assert_null(gguf_open(path, &err));
    if (err.code != code || !strstr(err.msg, part)) fail_msg("%s: %d '%s'", path, (int)err.code, err.msg);
    assert_true(strncmp(err.msg, path, strlen(path)) == 0);
}

static void test_bad_paths(void **state) {
    (void)state;
    char dir[] = "/tmp/cllm-gguf-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char pipe_path[64];
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", dir);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    check_path(dir, ERR_INVALID, "is a directory: name the .gguf file inside it");
    check_path(pipe_path, ERR_INVALID, "is not a regular file");
    unlink(pipe_path);
    check_path(pipe_path, ERR_NOT_FOUND, "no such file");
    rmdir(dir);
}

SUITE(gguf_bad, cmocka_unit_test(test_bad_files), cmocka_unit_test(test_bad_paths))
