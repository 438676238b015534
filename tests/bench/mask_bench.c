// How long masks take over a real vocabulary: for each grammar, random texts are walked token by token as a
// constrained request would, and each mask is timed. The first column is a cold start (nothing remembered),
// the second a mask that had to be computed later, the third the longest of the pieces in which masks are
// computed, the last what a step costs on average.
//
//     mask_bench MODEL.gguf [seed [name of one grammar]]
#include "base/clock.h"
#include "base/rng.h"
#include "constrain/gbnf.h"
#include "constrain/json_schema.h"
#include "constrain/token_mask.h"

#include <stdio.h>
#include <stdlib.h>

static const char json_grammar[] =
    "root ::= object\n"
    "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"
    "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? ws \"}\"\n"
    "array ::= \"[\" ws (value (\",\" ws value)*)? ws \"]\"\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4}))* \"\\\"\"\n"
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]+)? ([eE] [+-]? [0-9]{1,3})?\n"
    "ws ::= (\" \" | \"\\n\" [ \\t]{0,20})?\n";

static const char record_schema[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":100},\"age\":{\"type\":\"integer\","
    "\"minimum\":0,\"maximum\":130},\"born\":{\"type\":\"string\",\"format\":\"date\"},\"email\":{\"type\":\"string\","
    "\"format\":\"email\"},\"kind\":{\"enum\":[\"person\",\"company\",null]},\"notes\":{\"type\":\"array\",\"items\":"
    "{\"type\":\"string\"},\"maxItems\":9},\"score\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},\"parent\":"
    "{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}},\"required\":[\"name\",\"age\",\"notes\"]}";

typedef struct Bench {
    const char *name, *grammar;
    const char *schema; // instead of a grammar
} Bench;

static const Bench benches[] = {
    {.name = "object", .schema = "{\"type\":\"object\"}"},
    {.name = "schema", .schema = record_schema},
    {.name = "json", .grammar = json_grammar},
    {.name = "record",
     .grammar =
         "root ::= \"{\\\"name\\\":\\\"\" c{1,100} \"\\\",\\\"age\\\":\" [1-9] [0-9]{0,2} \",\\\"notes\\\":[\" "
         "(\"\\\"\" c{0,200} \"\\\"\" (\",\\\"\" c{0,200} \"\\\"\"){0,9})? \"]}\"\n"
         "c ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" [\"\\\\nt]\n"},
    {.name = "choice", .grammar = "root ::= \"positive\" | \"negative\" | \"neutral\" | \"mixed\""},
    {.name = "text", .grammar = "root ::= .{1,2000}"},
    {.name = "words", .grammar = "root ::= [a-z]{1,12} (\" \" [a-z]{1,12}){0,200}"},
    {.name = "chess",
     .grammar =
         "root ::= (m \" \" m \"\\n\"){1,40}\nm ::= ([NBRQK]? [a-h]? [1-8]? \"x\"? [a-h] [1-8] | \"O-O\") [+#]?"},
    {.name = "pairs", .grammar = "root ::= ([a-zA-Z_]{1,16} \"=\" [0-9]{1,4} \";\"){1,20}"},
    {.name = "ambiguous", .grammar = "root ::= (\"a\" | \"b\" | \"ab\" | \"ba\" [a-z]{0,9} | [a-z]){0,500}"},
    {.name = "hostile", .grammar = "root ::= ([a-z]{1,300} ([a-z]{1,300} \" \"?){1,300}){1,300}"},
};

static int32_t random_token(Rng *rng, const uint64_t *bits, size_t n_words) {
    uint64_t n = 0;
    for (size_t w = 0; w < n_words; w++) n += (uint64_t)__builtin_popcountll(bits[w]);
    uint64_t nth = rng_next(rng) % n;
    for (size_t w = 0; w < n_words; w++) {
        uint64_t here = (uint64_t)__builtin_popcountll(bits[w]), left = bits[w];
        if (nth >= here) {
            nth -= here;
            continue;
        }
        while (nth-- > 0) left &= left - 1;
        return (int32_t)(w * 64) + __builtin_ctzll(left);
    }
    abort();
}

// Of this thread alone: other programs do not count.
static int64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

typedef struct Times {
    int64_t first, worst, piece, sum;
    int64_t n;
} Times;

// Piece by piece.
static const uint64_t *timed_bits(TokenMask *m, Times *t) {
    int64_t sum = 0, ns;
    for (bool ready = false; !ready; sum += ns) {
        int64_t before = cpu_ns();
        ready = token_mask_ready(m);
        ns = cpu_ns() - before;
        if (ns > t->piece) t->piece = ns;
    }
    int64_t before = cpu_ns();
    const uint64_t *bits = token_mask_bits(m);
    sum += cpu_ns() - before;
    if (t->n == 0)
        t->first = sum;
    else if (sum > t->worst)
        t->worst = sum;
    t->sum += sum;
    t->n++;
    return bits;
}

static void walk(TokenMask *m, const TokenTrie *trie, Rng *rng, Times *t) {
    token_mask_restart(m);
    for (int i = 0; i < 200 && !token_mask_is_done(m); i++) {
        const uint64_t *bits = timed_bits(m, t);
        if (!bits) return; // too ambiguous
        int32_t token = random_token(rng, bits, trie->n_words);
        if (token_trie_bytes(trie, token).len == 0) return; // an end token
        token_mask_accept(m, token);
    }
}

static void run(const TokenTrie *trie, const Bench *b, uint64_t seed) {
    Err err = {0};
    json_t *schema = b->schema ? json_loads(b->schema, 0, NULL) : NULL;
    Rules *rules = schema ? json_schema_rules(schema, &err) : gbnf_parse(str_from(b->grammar), &err);
    json_decref(schema);
    Grammar *g = rules ? grammar_compile(rules, &err) : NULL;
    TokenMask *m = g ? token_mask_new(trie, g, &err) : NULL;
    if (!m) {
        fprintf(stderr, "%s: %s\n", b->name, err.msg);
        exit(1);
    }
    Rng rng = {seed};
    Times t = {0};
    for (int i = 0; i < 30; i++) walk(m, trie, &rng, &t);
    printf("%-10s %8.1f %8.1f %8.1f %8.1f %8lld\n", b->name, (double)t.first * 1e-3, (double)t.worst * 1e-3,
           (double)t.piece * 1e-3, (double)t.sum * 1e-3 / (double)t.n, (long long)t.n);
    token_mask_free(m);
    grammar_free(g);
    rules_free(rules);
}

int main(int argc, char **argv) {
    Err err = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: mask_bench MODEL.gguf [seed [name]]\n");
        return 2;
    }
    Gguf *gguf = gguf_open(argv[1], &err);
    Tokenizer *t = gguf ? tokenizer_open(gguf, &err) : NULL;
    int64_t before = clock_now_ns();
    TokenTrie *trie = t ? token_trie_new(t, &err) : NULL;
    if (!trie) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("%d tokens, trie in %.0f ms\n", tokenizer_n_vocab(t), (double)(clock_now_ns() - before) * 1e-6);
    printf("%-10s %8s %8s %8s %8s %8s\n", "us", "first", "worst", "piece", "mean", "masks");
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++)
        if (argc < 4 || strcmp(argv[3], benches[i].name) == 0)
            run(trie, &benches[i], argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    token_trie_free(trie);
    tokenizer_free(t);
    gguf_close(gguf);
    return 0;
}
