#define _GNU_SOURCE // SCHED_IDLE
#include "cli/model_host.h"

#include "api/pool_size.h"
#include "base/log.h"
#include "base/num.h"
#include "cli/fetch.h"
#include "cli/runtime_options.h"
#include "server/served.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Hosted {
    ModelHosting *hosting;
    ModelPlace place;
    char *id;       // NULL: as the file says
    char name[128]; // as the file says; of several models
    Runtime runtime;
    GrammarStore *grammars; // NULL: it is not loaded, or there was no memory for them
    pthread_t readier;
    bool has_readier;
    atomic_bool leaves; // the readier is to end
} Hosted;

typedef enum OrderKind { ORDER_NONE, ORDER_LOAD, ORDER_UNLOAD, ORDER_QUIT } OrderKind;

struct ModelHosting {
    const Options *options;
    Server *server;
    Hosted *models; // [n]
    ModelSpec *specs;
    int32_t n;
    size_t memory_bytes; // for all that are loaded; 0: there is one, which may take what it needs
    Turns turns;
    char summary[256];
    ModelHostingReady on_first; // until it has been told
    void *user;
    pthread_t thread;
    bool started;
    atomic_bool stopped; // what is being loaded is not wanted any more
    pthread_mutex_t lock; // of what follows
    pthread_cond_t changed;
    OrderKind order; // the server waits for one to be carried out before it gives another
    int32_t ordered;
};

// ---- which models

static bool is_id(const char *text, size_t n) {
    static const char others[] = "-_.:";
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !memchr(others, c, sizeof others - 1)) return false;
    }
    return n > 0;
}

// "ID=MODEL", unless that is a file.
static bool resolve(Hosted *m, const char *text, int *code, Err *err) {
    const Options *o = m->hosting->options;
    const char *equals = strchr(text, '=');
    bool named = equals && is_id(text, (size_t)(equals - text)) && access(text, F_OK) != 0;
    if (!model_resolve(o, named ? equals + 1 : text, &m->place, code, err)) return false;
    if (!runtime_check_model(m->place.path, err)) return false;
    if (named)
        m->id = strndup(text, (size_t)(equals - text));
    else if (o->model_id[0] || m->place.name[0])
        m->id = strdup(o->model_id[0] ? o->model_id : m->place.name);
    else
        return true;
    return m->id || err_set(err, ERR_NOMEM, "out of memory");
}

static RuntimeConfig config_of(const Hosted *m) {
    ModelHosting *h = m->hosting;
    RuntimeConfig c = runtime_config(h->options);
    c.model = m->place.path;
    c.memory_bytes = h->memory_bytes;
    c.cancel = &h->stopped;
    if (h->n > 1) c.turns = &h->turns;
    return c;
}

// Of several models the server must know the names and sizes before they are loaded.
static bool read_outline(Hosted *m, ModelSpec *spec, Err *err) {
    RuntimeConfig config = config_of(m);
    RuntimeOutline outline;
    if (!runtime_read_outline(&config, &outline, err)) return false;
    memcpy(m->name, outline.name, sizeof m->name);
    char id[SERVED_MAX_ID];
    served_id_of_name(str_from(m->name), id);
    if (!m->id && !(m->id = strdup(id))) return err_set(err, ERR_NOMEM, "out of memory");
    *spec = (ModelSpec){.id = m->id, .name = m->name, .path = m->place.path, .bytes = outline.bytes};
    return true;
}

static bool check_ids(const ModelHosting *h, Err *err) {
    for (int32_t i = 0; i < h->n; i++)
        for (int32_t k = 0; k < i; k++)
            if (strcmp(h->specs[i].id, h->specs[k].id) == 0)
                return err_set(err, ERR_INVALID,
                               "two models would be called \"%s\": %s and %s; name one by --model ID=MODEL",
                               h->specs[i].id, h->specs[k].path, h->specs[i].path);
    return true;
}

static bool choose_memory(ModelHosting *h, Err *err) {
    Memory memory;
    h->memory_bytes = (size_t)h->options->model_budget_mb << 20;
    if (h->memory_bytes) return true;
    if (!memory_read(&memory))
        return err_set(err, ERR_IO, "the system does not tell how much memory it has: set --model-budget-mb");
    h->memory_bytes = memory.available / 5 * 4;
    return true;
}

static bool outline_several(ModelHosting *h, Err *err) {
    if (h->options->model_id[0])
        return err_set(err, ERR_INVALID,
                       "--model-id names a single model; name each of several by --model ID=MODEL");
    if (h->options->chat_template[0])
        return err_set(err, ERR_INVALID, "--chat-template is for a single model");
    if (!choose_memory(h, err)) return false;
    for (int32_t i = 0; i < h->n; i++)
        if (!read_outline(&h->models[i], &h->specs[i], err)) return false;
    return check_ids(h, err);
}

static void summarise(ModelHosting *h) {
    size_t at = 0;
    for (int32_t i = 0; i < h->n && at < sizeof h->summary; i++) {
        const char *path = h->models[i].place.path, *slash = strrchr(path, '/');
        const char *name = h->models[i].id ? h->models[i].id : slash ? slash + 1 : path;
        at += (size_t)snprintf(h->summary + at, sizeof h->summary - at, "%s%s", i ? ", " : "", name);
    }
}

static bool resolve_all(ModelHosting *h, int *code, Err *err) {
    const Options *o = h->options;
    for (int32_t i = 0; i < h->n; i++) {
        h->models[i].hosting = h;
        if (!resolve(&h->models[i], i ? o->more_model.at[i - 1] : o->model, code, err)) return false;
    }
    return true;
}

ModelHosting *model_hosting_new(const Options *o, int *code, Err *err) {
    ModelHosting *h = calloc(1, sizeof *h);
    if (!h) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    *h = (ModelHosting){.options = o, .turns = TURNS_INIT};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    h->n = 1 + o->more_model.n;
    h->models = calloc((size_t)h->n, sizeof *h->models);
    h->specs = calloc((size_t)h->n, sizeof *h->specs);
    if (!h->models || !h->specs) {
        err_set(err, ERR_NOMEM, "out of memory");
    } else if (resolve_all(h, code, err)) {
        h->specs[0] = (ModelSpec){.id = h->models[0].id, .path = h->models[0].place.path};
        summarise(h);
        if (h->n == 1 || outline_several(h, err)) return h;
    }
    model_hosting_free(h);
    return NULL;
}

const char *model_hosting_summary(const ModelHosting *h) {
    return h->summary;
}

// ---- loading

// Fetches KV memory from the system before requests need it, in the order in which the pool hands it out,
// on CPU time that nobody else wants.
static void ready_kv(Hosted *m) {
    enum { AT_ONCE = 4 }; // blocks
    const Options *o = m->hosting->options;
    size_t token_bytes = model_kv_bytes_per_token(m->runtime.model, runtime_kv_type(o));
    int64_t n = (o->kv_ready_mb << 20) / (int64_t)(token_bytes * KV_BLOCK_TOKENS);
    struct sched_param none = {0};
    if (pthread_setschedparam(pthread_self(), SCHED_IDLE, &none) != 0) return;
    for (int32_t block = 0; block < n && block < m->runtime.n_blocks && !atomic_load(&m->leaves);
         block += AT_ONCE)
        model_context_touch(m->runtime.context, block, AT_ONCE);
}

static void *make_ready(void *arg) {
    Hosted *m = arg;
    Err err;
    if (m->grammars) grammar_store_prepare(m->grammars, &err);
    ready_kv(m);
    return NULL;
}

static void start_readier(Hosted *m) {
    atomic_store(&m->leaves, false);
    m->has_readier = pthread_create(&m->readier, NULL, make_ready, m) == 0;
    if (!m->has_readier) log_event(LOG_WARN, "not_made_ready", "why", "no thread", NULL);
}

// The engine first: it may still refer to the server's requests.
static void close_runtime(Hosted *m) {
    atomic_store(&m->leaves, true);
    if (m->has_readier) pthread_join(m->readier, NULL);
    m->has_readier = false;
    runtime_close(&m->runtime);
}

static void free_grammars(Hosted *m) {
    grammar_store_free(m->grammars);
    m->grammars = NULL;
}

static void load(ModelHosting *h, int32_t i) {
    Hosted *m = &h->models[i];
    Err err;
    RuntimeConfig config = config_of(m);
    if (!runtime_open(&m->runtime, &config, &err)) {
        server_fail(h->server, i, err.msg);
        return;
    }
    m->grammars = grammar_store_new(m->runtime.tokenizer, &err);
    Service service = {.engine = m->runtime.engine,
                       .grammars = m->grammars,
                       .tokenizer = m->runtime.tokenizer,
                       .chat_template = m->runtime.chat_template,
                       .model = m->runtime.model,
                       .bytes = m->runtime.bytes};
    start_readier(m);
    server_attach(h->server, i, &service);
    if (h->on_first) h->on_first(h->user, &m->runtime);
    h->on_first = NULL;
}

static void unload(ModelHosting *h, int32_t i) {
    close_runtime(&h->models[i]);
    free_grammars(&h->models[i]);
    server_detach(h->server, i);
}

// ---- the thread

static OrderKind wait_for_order(ModelHosting *h, int32_t *model) {
    pthread_mutex_lock(&h->lock);
    while (h->order == ORDER_NONE) pthread_cond_wait(&h->changed, &h->lock);
    OrderKind order = h->order;
    *model = h->ordered;
    if (order != ORDER_QUIT) h->order = ORDER_NONE;
    pthread_mutex_unlock(&h->lock);
    return order;
}

static void *hosting_main(void *arg) {
    ModelHosting *h = arg;
    int32_t model;
    for (OrderKind order; (order = wait_for_order(h, &model)) != ORDER_QUIT;) {
        if (order == ORDER_LOAD)
            load(h, model);
        else
            unload(h, model);
    }
    return NULL;
}

static void give_order(ModelHosting *h, OrderKind order, int32_t model) {
    pthread_mutex_lock(&h->lock);
    h->order = order;
    h->ordered = model;
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

static void order_load(void *ctx, int32_t model) {
    give_order(ctx, ORDER_LOAD, model);
}

static void order_unload(void *ctx, int32_t model) {
    give_order(ctx, ORDER_UNLOAD, model);
}

void model_hosting_config(const ModelHosting *h, ServerConfig *config) {
    config->models = h->specs;
    config->n_models = h->n;
    config->model_host = (ModelHost){(void *)h, order_load, order_unload};
    config->models_bytes = h->memory_bytes;
    config->model_idle_ns = h->options->model_idle_s * 1000000000;
}

bool model_hosting_start(ModelHosting *h, Server *server, ModelHostingReady on_first, void *user, Err *err) {
    h->server = server;
    h->on_first = on_first;
    h->user = user;
    give_order(h, ORDER_LOAD, 0);
    h->started = pthread_create(&h->thread, NULL, hosting_main, h) == 0;
    return h->started || err_set(err, ERR_NOMEM, "cannot start the thread that loads the model");
}

void model_hosting_stop(ModelHosting *h) {
    if (!h->started) return;
    atomic_store(&h->stopped, true);
    give_order(h, ORDER_QUIT, 0);
    pthread_join(h->thread, NULL);
    h->started = false;
    for (int32_t i = 0; i < h->n; i++) close_runtime(&h->models[i]);
}

void model_hosting_free(ModelHosting *h) {
    if (!h) return;
    for (int32_t i = 0; h->models && i < h->n; i++) {
        Hosted *m = &h->models[i];
        free_grammars(m);
        model_place_free(&m->place);
        free(m->id);
    }
    free(h->models);
    free(h->specs);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
