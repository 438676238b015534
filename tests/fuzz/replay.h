// For unit tests: a fuzz target over its corpus in tests/fuzz/corpus/NAME. A test includes the target's
// source under another name of its function:
//
//   #define LLVMFuzzerTestOneInput fuzz_gguf_one
//   #include "fuzz/fuzz_gguf.c"
#ifndef CLLM_TESTS_FUZZ_REPLAY_H
#define CLLM_TESTS_FUZZ_REPLAY_H

#include "harness.h"

#include "base/buf.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

typedef int (*FuzzTarget)(const uint8_t *bytes, size_t n);

// From a block of exactly their size, so that a sanitizer sees a read past the end.
static inline void fuzz_run_exact(FuzzTarget target, Str bytes) {
    uint8_t *exact = malloc(bytes.len ? bytes.len : 1);
    assert_non_null(exact);
    if (bytes.len) memcpy(exact, bytes.ptr, bytes.len);
    target(exact, bytes.len);
    free(exact);
}

static inline Buf fuzz_read_file(const char *dir, const char *name) {
    char path[512], piece[4096];
    Buf b = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_put(&b, (Str){piece, n});
    fclose(f);
    return b;
}

static inline void fuzz_replay(FuzzTarget target, const char *dir) {
    DIR *d = opendir(dir);
    if (!d) fail_msg("cannot open %s (the tests run in the repository's root)", dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        Buf b = fuzz_read_file(dir, e->d_name);
        fuzz_run_exact(target, buf_str(&b));
        buf_free(&b);
        n++;
    }
    closedir(d);
    assert_true(n > 0);
}

#endif
