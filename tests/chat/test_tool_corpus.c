// The fuzzer's corpus and seeded random damage to it, through the fuzz target.
#include "harness.h"

#include "base/rng.h"

#define LLVMFuzzerTestOneInput fuzz_tool_call_one
#include "fuzz/fuzz_tool_call.c"

#include <dirent.h>
#include <stdio.h>

enum { N_ROUNDS = 200 };

static void replay(const char *dir, const char *name, Rng *rng) {
    char path[512], bytes[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    fuzz_tool_call_one((uint8_t *)bytes, n);
    for (int round = 0; round < N_ROUNDS && n; round++) { // a piece of it over another, one after the other
        size_t from = rng_next(rng) % n, to = rng_next(rng) % n, len = rng_next(rng) % 40;
        if (from + len > n || to + len > n) continue;
        memmove(bytes + to, bytes + from, len);
        fuzz_tool_call_one((uint8_t *)bytes, n);
    }
}

static void test_corpus(void **state) {
    (void)state;
    static const char dir[] = "tests/fuzz/corpus/tool_call";
    Rng rng = {5};
    DIR *d = opendir(dir);
    if (!d) fail_msg("cannot open %s (the tests run in the repository's root)", dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') replay(dir, e->d_name, &rng), n++;
    closedir(d);
    assert_true(n > 0);
}

SUITE(tool_corpus, cmocka_unit_test(test_corpus))
