#include "harness.h"

#include "base/rng.h"
#include "base/utf8.h"
#include "text/detok.h"
#include "text/tiny_vocab.h"

#include <stdio.h>

// A vocabulary in which token b is byte b, and some that are several bytes.
static Tokenizer *open_bytes(TinyVocab *v) {
    Err err = {0};
    tiny_english(v);
    Tokenizer *t = tiny_open_bpe(v, "gpt-2", &err);
    if (!t) fail_msg("%s", err.msg);
    return t;
}

static Detok *new_detok(const Tokenizer *t, const Str *stops, size_t n) {
    Err err = {0};
    Detok *d = detok_new(t, stops, n, &err);
    if (!d) fail_msg("%s", err.msg);
    return d;
}

// Feeds the text byte by byte; checks that every piece is valid by itself. Returns whether it stopped.
static bool stream(const Tokenizer *t, const Str *stops, size_t n_stops, Str text, Buf *all) {
    Detok *d = new_detok(t, stops, n_stops);
    for (size_t i = 0; i < text.len; i++) {
        Buf piece = {0};
        bool stopped = detok_push(d, (uint8_t)text.ptr[i], &piece);
        assert_int_equal(stopped, detok_stopped(d));
        assert_true(utf8_valid(buf_str(&piece)));
        buf_put(all, buf_str(&piece));
        buf_free(&piece);
    }
    detok_finish(d, all);
    bool stopped = detok_stopped(d);
    detok_free(d);
    return stopped;
}

static void expect_stream(const Tokenizer *t, const Str *stops, size_t n_stops, Str text, const char *shown,
                          bool stopped) {
    Buf all = {0};
    assert_int_equal(stream(t, stops, n_stops, text, &all), stopped);
    assert_string_equal(all.ptr ? all.ptr : "", shown);
    buf_free(&all);
}

static void test_code_points_come_out_whole(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    static const Str text = STR("a\u00e9\u20ac\U0001F600z");
    Detok *d = new_detok(t, NULL, 0);
    Buf out = {0};
    for (size_t i = 0; i < text.len; i++) {
        assert_false(detok_push(d, (uint8_t)text.ptr[i], &out));
        // What is out is what is whole, and nothing is held longer than that.
        assert_int_equal(out.len, utf8_complete_prefix((Str){text.ptr, i + 1}));
        assert_memory_equal(out.ptr, text.ptr, out.len);
    }
    detok_finish(d, &out);
    assert_true(str_eq(buf_str(&out), text));
    buf_free(&out);
    detok_free(d);
    tiny_close(&v);
}

static void test_bad_bytes_are_replaced(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    expect_stream(t, NULL, 0, STR("a\xE2\x82z"), "a\uFFFDz", false);
    expect_stream(t, NULL, 0, STR("\xF0\x9F\x98"), "\uFFFD", false); // at the end
    expect_stream(t, NULL, 0, STR("\xFF\xC0\x80"), "\uFFFD\uFFFD\uFFFD", false);
    tiny_close(&v);
}

static void test_stops(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    static const Str end[] = {STR("END")};
    expect_stream(t, end, 1, STR("one END two"), "one ", true);
    expect_stream(t, end, 1, STR("END"), "", true); // at the very start
    expect_stream(t, end, 1, STR("one EN"), "one EN", false);
    expect_stream(t, end, 1, STR("EENEND!"), "EEN", true);
    expect_stream(t, end, 1, STR(""), "", false);
    static const Str again[] = {STR("aab")};
    expect_stream(t, again, 1, STR("aaaaab"), "aaa", true);
    static const Str accent[] = {STR("\u00e9t\u00e9")};
    expect_stream(t, accent, 1, STR("l'\u00e9t\u00e8 l'\u00e9t\u00e9!"), "l'\u00e9t\u00e8 l'", true);
    static const Str replaced[] = {STR("\uFFFD")};
    expect_stream(t, replaced, 1, STR("x\xFFy"), "x", true);
    expect_stream(t, replaced, 1, STR("x\xE2\x82"), "x", true); // known only at the end
    tiny_close(&v);
}

static void test_overlapping_stops(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    static const Str nested[] = {STR("bc"), STR("abcd")};
    expect_stream(t, nested, 2, STR("xabcd"), "xa", true); // "bc" is complete first
    static const Str same_end[] = {STR("d"), STR("bcd"), STR("cd")};
    expect_stream(t, same_end, 3, STR("abcd"), "a", true); // of those that end together, the longest
    static const Str side_by_side[] = {STR("abX"), STR("bcY")};
    expect_stream(t, side_by_side, 2, STR("abcYz"), "a", true);
    expect_stream(t, side_by_side, 2, STR("ababXz"), "ab", true);
    tiny_close(&v);
}

static void test_which_stop(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    static const Str stops[] = {STR("zz"), STR("cd"),
                                STR("bcd")}; // the longest that ends where the text does
    Detok *d = new_detok(t, stops, 3);
    Buf out = {0};
    for (const char *at = "abc"; *at; at++) detok_push(d, *at, &out);
    assert_null(detok_stop(d).ptr);
    assert_true(detok_push(d, 'd', &out));
    assert_true(str_eq(detok_stop(d), stops[2]));
    detok_finish(d, &out);
    assert_true(str_eq(detok_stop(d), stops[2]));
    detok_free(d);
    buf_free(&out);
    tiny_close(&v);
}

static void test_nothing_comes_after_a_stop(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    static const Str stop[] = {STR("!")};
    Detok *d = new_detok(t, stop, 1);
    Buf out = {0};
    assert_false(detok_push(d, 'a', &out));
    assert_true(detok_push(d, '!', &out));
    assert_true(detok_push(d, 'b', &out));
    detok_finish(d, &out);
    assert_string_equal(out.ptr, "a");
    buf_free(&out);
    detok_free(d);
    tiny_close(&v);
}

static void test_control_tokens_are_not_shown(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    Detok *d = new_detok(t, NULL, 0);
    Buf out = {0};
    detok_push(d, 'a', &out);
    detok_push(d, tokenizer_find(t, STR("<|im_end|>")), &out);
    detok_push(d, tokenizer_find(t, STR("<think>")), &out);
    detok_push(d, -1, &out);
    detok_push(d, 1 << 30, &out);
    detok_finish(d, &out);
    assert_string_equal(out.ptr, "a<think>");
    buf_free(&out);
    detok_free(d);
    tiny_close(&v);
}

// Held back no longer than needed: released as soon as it cannot be a stop any more.
static void test_held_back_no_longer_than_needed(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    static const Str stop[] = {STR("</s>")};
    static const Str text = STR("a<b</<//s></s>");
    static const size_t shown[] = {1, 1, 3, 3, 3, 5, 5, 8, 9, 10, 10, 10, 10, 10};
    Detok *d = new_detok(t, stop, 1);
    Buf out = {0};
    for (size_t i = 0; i < text.len; i++) {
        detok_push(d, (uint8_t)text.ptr[i], &out);
        assert_int_equal(out.len, shown[i]);
    }
    assert_true(detok_stopped(d));
    buf_free(&out);
    detok_free(d);
    tiny_close(&v);
}

static void test_bad_stops_are_refused(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    char longest[DETOK_MAX_STOP_BYTES + 1];
    memset(longest, 'x', sizeof longest);
    Str many[DETOK_MAX_STOPS + 1];
    for (size_t i = 0; i < DETOK_MAX_STOPS + 1; i++) many[i] = STR("x");
    Err err = {0};
    assert_null(detok_new(t, many, DETOK_MAX_STOPS + 1, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_null(detok_new(t, (Str[]){STR("a"), STR("")}, 2, &err));
    assert_string_equal(err.msg, "a stop string must not be empty");
    assert_null(detok_new(t, (Str[]){{longest, sizeof longest}}, 1, &err));
    assert_string_equal(err.msg, "a stop string has 1025 bytes; at most 1024");
    assert_null(detok_new(t, (Str[]){STR("\xFF")}, 1, &err));
    assert_string_equal(err.msg, "a stop string is not valid UTF-8");
    Detok *d = new_detok(t, (Str[]){{longest, DETOK_MAX_STOP_BYTES}}, 1);
    detok_free(d);
    detok_free(NULL);
    tiny_close(&v);
}

// The judge: the text up to where the first stop is complete, found without streaming.
static bool cut_plainly(const Str *stops, size_t n_stops, Str text, size_t *shown) {
    for (size_t end = 1; end <= text.len; end++) {
        size_t longest = 0;
        for (size_t s = 0; s < n_stops; s++)
            if (stops[s].len <= end && stops[s].len > longest &&
                memcmp(text.ptr + end - stops[s].len, stops[s].ptr, stops[s].len) == 0)
                longest = stops[s].len;
        if (longest == 0) continue;
        *shown = end - longest;
        return true;
    }
    *shown = text.len;
    return false;
}

static void random_string(Rng *rng, size_t max, Buf *out) {
    static const char *const parts[] = {"a",    "b",        "a",  "\u00e9", "\u00e8", "\xC3",
                                        "\xA9", "\xE2\x82", "aa", "ll",     "he"};
    size_t n = rng_next(rng) % (max + 1);
    for (size_t i = 0; i < n; i++) buf_puts(out, parts[rng_next(rng) % (sizeof parts / sizeof parts[0])]);
}

// Random texts as random tokens (some are several bytes), random stops: the pieces add up to what
// the judge says.
static void test_random_streams(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_bytes(&v);
    Rng rng = {2024};
    for (int round = 0; round < 20000; round++) {
        Buf stops_text[3] = {{0}, {0}, {0}}, text = {0}, clean = {0}, all = {0};
        Str stops[3];
        size_t n_stops = 0;
        for (size_t i = rng_next(&rng) % 4; i > 0; i--) {
            Buf raw = {0};
            random_string(&rng, 4, &raw);
            utf8_sanitize(buf_str(&raw), &stops_text[n_stops]);
            if (raw.len > 0) stops[n_stops] = buf_str(&stops_text[n_stops]), n_stops++;
            buf_free(&raw);
        }
        random_string(&rng, 20, &text);
        utf8_sanitize(buf_str(&text), &clean);
        size_t shown = 0;
        bool stops_there = cut_plainly(stops, n_stops, buf_str(&clean), &shown);

        TokenList tokens = {0};
        for (size_t i = 0; i < text.len;) { // pairs of letters as one token, now and then
            Str pair = str_sub(buf_str(&text), i, 2);
            bool ascii = utf8_ascii_prefix(pair) == pair.len; // else its text in the vocabulary is another
            int32_t id = ascii && rng_next(&rng) & 1 ? tokenizer_find(t, pair) : -1;
            token_list_push(&tokens, id >= 0 ? id : (uint8_t)text.ptr[i]);
            i += id >= 0 ? pair.len : 1;
        }
        Detok *d = new_detok(t, stops, n_stops);
        for (size_t i = 0; i < tokens.n; i++) {
            size_t from = all.len;
            detok_push(d, tokens.ids[i], &all);
            assert_true(utf8_valid(str_skip(buf_str(&all), from)));
        }
        detok_finish(d, &all);
        assert_int_equal(detok_stopped(d), stops_there);
        if (!str_eq(buf_str(&all), str_sub(buf_str(&clean), 0, shown)))
            fail_msg("round %d: '%s' instead of %zu bytes of '%s'", round, all.ptr, shown, clean.ptr);
        detok_free(d);
        token_list_free(&tokens);
        for (int i = 0; i < 3; i++) buf_free(&stops_text[i]);
        buf_free(&text);
        buf_free(&clean);
        buf_free(&all);
    }
    tiny_close(&v);
}

SUITE(detok, cmocka_unit_test(test_code_points_come_out_whole), cmocka_unit_test(test_bad_bytes_are_replaced),
      cmocka_unit_test(test_stops), cmocka_unit_test(test_which_stop),
      cmocka_unit_test(test_overlapping_stops), cmocka_unit_test(test_nothing_comes_after_a_stop),
      cmocka_unit_test(test_control_tokens_are_not_shown),
      cmocka_unit_test(test_held_back_no_longer_than_needed), cmocka_unit_test(test_bad_stops_are_refused),
      cmocka_unit_test(test_random_streams))
