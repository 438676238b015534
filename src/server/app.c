#include "server/app.h"

#include "base/clock.h"
#include "base/num.h"

#include <stdio.h>

void app_init(App *app, const ServerConfig *config) {
    *app = (App){.config = config, .started = time(NULL), .started_ns = clock_now_ns()};
    snprintf(app->model_id, sizeof app->model_id, "%s", config->model_id ? config->model_id : "");
}

static Str file_stem(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    Str name = str_from(slash ? slash + 1 : path);
    if (name.len > 5 && str_eq(str_skip(name, name.len - 5), STR(".gguf"))) name.len -= 5;
    return name;
}

// The id is a word in URLs and on command lines: what a name has of blanks becomes dashes.
static void choose_model_id(App *app) {
    Str name = str_from(app->model.name);
    if (name.len == 0) name = file_stem(app->service.model_path);
    size_t n = num_min(name.len, sizeof app->model_id - 1);
    for (size_t i = 0; i < n; i++) app->model_id[i] = name.ptr[i] == ' ' ? '-' : name.ptr[i];
    app->model_id[n] = 0;
}

bool app_attach(App *app, const Service *service, Err *err) {
    PromptEncoder *prompts = prompt_encoder_new(service->tokenizer, err);
    if (!prompts) return false;
    app->service = *service;
    if (service->model) app->model = *model_info(service->model);
    app->prompts = prompts;
    app->attached = true;
    if (app->model_id[0] == 0) choose_model_id(app);
    if (app->state == APP_LOADING) app->state = APP_READY;
    return true;
}

void app_free(App *app) {
    CHECK(app->n_requests == 0);
    prompt_encoder_free(app->prompts);
    keys_free(app->keys);
}

bool app_admits(const App *app, ApiError *e) {
    if (app->state == APP_READY) return true;
    if (app->state == APP_LOADING) {
        api_error_set(e, 503, "loading", NULL, "the model is still loading; try again in a moment");
        e->retry_after_s = 1;
    } else {
        api_error_set(e, 503, "draining", NULL, "the server is shutting down and takes no new requests");
    }
    return false;
}

bool app_admits_text(const App *app, const char *what, size_t n_bytes, ApiError *e) {
    int32_t context = engine_max_sequence(app->service.engine);
    size_t most = prompt_most_bytes(app->prompts, context);
    if (n_bytes <= most) return true;
    return api_error_set(e, 400, "context_length_exceeded", what,
                         "%s: %zu bytes of text are more than the context of %d tokens can hold (limit %zu)",
                         what, n_bytes, (int)context, most);
}

void app_note_end(App *app, int64_t now_ns) {
    app->ended_ns[app->n_ended++ % APP_RATE_WINDOW] = now_ns;
}

int app_retry_after(const App *app, int32_t n_waiting, int64_t now_ns) {
    size_t n = num_min(app->n_ended, APP_RATE_WINDOW);
    if (n == 0) return 1;
    int64_t oldest = app->ended_ns[(app->n_ended - n) % APP_RATE_WINDOW];
    double window = clock_seconds(now_ns - oldest);
    double wait = window / (double)n * (double)(n_waiting + 1);
    if (wait < 1) return 1;
    return wait > 600 ? 600 : (int)(wait + 0.999);
}

bool app_knows_model(const App *app, Str name) {
    Str stem = file_stem(app->service.model_path);
    return str_eq(name, str_from(app->model_id)) || str_eq(name, str_from(app->model.name)) ||
           str_eq(name, stem) ||
           (str_starts_with(name, stem) && str_eq(str_skip(name, stem.len), STR(".gguf")));
}
