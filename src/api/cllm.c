// libcllm: include/cllm.h on the runtime, the chat requests and the engine.
#include <cllm.h>

#include "api/front.h"
#include "api/runtime.h"
#include "base/log.h"
#include "base/shortage.h"
#include "base/version.h"
#include "server/chat_request.h"
#include "server/parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct CllmModel {
    Runtime runtime;
    ServerConfig server; // what Served is told
    ModelSpec spec;
    Served served;
    Front front;
};

struct CllmRequest {
    FrontRequest request; // the front allocates it
};

// ---- errors and sized structs ----

static int code_of(ErrCode code) {
    static const int codes[] = {
        [ERR_NONE] = CLLM_OK,     [ERR_INVALID] = CLLM_INVALID,     [ERR_UNSUPPORTED] = CLLM_UNSUPPORTED,
        [ERR_LIMIT] = CLLM_LIMIT, [ERR_NOT_FOUND] = CLLM_NOT_FOUND, [ERR_IO] = CLLM_IO,
        [ERR_NOMEM] = CLLM_NOMEM,
    };
    return codes[code];
}

static void tell(CllmError *error, int code, const char *message) {
    if (!error) return;
    error->code = code;
    snprintf(error->message, sizeof error->message, "%s", message);
}

// The statuses that reading a conversation ends with; a context that is too short has a code of its own.
static void tell_api_error(CllmError *error, const ApiError *e) {
    bool too_long = e->code && strcmp(e->code, "context_length_exceeded") == 0;
    tell(error, e->status == 503 ? CLLM_NOMEM : too_long ? CLLM_LIMIT : CLLM_INVALID, e->message);
}

// A struct of the caller's, who may have been compiled with an earlier or a later version of it.
static void copy_sized(void *own, size_t own_size, const void *theirs) {
    size_t size;
    memcpy(&size, theirs, sizeof size);
    memcpy(own, theirs, size < own_size ? size : own_size);
}

static void give_sized(void *theirs, size_t their_size, const void *own, size_t own_size) {
    if (!theirs) return;
    memset(theirs, 0, their_size);
    memcpy(theirs, own, their_size < own_size ? their_size : own_size);
    memcpy(theirs, &their_size, sizeof their_size);
}

// ---- a model ----

void cllm_config_init(CllmConfig *config, size_t size) {
    RuntimeConfig r = runtime_defaults();
    CllmConfig own = {.max_running = (int32_t)r.max_running, .max_queue = (int32_t)r.max_queue};
    give_sized(config, size, &own, sizeof own);
}

static bool in_range(const char *name, int64_t value, int64_t min, int64_t max, Err *err) {
    if (value >= min && value <= max) return true;
    return err_set(err, ERR_INVALID, "%s is %" PRId64 ", but must be %" PRId64 " to %" PRId64, name, value,
                   min, max);
}

static bool check_config(const CllmConfig *c, Err *err) {
    if (!c->model || !c->model[0]) return err_set(err, ERR_INVALID, "no model is named");
    return in_range("threads", c->threads, 0, 256, err) &&
           in_range("max_running", c->max_running, 1, 1024, err) &&
           in_range("max_queue", c->max_queue, 0, 65536, err) &&
           in_range("kv_type", c->kv_type, CLLM_KV_F16, CLLM_KV_Q8_0, err) &&
           in_range("kv_tokens", c->kv_tokens, 0, 1 << 30, err);
}

static RuntimeConfig runtime_config_of(const CllmConfig *c) {
    RuntimeConfig r = runtime_defaults();
    r.model = c->model;
    r.packed_cache = c->packed_cache ? c->packed_cache : "";
    r.threads = c->threads;
    r.max_running = c->max_running;
    r.max_queue = c->max_queue;
    r.row_budget = r.row_budget < r.max_running ? r.max_running : r.row_budget;
    r.kv_type = c->kv_type == CLLM_KV_Q8_0 ? KV_Q8_0 : KV_F16;
    r.kv_tokens = c->kv_tokens;
    return r;
}

static bool open_model(CllmModel *m, const CllmConfig *c, Err *err) {
    RuntimeConfig config = runtime_config_of(c);
    if (!runtime_open(&m->runtime, &config, err)) return false;
    m->server.raw_reasoning = true;
    m->spec.path = c->model;
    served_init(&m->served, &m->server, &m->spec);
    Service service = {.engine = m->runtime.engine,
                       .tokenizer = m->runtime.tokenizer,
                       .chat_template = m->runtime.chat_template,
                       .model = m->runtime.model};
    bool ok = served_attach(&m->served, &service, err) && front_open(&m->front, m->runtime.engine, err);
    m->spec.path = NULL; // the caller's
    return ok;
}

CllmModel *cllm_open(const CllmConfig *config, CllmError *error) {
    Err err = {0};
    CllmConfig own;
    cllm_config_init(&own, sizeof own);
    if (config) copy_sized(&own, sizeof own, config);
    log_set_level(LOG_SILENT);
    CllmModel *m = calloc(1, sizeof *m);
    bool ok =
        m ? check_config(&own, &err) && open_model(m, &own, &err) : err_set(&err, ERR_NOMEM, "out of memory");
    if (ok) return m;
    tell(error, code_of(err.code), err.msg);
    cllm_close(m);
    return NULL;
}

void cllm_close(CllmModel *m) {
    if (!m) return;
    engine_free(m->runtime.engine);
    m->runtime.engine = NULL;
    front_close(&m->front);
    served_detach(&m->served);
    runtime_close(&m->runtime);
    free(m);
}

const char *cllm_model_name(const CllmModel *m) {
    return m ? model_info(m->runtime.model)->name : "";
}

int32_t cllm_model_context(const CllmModel *m) {
    return m ? m->served.context : 0;
}

const char *cllm_version(void) {
    return CLLM_VERSION;
}

// ---- requests ----

void cllm_params_init(CllmParams *params, size_t size) {
    CllmParams own = {.temperature = 0.7F, .top_p = 0.9F, .repetition_penalty = 1.1F, .seed = -1};
    give_sized(params, size, &own, sizeof own);
}

static CllmParams params_of(const CllmParams *params) {
    CllmParams own;
    cllm_params_init(&own, sizeof own);
    if (params) copy_sized(&own, sizeof own, params);
    return own;
}

static SamplingParams sampling_of(const CllmParams *p) {
    SamplingParams s = {.temperature = p->temperature,
                        .top_p = p->top_p,
                        .min_p = p->min_p,
                        .top_k = p->top_k,
                        .repetition_penalty = p->repetition_penalty,
                        .presence_penalty = p->presence_penalty,
                        .frequency_penalty = p->frequency_penalty,
                        .seed = (uint64_t)p->seed};
    if (p->seed < 0) CHECK(getrandom(&s.seed, sizeof s.seed, 0) == (ssize_t)sizeof s.seed);
    return s;
}

// The length of the answer. Prompts are at most some 2^30 tokens: engine_max_sequence.
static bool choose_length(const CllmModel *m, const CllmParams *p, size_t n_prompt, int32_t *out, Err *err) {
    int64_t context = m->served.context, room = context - (int64_t)n_prompt;
    int64_t wanted = p->max_tokens > 0 ? p->max_tokens : room;
    if (n_prompt == 0) return err_set(err, ERR_INVALID, "the prompt is empty");
    if (p->max_tokens < 0) return err_set(err, ERR_INVALID, "max_tokens must not be negative");
    if (room < 1 || wanted > room)
        return err_set(err, ERR_LIMIT,
                       "a prompt of %zu tokens and an answer of %" PRId64
                       " do not fit into the context of %" PRId64,
                       n_prompt, wanted < 1 ? 1 : wanted, context);
    *out = (int32_t)wanted;
    return true;
}

static Detok *open_stream(const CllmModel *m, const CllmParams *p, Err *err) {
    Str stops[DETOK_MAX_STOPS];
    if (p->n_stop > DETOK_MAX_STOPS) {
        err_set(err, ERR_LIMIT, "%zu stop texts are more than %d", p->n_stop, DETOK_MAX_STOPS);
        return NULL;
    }
    for (size_t i = 0; i < p->n_stop; i++) {
        if (!p->stop || !p->stop[i]) {
            err_set(err, ERR_INVALID, "stop text %zu is NULL", i);
            return NULL;
        }
        stops[i] = str_from(p->stop[i]);
    }
    return detok_new(m->runtime.tokenizer, stops, p->n_stop, err);
}

static CllmRequest *submit(CllmModel *m, const TokenList *prompt, const CllmParams *p, CllmError *error) {
    Err err = {0};
    size_t n_end = 0;
    const int32_t *end = tokenizer_end_tokens(m->runtime.tokenizer, &n_end);
    EngineRequest request = {.prompt = prompt->ids,
                             .n_prompt = (int32_t)prompt->n,
                             .sampling = sampling_of(p),
                             .end_tokens = end,
                             .n_end_tokens = (int32_t)n_end};
    SubmitResult result = SUBMIT_BAD;
    FrontRequest *r = NULL;
    if (choose_length(m, p, prompt->n, &request.max_tokens, &err)) {
        Detok *detok = open_stream(m, p, &err);
        if (detok) r = front_submit(&m->front, &request, detok, &result, &err);
    }
    if (!r) tell(error, result == SUBMIT_QUEUE_FULL ? CLLM_BUSY : code_of(err.code), err.msg);
    return (CllmRequest *)r;
}

static bool are_given(const CllmModel *m, const char *text, CllmError *error) {
    if (m && text) return true;
    tell(error, CLLM_INVALID, m ? "the text is NULL" : "the model is NULL: look at what cllm_open said");
    return false;
}

static json_t *read_messages(const char *text, ApiError *e) {
    json_error_t at;
    size_t n_values = 0;
    if (!parse_is_bounded(str_from(text), &n_values, e)) return NULL;
    json_t *messages = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &at);
    if (!messages) api_error_set(e, 400, NULL, NULL, "the messages are not JSON: %s", at.text);
    return messages;
}

CllmRequest *cllm_chat(CllmModel *m, const char *messages, const CllmParams *params, CllmError *error) {
    ApiError e = {0};
    TokenList prompt = {0};
    CllmParams own = params_of(params);
    CllmRequest *r = NULL;
    if (!are_given(m, messages, error)) return NULL;
    shortage_begin();
    ChatRequest chat = chat_request_default(&m->served);
    json_t *list = read_messages(messages, &e);
    chat.messages = list;
    if (list && chat_request_encode(&m->served, &chat, &prompt, &e))
        r = submit(m, &prompt, &own, error);
    else
        tell_api_error(error, &e);
    json_decref(list);
    token_list_free(&prompt);
    return r;
}

CllmRequest *cllm_complete(CllmModel *m, const char *text, const CllmParams *params, CllmError *error) {
    Err err = {0};
    TokenList prompt = {0};
    CllmParams own = params_of(params);
    CllmRequest *r = NULL;
    if (!are_given(m, text, error)) return NULL;
    if (prompt_encode_text(m->served.prompts, str_from(text), true, true, &prompt, &err))
        r = submit(m, &prompt, &own, error);
    else
        tell(error, code_of(err.code), err.msg);
    token_list_free(&prompt);
    return r;
}

static int32_t reason_of(const FrontRequest *r) {
    if (r->failed) return CLLM_REASON_FAILED;
    switch (r->outcome) {
    case FINISH_STOP: return CLLM_REASON_STOP;
    case FINISH_LENGTH: return CLLM_REASON_LENGTH;
    case FINISH_CANCELLED: return CLLM_REASON_CANCELLED;
    default: return CLLM_REASON_FAILED;
    }
}

CllmEventKind cllm_next(CllmRequest *request, int timeout_ms, CllmEvent *event) {
    FrontRequest *r = (FrontRequest *)request;
    CllmEvent own = {0};
    CllmEventKind kind = CLLM_NOTHING;
    if (!r) {
        kind = CLLM_END;
        own.reason = CLLM_REASON_FAILED;
    } else if (front_wait(r, timeout_ms)) {
        kind = r->taken.len ? CLLM_TEXT : CLLM_END;
        if (kind == CLLM_TEXT) {
            own.text = r->taken.ptr;
            own.length = r->taken.len;
        } else {
            own.reason = reason_of(r);
            own.n_prompt = r->n_prompt;
            own.n_cached = r->n_cached;
            own.n_generated = r->n_generated;
        }
    }
    if (event) give_sized(event, event->size, &own, sizeof own);
    return kind;
}

void cllm_cancel(CllmRequest *request) {
    if (request) front_cancel(&request->request);
}

void cllm_release(CllmRequest *request) {
    if (request) front_release(&request->request);
}
