#include "harness.h"

#include "constrain/grammar_store.h"
#include "constrain/token_trie.h"
#include "text/tiny_vocab.h"

#include <pthread.h>
#include <stdio.h>

typedef struct Shop {
    TinyVocab vocab;
    GrammarStore *store;
    int32_t end;
} Shop;

static void shop_open(Shop *s) {
    *s = (Shop){0};
    tiny_english(&s->vocab);
    assert_non_null(tiny_open_bpe(&s->vocab, "gpt-2", NULL));
    s->store = grammar_store_new(s->vocab.tokenizer, NULL);
    s->end = tokenizer_find(s->vocab.tokenizer, STR("<|im_end|>"));
    assert_non_null(s->store);
}

static void shop_close(Shop *s) {
    grammar_store_free(s->store);
    tiny_close(&s->vocab);
}

static GrammarSpec gbnf(const char *text) {
    return (GrammarSpec){.kind = GRAMMAR_GBNF, .text = str_from(text)};
}

static SharedGrammar *get(const Shop *s, GrammarSpec spec) {
    Err err = {0};
    SharedGrammar *g = grammar_store_get(s->store, &spec, &err);
    if (!g) fail_msg("%s", err.msg);
    return g;
}

static Constraint *constrain(SharedGrammar *g) {
    Constraint *c = shared_grammar_constraint(g, NULL);
    assert_non_null(c);
    return c;
}

static bool allows(Constraint *c, int32_t token) {
    const uint64_t *mask = c->ops->mask(c);
    return mask && bits_has(mask, token);
}

static void test_a_request(void **state) {
    (void)state;
    Shop s;
    shop_open(&s);
    SharedGrammar *g = get(&s, gbnf("root ::= \"hello\" \"!\"?"));
    Constraint *c = constrain(g);
    shared_grammar_release(g);
    assert_true(allows(c, 'h') && !allows(c, 'e') && !allows(c, s.end));
    int32_t hello = tokenizer_find(s.vocab.tokenizer, STR("hello")), guess[4];
    assert_int_equal(c->ops->guess(c, guess, 4), 1);
    assert_int_equal(guess[0], hello);
    assert_true(allows(c, hello));
    c->ops->accept(c, hello);
    assert_true(allows(c, '!') && allows(c, s.end) && !c->ops->is_done(c));
    assert_int_equal(c->ops->guess(c, guess, 4), 0);
    c->ops->accept(c, '!');
    assert_true(c->ops->is_done(c) && allows(c, s.end) && !allows(c, '!'));
    constraint_free(c);
    shop_close(&s);
}

// What one request has had is as new for the next.
static void test_used_again(void **state) {
    (void)state;
    Shop s;
    shop_open(&s);
    SharedGrammar *g = get(&s, gbnf("root ::= \"ab\"")), *same = get(&s, gbnf("root ::= \"ab\""));
    assert_ptr_equal(g, same);
    Constraint *c = constrain(g), *other = constrain(g);
    assert_ptr_not_equal(c, other);
    c->ops->accept(c, (allows(c, 'a'), 'a'));
    constraint_free(c);
    Constraint *again = constrain(g);
    assert_ptr_equal(again, c);
    assert_true(allows(again, 'a') && !allows(again, 'b'));
    constraint_free(again);
    constraint_free(other);
    shared_grammar_release(g);
    shared_grammar_release(same);
    shop_close(&s);
}

static void test_kinds(void **state) {
    (void)state;
    Shop s;
    shop_open(&s);
    json_t *choice = json_pack("[s, s]", "he", "a"), *schema = json_pack("{s:s}", "type", "null");
    const struct {
        GrammarSpec spec;
        char first, not_first;
    } cases[] = {{{.kind = GRAMMAR_REGEX, .text = STR("[xy]z")}, 'x', 'z'},
                 {{.kind = GRAMMAR_CHOICE, .value = choice}, 'h', 'e'},
                 {{.kind = GRAMMAR_SCHEMA, .value = schema}, 'n', '{'},
                 {{.kind = GRAMMAR_JSON_OBJECT}, '{', '['}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SharedGrammar *g = get(&s, cases[i].spec);
        Constraint *c = constrain(g);
        assert_true(allows(c, cases[i].first) && !allows(c, cases[i].not_first));
        constraint_free(c);
        shared_grammar_release(g);
    }
    json_decref(choice);
    json_decref(schema);
    shop_close(&s);
}

static void test_refused(void **state) {
    (void)state;
    Shop s;
    Err err = {0};
    shop_open(&s);
    assert_null(
        grammar_store_get(s.store, &(GrammarSpec){.kind = GRAMMAR_GBNF, .text = STR("root ::= (")}, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(grammar_store_get(s.store, &(GrammarSpec){.kind = GRAMMAR_CHOICE}, &err));
    shop_close(&s);
}

// Far more grammars and idle constraints than are kept, some of them in use all the while.
static void test_many(void **state) {
    (void)state;
    Shop s;
    shop_open(&s);
    SharedGrammar *held[10];
    Constraint *used[10];
    for (int i = 0; i < 300; i++) {
        char text[64];
        snprintf(text, sizeof text, "root ::= \"%c\" \"%d\"", 'a' + i % 10, i);
        SharedGrammar *g = get(&s, gbnf(text));
        Constraint *c = constrain(g);
        assert_true(allows(c, 'a' + i % 10));
        if (i < 10) {
            held[i] = g;
            used[i] = c;
            continue;
        }
        constraint_free(c);
        shared_grammar_release(g);
    }
    for (int i = 0; i < 10; i++) {
        assert_true(allows(used[i], 'a' + i));
        constraint_free(used[i]);
        shared_grammar_release(held[i]);
    }
    shop_close(&s);
}

static void *many_requests(void *arg) {
    const Shop *s = arg;
    for (int i = 0; i < 200; i++) {
        char text[64];
        snprintf(text, sizeof text, "root ::= \"%c\"", 'a' + i % 7);
        GrammarSpec spec = gbnf(text);
        SharedGrammar *g = grammar_store_get(s->store, &spec, NULL);
        Constraint *c = g ? shared_grammar_constraint(g, NULL) : NULL;
        CHECK(c && allows(c, 'a' + i % 7) && !allows(c, 'a' + (i + 1) % 7));
        shared_grammar_release(g);
        constraint_free(c);
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    Shop s;
    pthread_t threads[3];
    shop_open(&s);
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, many_requests, &s), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    shop_close(&s);
}

SUITE(grammar_store, cmocka_unit_test(test_a_request), cmocka_unit_test(test_used_again),
      cmocka_unit_test(test_kinds), cmocka_unit_test(test_refused), cmocka_unit_test(test_many),
      cmocka_unit_test(test_threads))
