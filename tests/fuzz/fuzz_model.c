// Fuzz target: the bytes are the head of a model file (metadata and the directory of tensors), behind which
// lie enough arbitrary weights. It is refused with an error that names the file, or a step of it is computed.
#define _GNU_SOURCE // memfd_create
#include "base/rng.h"
#include "model/model.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { WEIGHT_BYTES = 64 << 10, N_ROWS = 20, N_CANDIDATES = 4 };

static volatile float sink; // keeps the reads

static const uint8_t *weights_behind(void) {
    static uint8_t weights[WEIGHT_BYTES];
    Rng rng = {1};
    if (weights[0] || weights[1]) return weights;
    for (size_t i = 0; i < WEIGHT_BYTES; i++) weights[i] = (uint8_t)rng_next(&rng);
    return weights;
}

// The last row's logits whole, the one before as candidates.
static void compute(Model *m, KvType kv_type, Workers *workers) {
    static const int32_t blocks[] = {1, 0};
    const ModelInfo *info = model_info(m);
    ModelContextConfig config = {.n_blocks = 2, .max_rows = N_ROWS, .max_logits = 2, .kv_type = kv_type};
    ModelContext *c = model_context_new(m, &config, workers, NULL);
    if (!c) return; // not as much memory as the file asks for
    int32_t tokens[N_ROWS], n_rows = info->max_context < N_ROWS ? info->max_context : N_ROWS;
    int32_t n_logits = n_rows < 2 ? n_rows : 2;
    for (int32_t i = 0; i < N_ROWS; i++) tokens[i] = i % info->n_vocab;
    BatchSeq seq = {.blocks = blocks, .n_rows = n_rows, .n_logits = n_logits};
    LogitsWant wants[2] = {{.n_candidates = n_logits > 1 ? N_CANDIDATES : 0}};
    Batch b = {
        .tokens = tokens, .n_rows = n_rows, .seqs = &seq, .n_seqs = 1, .n_logits = n_logits, .wants = wants};
    StepModel step = model_step(c);
    const LogitsRow *rows = step.forward(step.self, &b);
    for (int32_t i = 0; i < info->n_vocab; i++) sink = rows[n_logits - 1].all[i];
    for (int32_t i = 0; i < rows[0].n_candidates; i++)
        CHECK(rows[0].candidates[i].token >= 0 && rows[0].candidates[i].token < info->n_vocab);
    model_context_free(c);
}

static void open_file(const char *path, KvType kv_type) {
    static Workers *workers;
    Err err = {0};
    ModelOutline outline;
    if (!workers) workers = workers_new(1, NULL);
    CHECK(workers);
    bool outlined = model_read_outline(path, kv_type, &outline, &err);
    CHECK(outlined || strncmp(err.msg, path, strlen(path)) == 0);
    Model *m = model_open(path, "", workers, NULL, NULL, &err);
    CHECK(m || err.code != ERR_NONE);
    CHECK(outlined || !m);
    if (m) compute(m, kv_type, workers);
    model_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    char path[32];
    int fd = memfd_create("model", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    CHECK(write(fd, weights_behind(), WEIGHT_BYTES) == WEIGHT_BYTES);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    open_file(path, n % 2 ? KV_Q8_0 : KV_F16);
    close(fd);
    return 0;
}
