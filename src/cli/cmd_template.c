// cllm template: shows the prompt that a conversation becomes.
//
// The variables are what a chat template sees: {"messages": […], "add_generation_prompt": true, …}.
// Only the metadata of a model file is read.
#include "cli/commands.h"

#include "base/buf.h"
#include "chat/template.h"
#include "gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Args {
    const char *model, *template, *vars;
    bool batch, help;
} Args;

static const char usage[] =
    "Usage: cllm template --model FILE [--vars FILE.json]\n"
    "       cllm template --template FILE [--vars FILE.json]\n"
    "       cllm template --batch < LINES\n"
    "\n"
    "Renders a conversation with a chat template and prints the prompt.\n"
    "\n"
    "  --model FILE     use the template that this model file carries\n"
    "  --template FILE  use this Jinja template\n"
    "  --vars FILE      a JSON object with the variables: messages, add_generation_prompt, tools,\n"
    "                   bos_token, …; without it they are read from stdin\n"
    "  --batch          read lines {\"template\": \"…\", \"vars\": {…}} and print for each a line\n"
    "                   {\"ok\": true, \"text\": \"…\"} or {\"ok\": false, \"error\": \"…\"}\n"
    "  --help           this text\n";

// ---- arguments

static bool parse_args(int argc, char **argv, Args *a, Err *err) {
    const struct {
        const char *name;
        const char **value;
    } options[] = {{"--model", &a->model}, {"--template", &a->template}, {"--vars", &a->vars}};
    for (int i = 1; i < argc; i++) {
        bool found = true;
        if (!strcmp(argv[i], "--batch"))
            a->batch = true;
        else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            a->help = true;
        else
            found = false;
        for (size_t k = 0; k < sizeof options / sizeof *options && !found; k++) {
            if (strcmp(argv[i], options[k].name) != 0) continue;
            if (++i == argc) return err_set(err, ERR_INVALID, "%s needs a file", options[k].name);
            *options[k].value = argv[i];
            found = true;
        }
        if (!found) return err_set(err, ERR_INVALID, "unknown argument '%s'", argv[i]);
    }
    if (a->help) return true;
    if (a->batch && (a->model || a->template || a->vars))
        return err_set(err, ERR_INVALID, "--batch reads everything from stdin");
    if (!a->batch && !a->model == !a->template)
        return err_set(err, ERR_INVALID, "give one of --model FILE and --template FILE");
    return true;
}

// ---- input and output

static bool read_file(const char *path, Buf *out, Err *err) {
    char piece[4096];
    FILE *f = fopen(path, "rb");
    if (!f) return err_set(err, ERR_IO, "cannot open %s", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_put(out, (Str){piece, n});
    bool ok = !ferror(f);
    fclose(f);
    if (!ok) return err_set(err, ERR_IO, "cannot read %s", path);
    return !out->failed || err_set(err, ERR_NOMEM, "out of memory for %s", path);
}

static ChatTemplate *template_of_file(const char *path, Err *err) {
    Buf source = {0};
    ChatTemplate *t = read_file(path, &source, err) ? chat_template_parse(buf_str(&source), err) : NULL;
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

static json_t *read_vars(const char *path, Err *err) {
    json_error_t why;
    json_t *vars =
        path ? json_load_file(path, JSON_ALLOW_NUL, &why) : json_loadf(stdin, JSON_ALLOW_NUL, &why);
    if (!vars) err_set(err, ERR_INVALID, "%s, line %d: %s", path ? path : "stdin", why.line, why.text);
    return vars;
}

static bool print(const Buf *b, Err *err) {
    bool written = fwrite(b->ptr ? b->ptr : "", 1, b->len, stdout) == b->len && fflush(stdout) == 0;
    return written || err_set(err, ERR_IO, "cannot write the output");
}

// ---- one conversation

static bool render_one(const Args *a, Err *err) {
    Buf out = {0};
    json_t *vars = NULL;
    ChatTemplate *t = a->model ? template_of_model(a->model, err) : template_of_file(a->template, err);
    bool ok =
        t && (vars = read_vars(a->vars, err)) && chat_template_render(t, vars, &out, err) && print(&out, err);
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

int cmd_template(int argc, char **argv) {
    Args a = {0};
    Err err = {0};
    if (!parse_args(argc, argv, &a, &err)) {
        fprintf(stderr, "cllm: template: %s (see cllm template --help)\n", err.msg);
        return 2;
    }
    if (a.help) {
        fputs(usage, stdout);
        return 0;
    }
    if (a.batch ? render_lines(&err) : render_one(&a, &err)) return 0;
    fprintf(stderr, "cllm: %s\n", err.msg);
    return 1;
}
