// The promise, at its root: a row's logits are the same bytes in any company.
#include "harness.h"

#include "base/rng.h"
#include "model/model.h"
#include "model/tiny_model.h"

#include <stdlib.h>
#include <string.h>

enum { N_SEQS = 5, MAX_LEN = 60, N_BLOCKS = 64, MAX_ROWS = 48 };

typedef struct Rig {
    Workers *workers;
    Model *model;
    ModelContext *context;
    StepModel step;
} Rig;

static void rig_open(Rig *r, int n_workers, KvType kv_type, int n_blocks) {
    ModelContextConfig config = {
        .n_blocks = n_blocks, .max_rows = MAX_ROWS, .max_logits = MAX_ROWS, .kv_type = kv_type};
    Err err;
    r->workers = workers_new(n_workers, NULL);
    r->model = model_open(tiny_model_write(NULL), "", r->workers, NULL, NULL, &err);
    if (!r->model) fail_msg("%s", err.msg);
    r->context = model_context_new(r->model, &config, r->workers, NULL);
    assert_non_null(r->context);
    r->step = model_step(r->context);
}

static void rig_close(Rig *r) {
    model_context_free(r->context);
    model_close(r->model);
    workers_free(r->workers);
    tiny_model_remove();
}

static void make_tokens(int32_t tokens[N_SEQS][MAX_LEN]) {
    Rng rng = {7};
    for (int s = 0; s < N_SEQS; s++)
        for (int i = 0; i < MAX_LEN; i++) tokens[s][i] = (int32_t)(rng_next(&rng) % TINY_VOCAB);
}

static int length_of(int s) {
    return 13 + 11 * s;
}

// Each sequence by itself, one row a step: logits[s][position][vocab].
static void compute_alone(Rig *r, int32_t tokens[N_SEQS][MAX_LEN], float *logits) {
    int32_t blocks[4] = {9, 2, 30, 5};
    for (int s = 0; s < N_SEQS; s++)
        for (int i = 0; i < length_of(s); i++) {
            BatchSeq seq = {.blocks = blocks, .start = i, .n_rows = 1, .n_logits = 1};
            Batch b = {.tokens = &tokens[s][i], .n_rows = 1, .seqs = &seq, .n_seqs = 1, .n_logits = 1};
            memcpy(logits + ((size_t)s * MAX_LEN + (size_t)i) * TINY_VOCAB,
                   r->step.forward(r->step.self, &b)->all, TINY_VOCAB * sizeof *logits);
        }
}

// Whole rows, or some candidates and listed tokens of them.
static void make_wants(Rng *rng, LogitsWant wants[MAX_ROWS], int32_t listed[MAX_ROWS][TINY_VOCAB]) {
    for (int i = 0; i < MAX_ROWS; i++) {
        wants[i] = (LogitsWant){.n_candidates = (int32_t)(rng_next(rng) % 60), .listed = listed[i]};
        if (rng_next(rng) % 3 == 0) wants[i].n_candidates = 0;
        for (int32_t token = 0; token < TINY_VOCAB; token++)
            if (rng_next(rng) % 4 == 0) listed[i][wants[i].n_listed++] = token;
    }
}

static bool is_better(const float *logits, int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

// `want` holds the row's logits as computed alone.
static void compare_row(const LogitsRow *row, const LogitsWant *w, const float *want) {
    bool listed[TINY_VOCAB] = {false};
    if (w->n_candidates == 0) {
        assert_memory_equal(row->all, want, TINY_VOCAB * sizeof *want);
        return;
    }
    assert_null(row->all);
    assert_true(row->listed == w->listed && row->n_listed == w->n_listed);
    for (int32_t i = 0; i < row->n_listed; i++) {
        listed[row->listed[i]] = true;
        assert_memory_equal(&row->listed_logits[i], &want[row->listed[i]], sizeof *want);
    }
    int32_t next = 0;
    for (int32_t v = 0; v < TINY_VOCAB; v++) {
        int32_t n_better = 0;
        for (int32_t u = 0; u < TINY_VOCAB && n_better < w->n_candidates; u++)
            n_better += !listed[u] && is_better(want, u, v);
        if (listed[v] || n_better >= w->n_candidates) continue;
        assert_true(next < row->n_candidates);
        assert_int_equal(row->candidates[next].token, v);
        assert_true(row->candidates[next++].logit == want[v]);
    }
    assert_int_equal(row->n_candidates, next);
}

// All together, in random ragged steps; compares every row's logits with those computed alone.
static void compare_together(Rig *r, int32_t tokens[N_SEQS][MAX_LEN], const float *alone, uint64_t seed) {
    Rng rng = {seed};
    int done[N_SEQS] = {0};
    int32_t blocks[N_SEQS][4], rows[MAX_ROWS], listed[MAX_ROWS][TINY_VOCAB];
    LogitsWant wants[MAX_ROWS];
    for (int s = 0; s < N_SEQS; s++)
        for (int i = 0; i < 4; i++) blocks[s][i] = (4 * s + i) * 7 % N_BLOCKS;
    for (;;) {
        BatchSeq seqs[N_SEQS];
        int who[N_SEQS];
        Batch b = {.tokens = rows, .seqs = seqs, .wants = wants};
        for (int s = 0; s < N_SEQS; s++) {
            int n = (int)(rng_next(&rng) % 12), left = length_of(s) - done[s];
            n = n < left ? n : left;
            if (n == 0 || b.n_rows + n > MAX_ROWS) continue;
            who[b.n_seqs] = s;
            seqs[b.n_seqs++] = (BatchSeq){
                .blocks = blocks[s], .start = done[s], .n_rows = n, .first_row = b.n_rows, .n_logits = n};
            memcpy(rows + b.n_rows, &tokens[s][done[s]], (size_t)n * sizeof *rows);
            b.n_rows += n;
        }
        b.n_logits = b.n_rows;
        int total = 0;
        for (int s = 0; s < N_SEQS; s++) total += length_of(s) - done[s];
        if (total == 0) return;
        if (b.n_rows == 0) continue;
        make_wants(&rng, wants, listed);
        const LogitsRow *got = r->step.forward(r->step.self, &b);
        for (int i = 0; i < b.n_seqs; i++) {
            const float *want = alone + ((size_t)who[i] * MAX_LEN + (size_t)seqs[i].start) * TINY_VOCAB;
            for (int k = seqs[i].first_row; k < seqs[i].first_row + seqs[i].n_rows; k++, want += TINY_VOCAB)
                compare_row(&got[k], &wants[k], want);
            done[who[i]] += seqs[i].n_rows;
        }
    }
}

static void test_any_company(void **state) {
    (void)state;
    int32_t tokens[N_SEQS][MAX_LEN];
    float *alone = calloc((size_t)N_SEQS * MAX_LEN * TINY_VOCAB, sizeof *alone);
    make_tokens(tokens);
    for (int type = 0; type < N_KV_TYPES; type++)
        for (int n_workers = 1; n_workers <= 3; n_workers++) {
            Rig r;
            rig_open(&r, n_workers, (KvType)type, N_BLOCKS);
            if (n_workers == 1) compute_alone(&r, tokens, alone);
            for (uint64_t seed = 1; seed <= 8; seed++) compare_together(&r, tokens, alone, seed);
            rig_close(&r);
        }
    free(alone);
}

// ---- contexts of several segments of keys ----

enum { N_LONG = 3, LONG_BLOCKS = 140, LONG_LEN = LONG_BLOCKS * 16 };

static const int long_lengths[N_LONG] = {2100, 1026, 40};

static void fill_blocks(int32_t blocks[N_LONG][LONG_BLOCKS]) {
    for (int s = 0; s < N_LONG; s++)
        for (int i = 0; i < LONG_BLOCKS; i++) blocks[s][i] = i * N_LONG + s;
}

// Each sequence but its last four rows, `chunk` rows a step.
static void prefill(Rig *r, const int32_t *tokens, int32_t blocks[N_LONG][LONG_BLOCKS], int chunk) {
    for (int s = 0; s < N_LONG; s++)
        for (int at = 0, n; at < long_lengths[s] - 4; at += n) {
            int left = long_lengths[s] - 4 - at;
            n = left < chunk ? left : chunk;
            BatchSeq seq = {.blocks = blocks[s], .start = at, .n_rows = n};
            Batch b = {.tokens = tokens + at, .n_rows = n, .seqs = &seq, .n_seqs = 1};
            r->step.forward(r->step.self, &b);
        }
}

// The last four rows of all sequences in one step: the second crosses from one segment into the next.
static const float *last_rows(Rig *r, const int32_t *tokens, int32_t blocks[N_LONG][LONG_BLOCKS]) {
    BatchSeq seqs[N_LONG];
    int32_t rows[4 * N_LONG];
    for (int s = 0; s < N_LONG; s++) {
        seqs[s] = (BatchSeq){.blocks = blocks[s],
                             .start = long_lengths[s] - 4,
                             .n_rows = 4,
                             .first_row = 4 * s,
                             .n_logits = 4};
        memcpy(rows + 4 * s, tokens + seqs[s].start, 4 * sizeof *rows);
    }
    Batch b = {.tokens = rows, .n_rows = 4 * N_LONG, .seqs = seqs, .n_seqs = N_LONG, .n_logits = 4 * N_LONG};
    return r->step.forward(r->step.self, &b)->all; // whole rows follow one another
}

// The same four rows, one a step and one sequence after the other.
static void compare_last_alone(Rig *r, const int32_t *tokens, int32_t blocks[N_LONG][LONG_BLOCKS],
                               const float *want) {
    for (int i = 0; i < 4 * N_LONG; i++) {
        int start = long_lengths[i / 4] - 4 + i % 4;
        BatchSeq seq = {.blocks = blocks[i / 4], .start = start, .n_rows = 1, .n_logits = 1};
        Batch b = {.tokens = tokens + start, .n_rows = 1, .seqs = &seq, .n_seqs = 1, .n_logits = 1};
        const float *got = r->step.forward(r->step.self, &b)->all;
        assert_memory_equal(got, want + (size_t)i * TINY_VOCAB, TINY_VOCAB * sizeof *got);
    }
}

// One worker merges the segments as it goes, several leave them to be merged: chunks and threads change
// nothing.
static void test_segments(void **state) {
    (void)state;
    static int32_t tokens[LONG_LEN], blocks[N_LONG][LONG_BLOCKS];
    static float want[4 * N_LONG * TINY_VOCAB];
    Rng rng = {11};
    for (int i = 0; i < LONG_LEN; i++) tokens[i] = (int32_t)(rng_next(&rng) % TINY_VOCAB);
    fill_blocks(blocks);
    for (int type = 0; type < N_KV_TYPES; type++)
        for (int n_workers = 1; n_workers <= 3; n_workers++) {
            Rig r;
            rig_open(&r, n_workers, (KvType)type, N_LONG * LONG_BLOCKS);
            prefill(&r, tokens, blocks, n_workers == 1 ? 11 : 12 * n_workers);
            const float *got = last_rows(&r, tokens, blocks);
            if (n_workers == 1) memcpy(want, got, sizeof want);
            assert_memory_equal(got, want, sizeof want);
            compare_last_alone(&r, tokens, blocks, want);
            rig_close(&r);
        }
}

// Different tokens do give different logits: the comparison above compares something.
static void test_not_constant(void **state) {
    (void)state;
    Rig r;
    float first[TINY_VOCAB];
    rig_open(&r, 1, KV_F16, N_BLOCKS);
    for (int32_t token = 3; token <= 4; token++) {
        int32_t blocks[1] = {0};
        BatchSeq seq = {.blocks = blocks, .n_rows = 1, .n_logits = 1};
        Batch b = {.tokens = &token, .n_rows = 1, .seqs = &seq, .n_seqs = 1, .n_logits = 1};
        const float *logits = r.step.forward(r.step.self, &b)->all;
        if (token == 3)
            memcpy(first, logits, sizeof first);
        else
            assert_memory_not_equal(first, logits, sizeof first);
    }
    rig_close(&r);
}

static void test_info(void **state) {
    (void)state;
    Rig r;
    rig_open(&r, 1, KV_F16, N_BLOCKS);
    const ModelInfo *info = model_info(r.model);
    assert_string_equal(info->arch, "qwen3");
    assert_int_equal(info->n_vocab, TINY_VOCAB);
    const int numbers = TINY_LAYERS * TINY_KV_HEADS * TINY_HEAD_DIM * 2;
    assert_int_equal(model_kv_bytes_per_token(r.model, KV_F16), numbers * 2);
    assert_int_equal(model_kv_bytes_per_token(r.model, KV_Q8_0), numbers + numbers / 16 * 2);
    assert_int_equal(info->macs_per_logit, TINY_VOCAB * TINY_EMBD);
    rig_close(&r);
}

static void test_bad_models(void **state) {
    (void)state;
    static const struct {
        TinyFault fault;
        ErrCode code;
        const char *says;
    } cases[] = {
        {{.arch = "mamba"}, ERR_UNSUPPORTED, "architecture 'mamba' is not supported"},
        {{.drop = "block_count"}, ERR_INVALID, "qwen3.block_count is missing"},
        {{.drop = "token_embd.weight"}, ERR_INVALID, "tensor token_embd.weight is missing"},
        {{.drop = "blk.1.attn_k.weight"}, ERR_INVALID, "tensor blk.1.attn_k.weight is missing"},
        {{.drop = "blk.0.attn_q_norm.weight"}, ERR_INVALID, "tensor blk.0.attn_q_norm.weight is missing"},
        {{.misshape = "blk.1.ffn_down.weight"}, ERR_INVALID, "blk.1.ffn_down.weight is 128 x 64"},
        {{.misshape = "output_norm.weight"}, ERR_INVALID, "output_norm.weight is 96 x 1"},
        {{.head_dim = 24}, ERR_UNSUPPORTED, "head size 24"},
        {{.kv_heads = 3}, ERR_INVALID, "4 query heads cannot be shared by 3"},
        {{.kv_heads = 1}, ERR_INVALID, "blk.0.attn_k.weight is 64 x 32"},
    };
    Workers *w = workers_new(1, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Err err = {0};
        assert_null(model_open(tiny_model_write(&cases[i].fault), "", w, NULL, NULL, &err));
        tiny_model_remove();
        assert_int_equal(err.code, cases[i].code);
        if (!strstr(err.msg, cases[i].says)) fail_msg("'%s' does not say '%s'", err.msg, cases[i].says);
    }
    workers_free(w);
}

// Every mandatory number, missing or of a wrong kind: an error that names it, whatever is computed from it.
static void test_bad_hyper_parameters(void **state) {
    (void)state;
    static const char *const keys[] = {"block_count", "context_length", "embedding_length",
                                       "feed_forward_length", "attention.head_count"};
    Workers *w = workers_new(1, NULL);
    for (size_t i = 0; i < 2 * sizeof keys / sizeof keys[0]; i++) {
        const char *key = keys[i / 2];
        TinyFault fault = i % 2 ? (TinyFault){.drop = key} : (TinyFault){.as_float = key};
        Err err = {0};
        assert_null(model_open(tiny_model_write(&fault), "", w, NULL, NULL, &err));
        tiny_model_remove();
        assert_non_null(strstr(err.msg, key));
        assert_non_null(strstr(err.msg, i % 2 ? "is missing" : "is not a single whole number"));
    }
    workers_free(w);
}

SUITE(model_forward, cmocka_unit_test(test_any_company), cmocka_unit_test(test_segments),
      cmocka_unit_test(test_not_constant), cmocka_unit_test(test_info), cmocka_unit_test(test_bad_models),
      cmocka_unit_test(test_bad_hyper_parameters))
