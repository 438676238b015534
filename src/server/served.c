#include "server/served.h"

#include "base/num.h"
#include "base/printable.h"

#include <stdio.h>

void served_init(Served *s, const ServerConfig *config, const ModelSpec *spec) {
    *s = (Served){.config = config, .spec = spec};
    snprintf(s->model_id, sizeof s->model_id, "%s", spec->id ? spec->id : "");
}

static Str file_stem(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    Str name = str_from(slash ? slash + 1 : path);
    if (name.len > 5 && str_eq(str_skip(name, name.len - 5), STR(".gguf"))) name.len -= 5;
    return name;
}

void served_id_of_name(Str name, char id[SERVED_MAX_ID]) {
    size_t n = num_min(name.len, SERVED_MAX_ID - 1);
    for (size_t i = 0; i < n; i++) id[i] = name.ptr[i] == ' ' ? '-' : name.ptr[i];
    id[n] = 0;
    make_printable(id);
}

static bool stands_in(Str part, const Str *texts, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_contains(texts[i], part)) return true;
    return false;
}

// The control tokens whose text is a part of some mark.
static bool find_marks(Served *s) {
    const ToolSyntax *syntax = tool_format_syntax(s->style.tools);
    const ReasoningMarks *thinking = s->style.reasoning;
    Str texts[TOOL_MAX_MARKERS + 4];
    size_t n = 0;
    for (size_t i = 0; i < TOOL_MAX_MARKERS; i++) texts[n++] = syntax->markers[i].text;
    texts[n++] = syntax->separator;
    for (size_t i = 0; i < 2 && thinking; i++) texts[n++] = thinking->open[i];
    if (thinking) texts[n++] = thinking->close;
    Buf text = {0};
    bool ok = true;
    for (int32_t id = 0; id < tokenizer_n_vocab(s->service.tokenizer); id++) {
        if (tokenizer_kind(s->service.tokenizer, id) != TOKEN_CONTROL) continue;
        buf_clear(&text);
        tokenizer_decode_token(s->service.tokenizer, id, true, &text);
        if (text.len && stands_in(buf_str(&text), texts, n)) ok = ok && token_list_push(&s->marks, id);
    }
    buf_free(&text);
    return ok;
}

static bool choose_style(Served *s, Err *err) {
    const char *name = s->config->tool_format;
    if (!s->service.chat_template) return true;
    s->style = chat_style_of(s->service.chat_template);
    if (name && strcmp(name, "auto") != 0) CHECK(tool_format_by_name(str_from(name), &s->style.tools));
    return find_marks(s) || err_set(err, ERR_NOMEM, "out of memory");
}

bool served_attach(Served *s, const Service *service, Err *err) {
    s->prompts = prompt_encoder_new(service->tokenizer, err);
    if (!s->prompts) return false;
    s->service = *service;
    if (!choose_style(s, err)) return false;
    s->context = engine_max_sequence(service->engine);
    s->max_live = engine_max_live(service->engine);
    if (service->model) s->model = *model_info(service->model);
    s->pooling = service->model ? s->model.pooling : POOLING_MEAN;
    Str name = s->model.name[0] ? str_from(s->model.name) : file_stem(s->spec->path);
    if (s->model_id[0] == 0) served_id_of_name(name, s->model_id);
    return true;
}

void served_detach(Served *s) {
    prompt_encoder_free(s->prompts);
    token_list_free(&s->marks);
    s->prompts = NULL;
    s->service = (Service){0};
    s->style = (ChatStyle){0};
}

bool served_admits_text(const Served *s, const char *what, size_t n_bytes, ApiError *e) {
    size_t most = prompt_most_bytes(s->prompts, s->context);
    if (n_bytes <= most) return true;
    return api_error_set(e, 400, "context_length_exceeded", what,
                         "%s: %zu bytes of text are more than the context of %d tokens can hold (limit %zu)",
                         what, n_bytes, (int)s->context, most);
}

bool served_knows_model(const Served *s, Str name) {
    Str stem = file_stem(s->spec->path);
    return str_eq(name, str_from(s->model_id)) || str_eq(name, str_from(s->spec->name)) ||
           str_eq(name, str_from(s->model.name)) || str_eq(name, stem) ||
           (str_starts_with(name, stem) && str_eq(str_skip(name, stem.len), STR(".gguf")));
}
