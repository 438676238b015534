// How fast the kernels are on one thread, beside what the machine could do.
//
// A matrix product is timed twice: on 256 weight rows that stay in the cache ("cached"), against the
// rate of multiply-adds, and walking through 96 MB of panels ("streamed"), against the read bandwidth.
// Time is the thread's own CPU time and every figure the best of several short runs, since a machine
// that others use too only ever adds.
#define _DEFAULT_SOURCE // madvise
#include "kcheck.h"

#include "kernels/half.h"
#include "kernels/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { K = 1024, N = 1024, CACHED_ROWS = 256, MAX_M = 128, STREAM_MB = 96 };

static const int some_m[] = {1, 2, 4, 8, 16, 32, 128};

typedef struct Bench {
    const Kernels *kernels;
    WeightType type;
    int m;
    uint8_t *stream; // STREAM_MB of panels
    size_t panel_bytes;
    void *acts[N_ACT_FORMATS]; // MAX_M rows of K
    float *out;
    double int8_macs, fma_macs, bandwidth;
} Bench;

static void *alloc(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    CHECK(p != NULL);
    return p;
}

// Like the weights of a model: huge pages where the system has them.
static uint8_t *alloc_stream(void) {
    size_t bytes = (size_t)STREAM_MB << 20;
    uint8_t *p = aligned_alloc((size_t)2 << 20, bytes);
    CHECK(p != NULL);
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 1, bytes);
    return p;
}

static void call(const Bench *b, const uint8_t *panels, int n) {
    const MatKernel *mat = &b->kernels->mat[b->type];
    GemmArgs a = {.weights = panels,
                  .n = n,
                  .k = K,
                  .n_panels = n / 16,
                  .acts = b->acts[mat->act],
                  .m = b->m,
                  .out = b->out,
                  .out_stride = N};
    mat->gemm(b->type, &a);
}

// Multiply-adds per second on n rows in the cache.
static double time_cached(const Bench *b, int n) {
    double best = 0;
    double begin = limit_clock();
    call(b, b->stream, n);
    do {
        double start = limit_clock();
        int calls = 0;
        while (limit_clock() - start < 2e-3 || calls == 0) {
            call(b, b->stream, n);
            calls++;
        }
        best = fmax(best, (double)calls * n * K * b->m / (limit_clock() - start));
    } while (limit_clock() - begin < 15e-3);
    return best;
}

// The same, each matrix of N rows touched once a walk. For many rows a part of the walk is enough.
static double time_streamed(const Bench *b) {
    size_t matrix_bytes = b->panel_bytes * (N / 16), total = (size_t)STREAM_MB << 20;
    double best = 0;
    for (int round = 0; round < 2; round++) {
        double start = limit_clock();
        double macs = 0;
        for (size_t at = 0; at + matrix_bytes <= total; at += matrix_bytes) {
            call(b, b->stream + at, N);
            macs += (double)N * K * b->m;
            if (limit_clock() - start > 30e-3) break;
        }
        best = fmax(best, macs / (limit_clock() - start));
    }
    return best;
}

// One panel of random weights, repeated over the whole stream.
static void fill_stream(Bench *b) {
    Rng rng = {b->type};
    size_t row_bytes = weight_row_bytes(b->type, K), total = (size_t)STREAM_MB << 20;
    uint8_t *rows = alloc(row_bytes * 16);
    rand_weights(&rng, b->type, WEIGHTS_RANDOM, 16, K, rows);
    const MatKernel *mat = &b->kernels->mat[b->type];
    b->panel_bytes = mat->panel_bytes(b->type, K);
    mat->pack(b->type, rows, 16, K, b->stream);
    for (size_t at = b->panel_bytes; at + b->panel_bytes <= total; at += b->panel_bytes)
        memcpy(b->stream + at, b->stream, b->panel_bytes);
    free(rows);
}

static double scalar_rate(const Bench *b) {
    Bench s = *b;
    s.kernels = kernels_get(CPU_SCALAR);
    s.stream = alloc(s.kernels->mat[s.type].panel_bytes(s.type, K));
    uint8_t *rows = alloc(weight_row_bytes(s.type, K) * 16);
    Rng rng = {s.type};
    rand_weights(&rng, s.type, WEIGHTS_RANDOM, 16, K, rows);
    s.kernels->mat[s.type].pack(s.type, rows, 16, K, s.stream);
    double start = limit_clock();
    call(&s, s.stream, 16);
    double rate = 16.0 * K * s.m / (limit_clock() - start);
    free(rows);
    free(s.stream);
    return rate;
}

static void bench_type(Bench *b) {
    double limit = weight_is_float(b->type) ? b->fma_macs : b->int8_macs;
    fill_stream(b);
    for (size_t i = 0; i < sizeof some_m / sizeof *some_m; i++) {
        b->m = some_m[i];
        double cached = time_cached(b, CACHED_ROWS), streamed = time_streamed(b);
        double bytes = streamed / b->m * (double)b->panel_bytes / (16.0 * K);
        printf("%-10s gemm %-7s %4d %8.1f %5.0f%% %9.1f %7.2f %5.0f%% %8.1f\n",
               cpu_rung_name(b->kernels->rung), weight_formats[b->type].name, b->m, cached * 1e-9,
               100 * cached / limit, streamed * 1e-9, bytes * 1e-9, 100 * bytes / b->bandwidth,
               cached / scalar_rate(b));
        fflush(stdout);
    }
}

// ---- the other kernels: nanoseconds per element ----

typedef struct Elem {
    float x[4096], w[4096], y[4096];
    void *tile;
    uint16_t *kv;
    int32_t blocks[64];
} Elem;

typedef void ElemCall(const Kernels *k, Elem *e);

static void call_q8_32(const Kernels *k, Elem *e) {
    k->act_write[ACT_Q8_32](e->x, 4096, 0, 4096, e->tile, 3);
}
static void call_q8_256(const Kernels *k, Elem *e) {
    k->act_write[ACT_Q8_256](e->x, 4096, 0, 4096, e->tile, 3);
}
static void call_norm(const Kernels *k, Elem *e) {
    k->rms_norm(e->x, e->w, 1e-5f, 4096, e->y);
}
static void call_silu(const Kernels *k, Elem *e) {
    k->silu_mul(e->y, e->w, 4096);
}
static void attention(const Kernels *k, Elem *e, KvType type, int n_q) {
    AttnArgs a = {.q = e->x,
                  .q_stride = 64,
                  .out = e->y,
                  .out_stride = 64,
                  .n_q = n_q,
                  .group = n_q,
                  .head_dim = 64,
                  .kv = e->kv,
                  .block_stride = 2048,
                  .blocks = e->blocks,
                  .n_keys = 1024};
    k->kv[type].attention(&a);
}
static void call_attention_1(const Kernels *k, Elem *e) {
    attention(k, e, KV_F16, 1);
}
static void call_attention_8(const Kernels *k, Elem *e) {
    attention(k, e, KV_F16, 8);
}
static void call_attention_q8_1(const Kernels *k, Elem *e) {
    attention(k, e, KV_Q8_0, 1);
}
static void call_attention_q8_8(const Kernels *k, Elem *e) {
    attention(k, e, KV_Q8_0, 8);
}

static double time_elem(const Kernels *k, Elem *e, ElemCall *elem) {
    double best = INFINITY;
    double begin = limit_clock();
    do {
        memcpy(e->y, e->x, sizeof e->y);
        double start = limit_clock();
        elem(k, e);
        best = fmin(best, (limit_clock() - start));
    } while (limit_clock() - begin < 20e-3);
    return best;
}

static void bench_elems(const Options *o, const Kernels *k) {
    static const struct {
        const char *name;
        ElemCall *elem;
        double units; // elements, or multiply-adds
    } table[] = {{"act_write q8_32", call_q8_32, 4096},
                 {"act_write q8_256", call_q8_256, 4096},
                 {"rms_norm", call_norm, 4096},
                 {"silu_mul", call_silu, 4096},
                 {"attention 1 x 1024 keys", call_attention_1, 2.0 * 64 * 1024},
                 {"attention 8 x 1024 keys", call_attention_8, 2.0 * 64 * 1024 * 8},
                 {"attention 1 x 1024 q8_0", call_attention_q8_1, 2.0 * 64 * 1024},
                 {"attention 8 x 1024 q8_0", call_attention_q8_8, 2.0 * 64 * 1024 * 8}};
    Rng rng = {7};
    Elem *e = alloc(sizeof *e);
    e->tile = alloc(act_tile_bytes(ACT_Q8_32, 4096) + act_tile_bytes(ACT_Q8_256, 4096));
    e->kv = alloc(2 * 64 * 2048);
    rand_row(&rng, ROW_NORMAL, e->x, 4096);
    rand_row(&rng, ROW_NORMAL, e->w, 4096);
    for (int i = 0; i < 64; i++) e->blocks[i] = i;
    for (int i = 0; i < 64 * 2048; i++) e->kv[i] = float_to_half(rand_normal(&rng));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (o->only && !strstr(table[i].name, o->only)) continue;
        double seconds = time_elem(k, e, table[i].elem);
        double scalar = time_elem(kernels_get(CPU_SCALAR), e, table[i].elem);
        printf("%-10s %-26s %8.2f G/s %8.1f x scalar\n", cpu_rung_name(k->rung), table[i].name,
               table[i].units / seconds * 1e-9, scalar / seconds);
    }
    free(e->kv);
    free(e->tile);
    free(e);
}

static void bench_rung(const Options *o, Bench *b) {
    b->int8_macs = limit_macs_rate(LIMIT_INT8, b->kernels->rung);
    b->fma_macs = limit_macs_rate(LIMIT_FLOAT, b->kernels->rung);
    printf("\n%s: limits of one core now: int8 %.0f GMAC/s, float %.0f GMAC/s, reading %.1f GB/s\n",
           cpu_rung_name(b->kernels->rung), b->int8_macs * 1e-9, b->fma_macs * 1e-9, b->bandwidth * 1e-9);
    bench_elems(o, b->kernels);
    printf("%-10s %-12s %4s %8s %6s %9s %7s %6s %8s\n", "rung", "kernel", "m", "cached", "of", "streamed",
           "weights", "of", "x scalar");
    printf("%-10s %-12s %4s %8s %6s %9s %7s %6s %8s\n", "", "", "", "GMAC/s", "limit", "GMAC/s", "GB/s",
           "limit", "");
    for (int type = 0; type < N_WEIGHT_TYPES; type++) {
        if (o->only && !strstr(weight_formats[type].name, o->only)) continue;
        b->type = (WeightType)type;
        bench_type(b);
    }
}

void bench_run(const Options *o) {
    Rng rng = {o->seed};
    Bench b = {.stream = alloc_stream(), .out = alloc(4 * (size_t)MAX_M * N)};
    float x[K];
    for (int format = 0; format < N_ACT_FORMATS; format++) {
        size_t tile = act_tile_bytes((ActFormat)format, K);
        b.acts[format] = alloc(tile * (MAX_M / ACT_TILE_ROWS));
        for (int r = 0; r < MAX_M; r++) {
            rand_row(&rng, ROW_NORMAL, x, K);
            kernels_get(CPU_SCALAR)
                ->act_write[format](x, K, 0, K, (char *)b.acts[format] + tile * (size_t)(r / ACT_TILE_ROWS),
                                    r % ACT_TILE_ROWS);
        }
    }
    b.bandwidth = limit_read_rate(b.stream, (size_t)STREAM_MB << 20);
    for (int rung = CPU_SCALAR + 1; rung < CPU_N_RUNGS; rung++) {
        if (!cpu_has_rung((CpuRung)rung)) continue;
        if (o->rung >= 0 && o->rung != rung) continue;
        b.kernels = kernels_get((CpuRung)rung);
        bench_rung(o, &b);
    }
    for (int format = 0; format < N_ACT_FORMATS; format++) free(b.acts[format]);
    free(b.out);
    free(b.stream);
}
