// The kernel checker: every kernel of every rung against the scalar one and against doubles.
//
// A check is one `Case`: a rung, a kernel, a weight type (where there is one) and a group of inputs.
// Its body draws all inputs from the case's own generator, which is seeded from the run's seed and
// the case's name, so that `kcheck --only NAME SEED` replays exactly one case. Bodies run under
// sigsetjmp: a crash is a failure that names the case and the parameters it had reached.
//
// Memory that kernels see comes from guard_new(): it ends at an unmapped page, and the bytes in
// front of it are watched. What a kernel may only read is frozen (mapped read-only) first.
#ifndef CLLM_TESTS_KCHECK_H
#define CLLM_TESTS_KCHECK_H

#include "base/rng.h"
#include "kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Options {
    const char *only; // part of a name, or a glob; NULL for all
    int rung;         // -1 for all
    uint64_t seed;
    bool bench;
} Options;

typedef struct Case {
    const char *name;
    const Kernels *kernels, *scalar;
    WeightType type;
    ActFormat format;
    Rng rng;
    uint64_t seed;
    char params[200]; // where the body is; part of every failure's line
    int n_failures;
} Case;

typedef void CaseBody(Case *c);

typedef struct Session {
    Options options;
    int n_passed, n_failed;
} Session;

// Runs one case (unless the options leave it out) and counts it.
void session_run(Session *s, const Kernels *kernels, int type, int format, const char *kernel,
                 const char *group, CaseBody *body);

void case_at(Case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// A failure of the case. Only the first few are printed; all make the case fail.
void case_fail(Case *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Bit equality of floats, any NaN being equal to any other.
bool same_bits(float a, float b);
// Compares n floats and reports the first that differs.
bool case_same(Case *c, const char *what, const float *want, const float *got, size_t n);
bool case_same_bytes(Case *c, const char *what, const void *want, const void *got, size_t n);

// ---- guard.c ----

// `bytes` of writable garbage ending at an unmapped page. 64-byte aligned if bytes is a multiple of 64.
void *guard_new(Case *c, size_t bytes);
void guard_freeze(const void *p); // read-only from now on
void guard_release(Case *c);      // checks the bytes in front of each, unmaps all

// ---- rand.c ----

int rand_int(Rng *r, int low, int high); // inclusive
float rand_normal(Rng *r);               // mean 0, variance 1, roughly normal
void rand_bytes(Rng *r, void *p, size_t n);

typedef enum RowStyle {
    ROW_NORMAL,
    ROW_ZERO,
    ROW_PLUS,
    ROW_MINUS,
    ROW_ALTERNATE,
    ROW_HALF, // about half of the largest: sums of |q| on both sides of what 16-bit products bear
    ROW_OUTLIER,
    ROW_SMALL,
    ROW_LARGE,
    ROW_MIXED,
    N_ROW_STYLES,
    ROW_SUBNORMAL = N_ROW_STYLES, // extremes that only act_write is asked about
    ROW_HUGE
} RowStyle;

// n floats. PLUS, MINUS and ALTERNATE all quantise to +-127.
void rand_row(Rng *r, RowStyle style, float *x, int n);

typedef enum WeightStyle {
    WEIGHTS_RANDOM,
    WEIGHTS_BITS_0,
    WEIGHTS_BITS_1,
    WEIGHTS_80,
    WEIGHTS_7F,
    WEIGHTS_EXTREME_D,
    WEIGHTS_SUBNORMAL_D,
    N_WEIGHT_STYLES,
    WEIGHTS_NONFINITE_D = N_WEIGHT_STYLES
} WeightStyle;

// Rows of k weights as a file holds them: valid blocks.
void rand_weights(Rng *r, WeightType type, WeightStyle style, int n_rows, int k, uint8_t *rows);

// ---- oracle.c ----

// The scales, quants and minima of a block, decoded straight from the documented layout in doubles:
// element i is scale[i / sub] * quant[i] + minimum[i / sub]. For floats, quant holds the values.
typedef struct OracleBlock {
    double scale[16], minimum[16];
    double quant[256];
    int sub;
} OracleBlock;
void oracle_block(WeightType type, const uint8_t *block, OracleBlock *out);
double oracle_half(uint16_t h);

// ---- the checks; each registers all its cases for one rung ----

void check_gemm(Session *s, const Kernels *k);
void check_acts(Session *s, const Kernels *k);
void check_elem(Session *s, const Kernels *k);
void check_attn(Session *s, const Kernels *k);
void check_formats(Session *s); // not of a rung: decoders, half precision, exp

// ---- bench.c ----

void bench_run(const Options *o);

#endif
