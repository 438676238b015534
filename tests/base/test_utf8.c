#include "harness.h"

#include "base/rng.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Replaced {
    Str in, out;
} Replaced;

#define BYTES(literal) {literal, sizeof(literal) - 1}

// What Python's bytes.decode("utf-8", "replace") gives, which has the same policy.
static const Replaced table[] = {
    {BYTES(""), BYTES("")},
    {BYTES("abc"), BYTES("abc")},
    {BYTES("\200"), BYTES("\uFFFD")},
    {BYTES("\277\200"), BYTES("\uFFFD\uFFFD")},
    {BYTES("\303\251"), BYTES("\303\251")},
    {BYTES("\303"), BYTES("\uFFFD")},
    {BYTES("\303x"), BYTES("\uFFFDx")},
    {BYTES("\300\200"), BYTES("\uFFFD\uFFFD")},
    {BYTES("\301\277"), BYTES("\uFFFD\uFFFD")},
    {BYTES("\342\202\254"), BYTES("\342\202\254")},
    {BYTES("\342\202"), BYTES("\uFFFD")},
    {BYTES("\342\202x"), BYTES("\uFFFDx")},
    {BYTES("\342x"), BYTES("\uFFFDx")},
    {BYTES("\340\200\200"), BYTES("\uFFFD\uFFFD\uFFFD")},
    {BYTES("\340\237\277"), BYTES("\uFFFD\uFFFD\uFFFD")},
    {BYTES("\355\240\200"), BYTES("\uFFFD\uFFFD\uFFFD")},
    {BYTES("\355\240\275\355\270\200"), BYTES("\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD")},
    {BYTES("\355\237\277"), BYTES("\355\237\277")},
    {BYTES("\356\200\200"), BYTES("\356\200\200")},
    {BYTES("\360\237\230\200"), BYTES("\360\237\230\200")},
    {BYTES("\360\237\230"), BYTES("\uFFFD")},
    {BYTES("\360\237"), BYTES("\uFFFD")},
    {BYTES("\360"), BYTES("\uFFFD")},
    {BYTES("\360\237x"), BYTES("\uFFFDx")},
    {BYTES("\360\217\277\277"), BYTES("\uFFFD\uFFFD\uFFFD\uFFFD")},
    {BYTES("\360\220\200\200"), BYTES("\360\220\200\200")},
    {BYTES("\364\217\277\277"), BYTES("\364\217\277\277")},
    {BYTES("\364\220\200\200"), BYTES("\uFFFD\uFFFD\uFFFD\uFFFD")},
    {BYTES("\365\200\200\200"), BYTES("\uFFFD\uFFFD\uFFFD\uFFFD")},
    {BYTES("\377\376"), BYTES("\uFFFD\uFFFD")},
    {BYTES("\370\210\200\200\200"), BYTES("\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD")},
    {BYTES("\303\303\251"), BYTES("\uFFFD\303\251")},
    {BYTES("\342\342\202\254"), BYTES("\uFFFD\342\202\254")},
    {BYTES("\360\237\230\360\237\230\200"), BYTES("\uFFFD\360\237\230\200")},
    {BYTES("a\361\200\200\341\200\302b\200c\200\277d"), BYTES("a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd")},
    {BYTES("\341\200\342\360\221\222\361\277A"), BYTES("\uFFFD\uFFFD\uFFFD\uFFFDA")},
    {BYTES("\342\202\303\251"), BYTES("\uFFFD\303\251")},
    {BYTES("\000\303\000"), BYTES("\000\uFFFD\000")},
    {BYTES("\374\200"), BYTES("\uFFFD\uFFFD")},
};
enum { N_TABLE = sizeof table / sizeof table[0] };

static void test_sanitize_replaces_maximal_subparts(void **state) {
    (void)state;
    for (size_t i = 0; i < N_TABLE; i++) {
        Buf out = {0};
        utf8_sanitize(table[i].in, &out);
        if (!str_eq(buf_str(&out), table[i].out)) fail_msg("row %zu: got '%s'", i, out.ptr);
        assert_int_equal(utf8_valid(table[i].in), str_eq(table[i].in, table[i].out));
        assert_true(utf8_valid(buf_str(&out)));
        buf_free(&out);
    }
}

// A second, plainly written judge: a sequence is valid when decoding and encoding it gives it back.
static size_t plain_step(const uint8_t *p, size_t n) {
    size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (len == 0 || len > n) return 0;
    uint32_t cp = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2) return 0;
        cp = cp << 6 | (p[i] & 63);
    }
    size_t needs = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    bool surrogate = cp >= 0xD800 && cp <= 0xDFFF;
    return needs == len && !surrogate && cp <= 0x10FFFF ? len : 0;
}

static void test_step_agrees_with_a_plain_decoder(void **state) {
    (void)state;
    for (uint32_t w = 0; w < 1u << 24; w += 3) { // every third of all 3-byte strings, plus a 4th byte
        uint8_t p[4] = {(uint8_t)(w >> 16), (uint8_t)(w >> 8), (uint8_t)w, (uint8_t)(0x7E + (w & 3))};
        Utf8Step step = utf8_step((Str){(const char *)p, 4});
        size_t n = plain_step(p, 4);
        if ((step.kind == UTF8_OK ? step.n : 0) != n) fail_msg("%08x: %zu, plainly %zu", w, step.n, n);
    }
}

static void test_complete_prefix_at_every_split(void **state) {
    (void)state;
    static const char text[] = "aé€😀\u0800\uFFFF\U00010000\U0010FFFFz";
    size_t start = 0; // of the code point that the split is in
    for (size_t n = 0; n < sizeof text - 1; n++) {
        if (((uint8_t)text[n] & 0xC0) != 0x80) start = n;
        assert_int_equal(utf8_complete_prefix((Str){text, n}), start);
    }
    assert_int_equal(utf8_complete_prefix((Str){text, sizeof text - 1}), sizeof text - 1);
}

static void test_complete_prefix_lets_bad_bytes_go(void **state) {
    (void)state;
    const Str complete[] = {STR("\x80"),
                            STR("\xFF"),
                            STR("\xC0"),
                            STR("\xE0\x80"),
                            STR("\xED\xA0"),
                            STR("\xF4\x90"),
                            STR("\x80\x80\x80\x80"),
                            STR("\xC3\xA9\x80")};
    for (size_t i = 0; i < sizeof complete / sizeof complete[0]; i++)
        assert_int_equal(utf8_complete_prefix(complete[i]), complete[i].len);
    assert_int_equal(utf8_complete_prefix(STR("\xFF\xE2\x82")), 1);
    assert_int_equal(utf8_complete_prefix(STR("\xE2\xE2\x82")), 1);
    assert_int_equal(utf8_complete_prefix(STR("\xF0\x9F\x98")), 0);
}

// Cut anywhere, the whole is replaced as it would be in one go.
static void test_sanitize_in_parts(void **state) {
    (void)state;
    static const uint8_t bytes[] = {0x41, 0x80, 0xBF, 0xC2, 0xE0, 0xE2, 0x82, 0xAC,
                                    0xED, 0xA0, 0xF0, 0x9F, 0xF4, 0x90, 0xFF};
    Rng rng = {7};
    for (int round = 0; round < 20000; round++) {
        char text[12];
        size_t n = rng_next(&rng) % (sizeof text + 1);
        for (size_t i = 0; i < n; i++) text[i] = (char)bytes[rng_next(&rng) % sizeof bytes];
        Buf whole = {0}, parts = {0}, raw = {0};
        utf8_sanitize((Str){text, n}, &whole);
        for (size_t i = 0; i < n; i++) {
            buf_putc(&raw, text[i]);
            size_t ready = utf8_complete_prefix(buf_str(&raw));
            assert_true(raw.len - ready <= 3);
            utf8_sanitize(str_sub(buf_str(&raw), 0, ready), &parts);
            buf_drop_front(&raw, ready);
        }
        utf8_sanitize(buf_str(&raw), &parts);
        assert_true(str_eq(buf_str(&whole), buf_str(&parts)));
        buf_free(&whole);
        buf_free(&parts);
        buf_free(&raw);
    }
}

static void test_prefixes(void **state) {
    (void)state;
    assert_int_equal(utf8_ascii_prefix(STR("0123456789abcdef\xC3\xA9")), 16);
    assert_int_equal(utf8_ascii_prefix(STR("0123456\xC3\xA9")), 7);
    assert_int_equal(utf8_ascii_prefix(STR("")), 0);
    assert_int_equal(utf8_valid_prefix(STR("0123456789\xC3\xA9x\xC3")), 13);
    assert_int_equal(utf8_valid_prefix(STR("\xFF")), 0);
}

SUITE(utf8, cmocka_unit_test(test_sanitize_replaces_maximal_subparts),
      cmocka_unit_test(test_step_agrees_with_a_plain_decoder),
      cmocka_unit_test(test_complete_prefix_at_every_split),
      cmocka_unit_test(test_complete_prefix_lets_bad_bytes_go), cmocka_unit_test(test_sanitize_in_parts),
      cmocka_unit_test(test_prefixes))
