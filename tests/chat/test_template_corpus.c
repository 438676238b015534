// The fuzzer's corpus and seeded random damage to it, through the fuzz target.
#include "harness.h"

#include "base/rng.h"
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_template_one
#include "fuzz/fuzz_template.c"

enum { MAX_SEEDS = 64, N_ROUNDS = 4000 };

static const char dir[] = "tests/fuzz/corpus/template";

static int read_seeds(Buf seeds[static MAX_SEEDS]) {
    DIR *d = opendir(dir);
    if (!d) fail_msg("cannot open %s (the tests run in the repository's root)", dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL && n < MAX_SEEDS;)
        if (e->d_name[0] != '.') seeds[n++] = fuzz_read_file(dir, e->d_name);
    closedir(d);
    assert_true(n > 0);
    return n;
}

static void put_piece(Rng *rng, const Buf *seed, Buf *out) {
    size_t from = seed->len ? rng_next(rng) % seed->len : 0;
    buf_put(out, str_sub(buf_str(seed), from, rng_next(rng) % 200));
}

// Parts of a template swapped for bits of syntax, of other templates, or for nothing.
static void damage(Rng *rng, const Buf *seeds, int n_seeds, Buf *out) {
    static const char *const bits[] = {"{{",
                                       "}}",
                                       "{%",
                                       "%}",
                                       "-",
                                       "+",
                                       "{#",
                                       "#}",
                                       "(",
                                       ")",
                                       "[",
                                       "]",
                                       "|",
                                       ".",
                                       "'",
                                       "\"",
                                       "\\",
                                       "**",
                                       "~",
                                       " if ",
                                       " else ",
                                       " in ",
                                       " is ",
                                       " not ",
                                       "9999999999",
                                       "0",
                                       "loop",
                                       "none",
                                       "{% for i in l %}",
                                       "{% endfor %}",
                                       "\n",
                                       "\xC3",
                                       "\0"};
    const Buf *seed = &seeds[rng_next(rng) % (unsigned)n_seeds];
    size_t at = 0;
    while (at < seed->len) {
        size_t n = rng_next(rng) % 120;
        buf_put(out, str_sub(buf_str(seed), at, n));
        at += n;
        unsigned what = rng_next(rng) % 6;
        if (what == 0)
            put_piece(rng, &seeds[rng_next(rng) % (unsigned)n_seeds], out);
        else if (what == 1)
            at += rng_next(rng) % 20;
        else if (what < 4)
            buf_puts(out, bits[rng_next(rng) % (sizeof bits / sizeof *bits)]);
    }
}

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_template_one, dir);
}

static void test_cut(void **state) {
    (void)state;
    Buf seeds[MAX_SEEDS];
    int n = read_seeds(seeds);
    for (int i = 0; i < n; i++) {
        for (size_t len = 0; len < seeds[i].len; len += 7)
            fuzz_run_exact(fuzz_template_one, str_sub(buf_str(&seeds[i]), 0, len));
        buf_free(&seeds[i]);
    }
}

static void test_damage(void **state) {
    (void)state;
    Buf seeds[MAX_SEEDS];
    Rng rng = {7};
    int n = read_seeds(seeds);
    for (int round = 0; round < N_ROUNDS; round++) {
        Buf b = {0};
        damage(&rng, seeds, n, &b);
        fuzz_run_exact(fuzz_template_one, buf_str(&b));
        buf_free(&b);
    }
    for (int i = 0; i < n; i++) buf_free(&seeds[i]);
}

SUITE(template_corpus, cmocka_unit_test(test_corpus), cmocka_unit_test(test_cut),
      cmocka_unit_test(test_damage))
