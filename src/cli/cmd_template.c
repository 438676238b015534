// cllm template: shows the prompt that a conversation becomes.
//
// The variables are what a chat template sees: {"messages": […], "add_generation_prompt": true, …}.
// Only the metadata of a model file is read.
#include "cli/commands.h"

#include "base/file.h"
#include "chat/template.h"
#include "cli/fetch.h"
#include "cli/json_file.h"
#include "gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>

// ---- input and output

static ChatTemplate *template_of_file(const char *path, Err *err) {
    Buf source = {0};
    ChatTemplate *t = file_read(path, 0, &source, err) ? chat_template_parse(buf_str(&source), err) : NULL;
    buf_free(&source);
    return t;
}

static ChatTemplate *template_of_model(const char *path, Err *err) {
    Str source;
    ChatTemplate *t = NULL;
    Gguf *g = gguf_open(path, err);
    if (!g) return NULL;
    if (gguf_get_str(g, "tokenizer.chat_template", &source))
        t = chat_template_parse(source, err);
    else
        err_set(err, ERR_NOT_FOUND, "%s carries no chat template (key tokenizer.chat_template)", path);
    gguf_close(g);
    return t;
}

static bool print(const Buf *b, Err *err) {
    fwrite(b->ptr ? b->ptr : "", 1, b->len, stdout);
    return output_is_written(err);
}

// ---- one conversation

static bool render_one(const Options *o, Err *err) {
    Buf out = {0};
    json_t *vars = NULL;
    ChatTemplate *t = o->template[0] ? template_of_file(o->template, err) : template_of_model(o->model, err);
    bool ok = t && (vars = json_file_read(o->vars[0] ? o->vars : NULL, JSON_ALLOW_NUL, err)) &&
              chat_template_render(t, vars, &out, err) && print(&out, err);
    buf_free(&out);
    json_decref(vars);
    chat_template_free(t);
    return ok;
}

// ---- many

static bool render_case(json_t *item, Buf *out, Err *err) {
    json_t *source = json_object_get(item, "template");
    json_t *vars = json_object_get(item, "vars");
    if (!json_is_string(source) || !json_is_object(vars))
        return err_set(err, ERR_INVALID, "a line needs \"template\" (text) and \"vars\" (object)");
    Str s = {json_string_value(source), json_string_length(source)};
    ChatTemplate *t = chat_template_parse(s, err);
    bool ok = t && chat_template_render(t, vars, out, err);
    chat_template_free(t);
    return ok;
}

static bool render_line(const char *line, size_t len, Buf *answer) {
    Err err = {0};
    json_error_t why;
    Buf out = {0};
    json_t *item = json_loadb(line, len, JSON_ALLOW_NUL, &why);
    bool ok = item ? render_case(item, &out, &err) : err_set(&err, ERR_INVALID, "not JSON: %s", why.text);
    Str text = ok ? buf_str(&out) : str_from(err.msg);
    json_t *result = json_pack("{sbss%}", "ok", ok, ok ? "text" : "error", text.ptr, text.len);
    char *dump = result ? json_dumps(result, JSON_COMPACT) : NULL;
    buf_puts(answer, dump ? dump : "{\"ok\":false,\"error\":\"the result is not valid UTF-8\"}");
    buf_putc(answer, '\n');
    free(dump);
    json_decref(result);
    json_decref(item);
    buf_free(&out);
    return !answer->failed;
}

static bool render_lines(Err *err) {
    char *line = NULL;
    size_t cap = 0;
    Buf answer = {0};
    bool ok = true;
    for (ssize_t n; ok && (n = getline(&line, &cap, stdin)) > 0;) {
        buf_clear(&answer);
        ok = render_line(line, (size_t)n, &answer) || err_set(err, ERR_NOMEM, "out of memory");
        ok = ok && print(&answer, err);
    }
    buf_free(&answer);
    free(line);
    return ok;
}

static bool check(const Options *o, Err *err) {
    bool model = o->source[OPTION_model] == SOURCE_FLAG; // one of the environment gives way to --template
    if (o->batch && (model || o->template[0] || o->vars[0]))
        return err_set(err, ERR_INVALID, "--batch reads everything from stdin");
    if (!o->batch && (o->template[0] ? model : !o->model[0]))
        return err_set(err, ERR_INVALID, "give one of --model MODEL and --template FILE");
    return true;
}

static bool run(Options *o, int *code, Err *err) {
    LibraryModel model;
    bool in_library;
    if (!check(o, err)) {
        *code = EXIT_USAGE;
        return false;
    }
    if (o->batch) return render_lines(err);
    return model_name_find(o, &model, &in_library, err) && render_one(o, err);
}

int cmd_template(int argc, char **argv) {
    return command_main(COMMAND_TEMPLATE, argc, argv, run);
}
