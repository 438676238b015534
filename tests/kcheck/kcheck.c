// Options, the running of cases, and the report.
#define _GNU_SOURCE
#include "kcheck.h"

#include "base/clock.h"
#include "kernels/half.h"

#include <fnmatch.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRINTED_FAILURES = 3 };

static sigjmp_buf crash_jump;
static volatile sig_atomic_t in_case;

static void on_crash(int sig) {
    if (!in_case) {
        signal(sig, SIG_DFL);
        raise(sig);
        return;
    }
    siglongjmp(crash_jump, sig);
}

static void catch_crashes(void) {
    struct sigaction sa = {.sa_handler = on_crash, .sa_flags = SA_NODEFER};
    const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &sa, NULL);
}

void case_at(Case *c, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->params, sizeof c->params, fmt, args);
    va_end(args);
}

void case_fail(Case *c, const char *fmt, ...) {
    if (++c->n_failures > PRINTED_FAILURES) return;
    va_list args;
    va_start(args, fmt);
    printf("FAIL %s [%s]: ", c->name, c->params);
    vprintf(fmt, args);
    printf("  (replay: kcheck --only '%s' %llu)\n", c->name, (unsigned long long)c->seed);
    va_end(args);
    fflush(stdout);
}

bool same_bits(float a, float b) {
    return float_bits(a) == float_bits(b) || (a != a && b != b);
}

bool case_same(Case *c, const char *what, const float *want, const float *got, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (same_bits(want[i], got[i])) continue;
        case_fail(c, "%s: element %zu is %a (%g), want %a (%g)", what, i, (double)got[i], (double)got[i],
                  (double)want[i], (double)want[i]);
        return false;
    }
    return true;
}

bool case_same_bytes(Case *c, const char *what, const void *want, const void *got, size_t n) {
    const uint8_t *a = want, *b = got;
    for (size_t i = 0; i < n; i++) {
        if (a[i] == b[i]) continue;
        case_fail(c, "%s: byte %zu is 0x%02x, want 0x%02x", what, i, b[i], a[i]);
        return false;
    }
    return true;
}

static uint64_t seed_of(uint64_t seed, const char *name) {
    uint64_t h = 0xCBF29CE484222325u ^ seed;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001B3u;
    return h;
}

static bool is_wanted(const Options *o, const char *name) {
    if (!o->only) return true;
    return strpbrk(o->only, "*?[") ? fnmatch(o->only, name, 0) == 0 : strstr(name, o->only) != NULL;
}

void session_run(Session *s, const Kernels *kernels, int type, int format, const char *kernel,
                 const char *group, CaseBody *body) {
    static const char *const formats[N_ACT_FORMATS] = {"f32", "q8_32", "q8_256"};
    char name[96];
    const char *variant = type >= 0 ? weight_formats[type].name : format >= 0 ? formats[format] : NULL;
    snprintf(name, sizeof name, "%s/%s%s%s/%s", kernels ? cpu_rung_name(kernels->rung) : "plain", kernel,
             variant ? "/" : "", variant ? variant : "", group);
    if (!is_wanted(&s->options, name)) return;
    Case c = {.name = name, .kernels = kernels, .scalar = kernels_get(CPU_SCALAR), .seed = s->options.seed};
    c.type = type >= 0 ? (WeightType)type : WEIGHT_F32;
    c.format = format >= 0 ? (ActFormat)format : ACT_F32;
    c.rng.state = seed_of(s->options.seed, strchr(name, '/')); // every rung sees the same data
    int sig = sigsetjmp(crash_jump, 1);
    if (sig == 0) {
        in_case = 1;
        body(&c);
    } else {
        case_fail(&c, "killed by signal %d (%s)", sig, strsignal(sig));
    }
    in_case = 0;
    guard_release(&c);
    if (c.n_failures > PRINTED_FAILURES) printf("FAIL %s: %d failures in all\n", name, c.n_failures);
    s->n_failed += c.n_failures > 0;
    s->n_passed += c.n_failures == 0;
}

static int usage(void) {
    fprintf(stderr, "usage: kcheck [--cpu scalar|avx2|…] [--only PATTERN] [--bench] [SEED]\n"
                    "PATTERN is part of a name RUNG/KERNEL/TYPE/GROUP, or a glob over all of it.\n");
    return 2;
}

static bool parse(int argc, char **argv, Options *o) {
    *o = (Options){.rung = -1, .seed = 1};
    for (int i = 1; i < argc; i++) {
        CpuRung rung;
        char *end;
        if (strcmp(argv[i], "--bench") == 0) {
            o->bench = true;
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            o->only = argv[++i];
        } else if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc) {
            if (!cpu_rung_parse(argv[++i], &rung)) return false;
            o->rung = (int)rung;
        } else {
            o->seed = strtoull(argv[i], &end, 10);
            if (*end || end == argv[i]) return false;
        }
    }
    return true;
}

static void check_all(Session *s) {
    if (s->options.rung < 0) check_formats(s);
    for (int rung = 0; rung < CPU_N_RUNGS; rung++) {
        if (!cpu_has_rung((CpuRung)rung) || (s->options.rung >= 0 && s->options.rung != rung)) continue;
        const Kernels *k = kernels_get((CpuRung)rung);
        check_acts(s, k);
        check_elem(s, k);
        check_attn(s, k);
        check_gemm(s, k);
    }
}

int main(int argc, char **argv) {
    Session s = {0};
    if (!parse(argc, argv, &s.options)) return usage();
    if (s.options.rung >= 0 && !cpu_has_rung((CpuRung)s.options.rung)) {
        fprintf(stderr, "kcheck: this CPU has no %s\n", cpu_rung_name((CpuRung)s.options.rung));
        return 2;
    }
    if (s.options.bench) {
        bench_run(&s.options);
        return 0;
    }
    catch_crashes();
    int64_t start = clock_now_ns();
    printf("kcheck: seed %llu, rungs up to %s\n", (unsigned long long)s.options.seed,
           cpu_rung_name(cpu_best_rung()));
    check_all(&s);
    printf("kcheck: %.1f s\n", clock_seconds(clock_now_ns() - start));
    printf("%d passed, %d failed\n", s.n_passed, s.n_failed);
    return s.n_failed > 0 || s.n_passed == 0;
}
