// References to models taken apart, and names for the library: what is understood and what is refused.
#include "harness.h"

#include "library/hub.h"
#include "library/model_ref.h"

typedef struct Case {
    const char *text, *url, *repo, *revision, *path, *type, *name;
} Case;

static const Case cases[] = {
    {"qwen3-4b", "", "Qwen/Qwen3-4B-GGUF", "main", "", "Q4_K_M", "qwen3-4b"},
    {"qwen3-4b:q8_0", "", "Qwen/Qwen3-4B-GGUF", "main", "", "q8_0", "qwen3-4b-q8_0"},
    {"qwen3-4b:q4_k_m", "", "Qwen/Qwen3-4B-GGUF", "main", "", "q4_k_m", "qwen3-4b"},
    {"hf:a/b", "", "a/b", "main", "", "", ""},
    {"hf:a/b:Q4_0", "", "a/b", "main", "", "Q4_0", ""},
    {"hf:a/b@v1:Q4_0", "", "a/b", "v1", "", "Q4_0", ""},
    {"hf:a/b@v1/d/f.gguf", "", "a/b", "v1", "d/f.gguf", "", ""},
    {"hf:a/b/d/f.gguf", "", "a/b", "main", "d/f.gguf", "", ""},
    {"hf.co/a/b:Q4_0", "", "a/b", "main", "", "Q4_0", ""},
    {"https://huggingface.co/a/b", "", "a/b", "main", "", "", ""},
    {"https://huggingface.co/a/b/", "", "a/b", "main", "", "", ""},
    {"https://huggingface.co/a/b/tree/dev", "", "a/b", "dev", "", "", ""},
    {"https://huggingface.co/a/b/resolve/main/f.gguf?download=true", "", "a/b", "main", "f.gguf", "", ""},
    {"http://h/f.gguf", "http://h/f.gguf", "", "", "", "", ""},
    {"file:///f.gguf", "file:///f.gguf", "", "", "", "", ""},
};

static const char *const refused[] = {"",
                                      "qwen",
                                      "hf:",
                                      "hf:a",
                                      "hf:a/",
                                      "hf:/b",
                                      "hf:a/b@",
                                      "hf:a/b:",
                                      "hf:a/b/",
                                      "hf:a/b/../../c.gguf",
                                      "hf:a/b/c//d.gguf",
                                      "hf:a/b?c/d.gguf",
                                      "hf:a b\n/c",
                                      "gopher://h/f.gguf"};

static void test_references(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const Case *c = &cases[i];
        ModelRef r;
        Err err;
        if (!model_ref_parse(c->text, &r, &err)) fail_msg("%s: %s", c->text, err.msg);
        assert_string_equal(r.url, c->url);
        assert_string_equal(r.repo, c->repo);
        assert_string_equal(r.revision, c->revision);
        assert_string_equal(r.path, c->path);
        assert_string_equal(r.type, c->type);
        assert_string_equal(r.name, c->name);
    }
}

static void test_refused_references(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        ModelRef r;
        Err err = {0};
        if (model_ref_parse(refused[i], &r, &err)) fail_msg("'%s' was understood", refused[i]);
        assert_true(err.msg[0]);
    }
}

static void test_names(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"a/Qwen3-0.6B-Q8_0.gguf", "qwen3-0.6b-q8_0"},
                                           {"f.GGUF?download=true", "f"},
                                           {"../..//.hidden name.gguf", "hiddenname"},
                                           {"Modèle.gguf", "modle"},
                                           {"/", ""}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char name[MODEL_NAME_MAX + 1];
        model_name_of_path(pairs[i][0], name);
        assert_string_equal(name, pairs[i][1]);
        assert_true(!name[0] || model_name_valid(name));
    }
    assert_false(model_name_valid("") || model_name_valid(".x") || model_name_valid("a/b") ||
                 model_name_valid("A") || model_name_valid("a b") || model_name_valid("-x"));
}

// A hub's reply is as little to be trusted as anything else from outside.
static void test_odd_replies(void **state) {
    (void)state;
    static const char *const replies[] = {
        "",
        "{",
        "[]",
        "{\"siblings\": 1}",
        "{\"siblings\": []}",
        "{\"siblings\": [1, null, {}, {\"rfilename\": 7}, {\"rfilename\": \"\"}]}",
        "{\"siblings\": [{\"rfilename\": \"gguf\"}, {\"rfilename\": \"x.bin\"}]}"};
    ModelRef ref;
    HubFile file;
    assert_true(model_ref_parse("hf:a/b", &ref, NULL));
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
        if (hub_choose(str_from(replies[i]), "http://h", &ref, &file, NULL)) fail_msg("reply %zu", i);
    Err err;
    assert_false(hub_choose(STR("{}"), "http://ann:secret@h/x@y", &ref, &file, &err));
    assert_true(str_starts_with(str_from(err.msg), STR("http://h/x@y does not speak")));
    const char *odd =
        "{\"siblings\": [{\"rfilename\": \"a b.gguf\", \"size\": -5, \"lfs\": {\"sha256\": \"zz\"}}],"
        "\"cardData\": []}";
    assert_true(hub_choose(str_from(odd), "http://h", &ref, &file, NULL));
    assert_string_equal(file.url, "http://h/a/b/resolve/main/a%20b.gguf");
    assert_string_equal(file.sha256, "");
    assert_int_equal(file.size, 0);
}

SUITE(library_model_ref, cmocka_unit_test(test_references), cmocka_unit_test(test_refused_references),
      cmocka_unit_test(test_names), cmocka_unit_test(test_odd_replies))
