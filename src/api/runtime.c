#include "api/runtime.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "api/pool_size.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

RuntimeConfig runtime_defaults(void) {
    return (RuntimeConfig){.model = "",
                           .packed_cache = "",
                           .chat_template = "",
                           .kv_type = KV_F16,
                           .max_running = 64,
                           .max_queue = 256,
                           .row_budget = 256,
                           .prefill_chunk = 128,
                           .decode_share = 25,
                           .spec_rows = 4,
                           .max_queue_tokens = 1048576,
                           .priority_step_s = 30,
                           .prefix_cache = true,
                           .prefix_mb = 2048};
}

bool runtime_check_model(const char *path, Err *err) {
    if (!path[0])
        return err_set(
            err, ERR_INVALID,
            "no model is named: give --model FILE (a GGUF file, or a name of `cllm list --catalogue`)");
    if (access(path, R_OK) == 0) return true;
    return err_set(
        err, ERR_NOT_FOUND,
        "cannot read the model %s: %s; check the path (`make models` in the source tree fetches one)", path,
        strerror(errno));
}

// ---- progress ----

typedef struct Progress {
    int64_t started_ns, shown_ns;
    bool on_terminal;
} Progress;

enum { PROGRESS_AFTER_NS = 1000000000, TERMINAL_EVERY_NS = 100000000 };

static void show_progress(double fraction, void *user) {
    Progress *p = user;
    int64_t now = clock_now_ns();
    int64_t every = p->on_terminal ? TERMINAL_EVERY_NS : PROGRESS_AFTER_NS;
    if (now - p->started_ns < PROGRESS_AFTER_NS || now - p->shown_ns < every) return;
    p->shown_ns = now;
    if (p->on_terminal)
        fprintf(stderr, "\rloading %3.0f %%", fraction * 100);
    else
        log_f(LOG_INFO, "loading", "percent=%.0f", fraction * 100);
}

static void end_progress(const Progress *p) {
    if (p->on_terminal && p->shown_ns) fputs("\r\x1b[K", stderr);
}

// ---- parts ----

// A line of numbers, to which a cache adds what became of its image.
static void log_loaded(const ModelInfo *info, double ms, int n_threads) {
    static const char *const outcomes[] = {"off", "unused", "used", "written", "replaced", "not_written"};
    char elapsed[32], threads[16], mib[24], context[16];
    const PackReport *packed = &info->packed;
    bool odd = packed->outcome == PACK_REPLACED || packed->outcome == PACK_FAILED;
    snprintf(elapsed, sizeof elapsed, "%.0f", ms);
    snprintf(threads, sizeof threads, "%d", n_threads);
    snprintf(mib, sizeof mib, "%zu", info->weight_bytes >> 20);
    snprintf(context, sizeof context, "%d", info->max_context);
    log_event(odd ? LOG_WARN : LOG_INFO, "model_loaded", "ms", elapsed, "threads", threads, "weights_mib",
              mib, "context", context, "packed_cache", outcomes[packed->outcome],
              packed->why[0] ? "why" : NULL, packed->why, NULL);
}

bool runtime_open_model(Runtime *r, const RuntimeConfig *c, Err *err) {
    int n_threads = c->threads ? (int)c->threads : workers_default_count();
    r->workers = workers_new(n_threads, err);
    if (!r->workers || (c->pin_threads && !workers_pin(r->workers, err))) return false;
    workers_set_cancel(r->workers, c->cancel);
    Progress p = {.started_ns = clock_now_ns(), .on_terminal = isatty(STDERR_FILENO)};
    r->model =
        model_open(c->model, c->packed_cache, r->workers, c->shows_progress ? show_progress : NULL, &p, err);
    end_progress(&p);
    workers_set_cancel(r->workers, NULL);
    if (!r->model) return false;
    log_loaded(model_info(r->model), clock_seconds(clock_now_ns() - p.started_ns) * 1e3, n_threads);
    return true;
}

// What a model takes beside its KV pool: the weights, and an eighth for tokenizer, template and scratch.
static size_t weights_and_more(size_t weight_bytes) {
    return weight_bytes + weight_bytes / 8;
}

// Of what the model allows.
static int32_t context_limit(const RuntimeConfig *c, int32_t model_context) {
    return c->max_context && c->max_context < model_context ? (int32_t)c->max_context : model_context;
}

static bool plan_pool(const RuntimeConfig *c, const ModelOutline *m, size_t weight_bytes, PoolSize *out,
                      Err *err) {
    PoolQuery q = {.kv_tokens = c->kv_tokens,
                   .kv_memory_mb = c->kv_memory_mb,
                   .bytes_per_token = m->kv_bytes_per_token,
                   .max_context = context_limit(c, m->max_context)};
    if (!q.kv_tokens && !q.kv_memory_mb && !memory_read(&q.memory)) q.kv_tokens = q.max_context;
    if (c->memory_bytes) {
        size_t other = weights_and_more(weight_bytes);
        q.memory.total = num_min(q.memory.total, c->memory_bytes);
        q.memory.available =
            num_min(q.memory.available, c->memory_bytes > other ? c->memory_bytes - other : 0);
    }
    return pool_size(&q, out, err);
}

static size_t bytes_taken(size_t weight_bytes, const PoolSize *pool, size_t bytes_per_token) {
    return weights_and_more(weight_bytes) + (size_t)pool->n_blocks * KV_BLOCK_TOKENS * bytes_per_token;
}

bool runtime_read_outline(const RuntimeConfig *c, RuntimeOutline *out, Err *err) {
    ModelOutline m;
    PoolSize pool;
    if (!runtime_check_model(c->model, err) || !model_read_outline(c->model, c->kv_type, &m, err) ||
        !plan_pool(c, &m, m.file_bytes, &pool, err))
        return false;
    memcpy(out->name, m.name, sizeof out->name);
    out->bytes = bytes_taken(m.file_bytes, &pool, m.kv_bytes_per_token);
    return true;
}

static bool make_pool(Runtime *r, const RuntimeConfig *c, Err *err) {
    const ModelInfo *info = model_info(r->model);
    ModelOutline m = {.kv_bytes_per_token = model_kv_bytes_per_token(r->model, c->kv_type),
                      .max_context = info->max_context};
    PoolSize size;
    if (!plan_pool(c, &m, info->weight_bytes, &size, err)) return false;
    r->n_blocks = size.n_blocks;
    r->bytes = bytes_taken(info->weight_bytes, &size, m.kv_bytes_per_token);
    log_f(size.short_of_context ? LOG_WARN : LOG_INFO, "kv_pool", "tokens=%d type=%s mib=%zu context=%d%s",
          size.n_blocks * KV_BLOCK_TOKENS, c->kv_type == KV_Q8_0 ? "q8_0" : "f16",
          (size_t)size.n_blocks * KV_BLOCK_TOKENS * m.kv_bytes_per_token >> 20,
          context_limit(c, info->max_context),
          size.short_of_context ? " note=memory_for_less_than_one_full_context" : "");
    return true;
}

static bool open_context(Runtime *r, const RuntimeConfig *c, Err *err) {
    size_t logits = num_max((size_t)c->max_running, (size_t)c->spec_rows);
    if (!make_pool(r, c, err)) return false;
    ModelContextConfig config = {.n_blocks = r->n_blocks,
                                 .max_rows = (int32_t)c->row_budget,
                                 .max_logits = (int32_t)logits,
                                 .kv_type = c->kv_type};
    r->context = model_context_new(r->model, &config, r->workers, err);
    return r->context != NULL;
}

bool runtime_check_vocabulary(const Model *m, const Tokenizer *t, Err *err) {
    int32_t tokens = tokenizer_n_vocab(t), rows = model_info(m)->n_vocab;
    if (tokens <= rows) return true;
    return err_set(err, ERR_INVALID, "%s: the tokenizer has %d tokens, but the model only %d embeddings",
                   gguf_path(model_gguf(m)), tokens, rows);
}

static bool open_text(Runtime *r, Err *err) {
    const Gguf *g = model_gguf(r->model);
    r->tokenizer = tokenizer_open(g, err);
    if (!r->tokenizer || !runtime_check_vocabulary(r->model, r->tokenizer, err)) return false;
    Str source;
    Err why;
    if (r->chat_template || !gguf_get_str(g, "tokenizer.chat_template", &source)) return true;
    r->chat_template = chat_template_parse(source, &why);
    if (!r->chat_template) log_event(LOG_WARN, "chat_template_unusable", "why", why.msg, NULL);
    return true;
}

// As many blocks as `mib` has room for.
static int32_t blocks_in(const Runtime *r, const RuntimeConfig *c, int64_t mib) {
    size_t block_bytes = model_kv_bytes_per_token(r->model, c->kv_type) * KV_BLOCK_TOKENS;
    size_t n = ((size_t)mib << 20) / block_bytes;
    return n < (size_t)r->n_blocks ? (int32_t)n : r->n_blocks;
}

static bool open_engine(Runtime *r, const RuntimeConfig *c, Err *err) {
    EngineConfig config = {.max_running = (int32_t)c->max_running,
                           .max_queue = (int32_t)c->max_queue,
                           .row_budget = (int32_t)c->row_budget,
                           .prefill_chunk = (int32_t)c->prefill_chunk,
                           .decode_share = (int32_t)c->decode_share,
                           .spec_rows = (int32_t)c->spec_rows,
                           .prefix_cache = c->prefix_cache,
                           .prefix_blocks = blocks_in(r, c, c->prefix_mb),
                           .max_queue_tokens = c->max_queue_tokens,
                           .turns = c->turns,
                           .priority_step_ns = c->priority_step_s * 1000000000};
    StepModel step = model_step(r->context);
    step.max_context = context_limit(c, step.max_context);
    r->engine = engine_new(&config, &step, r->workers, err);
    return r->engine != NULL;
}

// Before the model, which may take long to load.
static bool open_template_file(Runtime *r, const RuntimeConfig *c, Err *err) {
    enum { MOST = 1 << 20 };
    Buf source = {0};
    if (!c->chat_template[0]) return true;
    bool ok = file_read(c->chat_template, MOST, &source, err) &&
              ((r->chat_template = chat_template_parse(buf_str(&source), err)) ||
               err_prefix(err, "%s: ", c->chat_template));
    buf_free(&source);
    return ok;
}

bool runtime_open(Runtime *r, const RuntimeConfig *c, Err *err) {
    *r = (Runtime){0};
    bool ok = runtime_check_model(c->model, err) && open_template_file(r, c, err) &&
              runtime_open_model(r, c, err) && open_context(r, c, err) && open_text(r, err) &&
              open_engine(r, c, err);
    if (!ok) runtime_close(r);
    return ok;
}

void runtime_close(Runtime *r) {
    engine_free(r->engine);
    chat_template_free(r->chat_template);
    tokenizer_free(r->tokenizer);
    model_context_free(r->context);
    model_close(r->model);
    workers_free(r->workers);
    *r = (Runtime){0};
}
