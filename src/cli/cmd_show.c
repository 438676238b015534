// `cllm show`: what a model is, and where it comes from.
#include "cli/commands.h"

#include "cli/fetch.h"
#include "cli/gguf_summary.h"
#include "gguf/quantization.h"
#include "model/arch.h"
#include "model/kv_store.h"

typedef struct Shown {
    const Gguf *gguf;
    const ModelRecord *record; // NULL: none
    HyperParams hp;
    bool runnable, has_template;
    Err why_not;
} Shown;

static void put_line(Buf *out, const char *label, const char *value) {
    buf_printf(out, "%-14s", label);
    gguf_put_text(out, str_from(value[0] ? value : "(not given)"), 200);
    buf_putc(out, '\n');
}

// Bytes that the keys and values of a token take.
static size_t kv_bytes(const Shown *s, KvType type) {
    return kv_store_token_bytes(&(KvShape){type, s->hp.n_layers, s->hp.n_kv_heads, s->hp.head_dim});
}

static bool print_text(const Shown *s, Err *err) {
    Buf out = {0};
    gguf_put_summary(&out, s->gguf);
    put_line(&out, "type", quantization_name(s->gguf));
    if (s->runnable)
        buf_printf(&out,
                   "context       %d tokens\nKV memory     %zu bytes a token, %zu with --kv-type q8_0\n",
                   s->hp.context, kv_bytes(s, KV_F16), kv_bytes(s, KV_Q8_0));
    buf_printf(&out, "chat template %s\n", s->has_template ? "yes" : "no");
    put_line(&out, "runnable", s->runnable ? "yes" : s->why_not.msg);
    if (s->record) {
        put_line(&out, "source", s->record->source);
        put_line(&out, "licence", s->record->licence);
        buf_printf(&out, "SHA-256       %s%s\n", s->record->sha256,
                   s->record->verified ? ", as the source says" : "");
        put_line(&out, "fetched", s->record->fetched);
    }
    bool ok = !out.failed;
    if (ok) fwrite(out.ptr, 1, out.len, stdout);
    buf_free(&out);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

static bool add_record(json_t *object, const ModelRecord *r) {
    json_t *record = r ? json_pack("{s:s, s:s, s:s, s:b, s:s}", "source", r->source, "licence", r->licence,
                                   "sha256", r->sha256, "verified", r->verified, "fetched", r->fetched)
                       : json_null();
    return json_object_set_new(object, "record", record) == 0;
}

static bool print_json(const Shown *s, Err *err) {
    json_t *object = gguf_json_summary(s->gguf);
    json_t *more = json_pack("{s:s, s:b, s:b}", "type", quantization_name(s->gguf), "runnable", s->runnable,
                             "chat_template", s->has_template);
    bool ok = object && more && json_object_update(object, more) == 0 && add_record(object, s->record);
    if (ok && s->runnable)
        ok = json_object_set_new(object, "context", json_integer(s->hp.context)) == 0 &&
             json_object_set_new(object, "kv_bytes_per_token",
                                 json_pack("{s:I, s:I}", "f16", (json_int_t)kv_bytes(s, KV_F16), "q8_0",
                                           (json_int_t)kv_bytes(s, KV_Q8_0))) == 0;
    if (ok) ok = json_dumpf(object, stdout, JSON_INDENT(2)) == 0;
    if (ok) putchar('\n');
    json_decref(more);
    json_decref(object);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

static bool show(Options *o, int *code, Err *err) {
    LibraryModel model;
    bool in_library;
    if (!o->model[0]) {
        *code = EXIT_USAGE;
        return err_set(err, ERR_INVALID, "the model to show is missing; `cllm list` has names");
    }
    if (!model_name_find(o, &model, &in_library, err)) return false;
    Gguf *g = gguf_open(o->model, err);
    if (!g) return false;
    Shown s = {.gguf = g,
               .record = in_library && model.recorded ? &model.record : NULL,
               .has_template = gguf_has(g, "tokenizer.chat_template")};
    s.runnable = hyper_params_read(g, &s.hp, &s.why_not);
    bool ok = o->json ? print_json(&s, err) : print_text(&s, err);
    gguf_close(g);
    return ok;
}

int cmd_show(int argc, char **argv) {
    return command_main(COMMAND_SHOW, argc, argv, show);
}
