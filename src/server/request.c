#include "server/request.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/shortage.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void gen_params_free(GenParams *p) {
    free((LogitBias *)p->sampling.logit_bias);
    p->sampling.logit_bias = NULL;
    shared_grammar_release(p->grammar);
    p->grammar = NULL;
}

static void random_bytes(void *out, size_t n) {
    CHECK(getrandom(out, n, 0) == (ssize_t)n); // up to 256 bytes always come whole
}

static void link_request(Request *r) {
    App *app = r->app;
    r->next = app->requests;
    if (r->next) r->next->prev = r;
    app->requests = r;
    app->n_requests++;
    r->model->n_requests++;
    model_hold(r->model);
}

static void unlink_request(Request *r) {
    if (r->prev)
        r->prev->next = r->next;
    else
        r->app->requests = r->next;
    if (r->next) r->next->prev = r->prev;
    r->app->n_requests--;
    r->model->n_requests--;
    model_release(r->model);
}

void request_free(Request *r) {
    buf_free(&r->text);
    token_log_free(&r->prompt_log);
    token_log_free(&r->log);
    detok_free(r->detok);
    free(r->end_tokens);
    free(r->pooled);
    free(r);
}

Str request_stop(const Request *r) {
    return detok_stop(r->detok);
}

// ---- start

static bool choose_max_tokens(Request *r, const GenParams *p, size_t n_prompt, ApiError *e) {
    int64_t context = r->model->served.context;
    int64_t prompt = (int64_t)n_prompt, room = context - prompt;
    int64_t wanted = p->max_tokens >= 0 ? p->max_tokens : 1;
    if (wanted > room)
        return api_error_set(
            e, 400, "context_length_exceeded", NULL,
            "the context is %lld tokens, but this request needs %lld (%lld in the prompt, %lld to "
            "generate)",
            (long long)context, (long long)(prompt + wanted), (long long)prompt, (long long)wanted);
    if (p->max_tokens < 0) wanted = p->default_tokens && p->default_tokens < room ? p->default_tokens : room;
    r->max_tokens = (int32_t)wanted;
    r->n_prompt = (int32_t)n_prompt;
    return true;
}

// The engine's statistics are as old as its last step, so what is told here is the front's own count.
static bool queue_full(const App *app, const char *why, ApiError *e) {
    int32_t n_waiting = 0;
    for (const Request *one = app->requests; one; one = one->next) n_waiting += one->n_generated == 0;
    api_error_set(e, 429, "queue_full", NULL,
                  "the queue is full: %s; %d requests are live, %d of them wait for their first token",
                  why, app->n_requests, (int)n_waiting);
    e->retry_after_s = app_retry_after(app, n_waiting, clock_now_ns());
    return false;
}

bool request_queue_full(const App *app, int64_t most, ApiError *e) {
    char why[64];
    snprintf(why, sizeof why, "at most %lld requests may run or wait", (long long)most);
    return queue_full(app, why, e);
}

bool request_admits(const HostedModel *m, int32_t n, ApiError *e) {
    return m->n_requests + n <= m->served.max_live || request_queue_full(m->app, m->served.max_live, e);
}

static bool refused(Request *r, SubmitResult result, const Err *err, ApiError *e) {
    switch (result) {
    case SUBMIT_QUEUE_FULL: return queue_full(r->app, err->msg, e);
    case SUBMIT_TOO_LONG:
        return api_error_set(e, 400, "context_length_exceeded", NULL,
                             "the context is %d tokens, but this request needs %d",
                             (int)r->model->served.context, (int)(r->n_prompt + r->max_tokens));
    case SUBMIT_CLOSED:
        return api_error_set(e, 503, "draining", NULL,
                             "the server is shutting down and takes no new requests");
    default: return api_error_from(e, err, NULL);
    }
}

static bool copy_end_tokens(Request *r, const GenParams *p, int32_t *n, ApiError *e) {
    size_t n_own;
    const int32_t *own = tokenizer_end_tokens(r->model->served.service.tokenizer, &n_own);
    if (p->ignore_eos) n_own = 0;
    r->end_tokens = malloc((n_own + (size_t)p->n_stop_tokens + 1) * sizeof *r->end_tokens);
    if (!r->end_tokens) return api_error_set(e, 503, NULL, NULL, "out of memory");
    if (n_own) memcpy(r->end_tokens, own, n_own * sizeof *own);
    memcpy(r->end_tokens + n_own, p->stop_tokens, (size_t)p->n_stop_tokens * sizeof *own);
    *n = (int32_t)n_own + p->n_stop_tokens;
    return true;
}

static bool make_room_for_embedding(Request *r, ApiError *e) {
    r->pooled = calloc((size_t)engine_n_embd(r->model->served.service.engine), sizeof *r->pooled);
    return r->pooled || api_error_set(e, 503, NULL, NULL, "out of memory");
}

static bool submit(Request *r, const RequestSpec *spec, ApiError *e) {
    Err err = {0};
    const GenParams *p = spec->params;
    int32_t n_end = 0;
    if (p->embed && !make_room_for_embedding(r, e)) return false;
    if (!copy_end_tokens(r, p, &n_end, e)) return false;
    Constraint *constraint = p->grammar ? shared_grammar_constraint(p->grammar, &err) : NULL;
    if (constraint && p->thinks_first)
        constraint = late_constraint_new(constraint, r->model->served.service.tokenizer, &p->thinking, &err);
    if (p->grammar && !constraint) return api_error_from(e, &err, NULL);
    EngineRequest request = {
        .prompt = spec->prompt,
        .n_prompt = r->n_prompt,
        .max_tokens = r->max_tokens,
        .sampling = p->sampling,
        .end_tokens = r->end_tokens,
        .n_end_tokens = n_end,
        .cache_salt = p->cache_salt,
        .priority = p->priority,
        .pooling = p->embed ? r->model->served.pooling : POOLING_NONE,
        .pooled = r->pooled,
        .deadline_ns = app_deadline_ns(r->app, p->timeout_ms, r->start_ns),
        .logprobs = p->logprobs,
        .prompt_logprobs = p->prompt_logprobs,
        .n_top = p->n_top,
        .companion = spec->companion,
        .user = r,
        .constraint = constraint,
    };
    request.sampling.late_tokens = r->end_tokens;
    request.sampling.n_late_tokens = n_end;
    if (!p->seed_given) random_bytes(&request.sampling.seed, sizeof request.sampling.seed);
    SubmitResult result = engine_submit(r->model->served.service.engine, &request, &r->engine_id, &err);
    if (result == SUBMIT_OK) return true;
    constraint_free(constraint);
    return refused(r, result, &err, e);
}

Request *request_start(HostedModel *m, const RequestSink *sink, void *user, const RequestSpec *spec, ApiError *e) {
    Err err = {0};
    const GenParams *p = spec->params;
    Request *r = calloc(1, sizeof *r);
    if (!r) {
        api_error_set(e, 503, NULL, NULL, "out of memory");
        return NULL;
    }
    *r = (Request){.app = m->app, .model = m, .sink = sink, .user = user, .priority = p->priority};
    r->start_ns = r->last_ns = spec->received_ns;
    snprintf(r->id, sizeof r->id, "%s", spec->id);
    if (spec->n_prompt == 0) {
        api_error_set(e, 400, NULL, "prompt", "prompt must have at least one token");
        goto fail;
    }
    if (!choose_max_tokens(r, p, spec->n_prompt, e)) goto fail;
    r->detok = detok_new(m->served.service.tokenizer, p->stops, p->n_stops, &err);
    if (!r->detok) {
        api_error_from(e, &err, "stop");
        goto fail;
    }
    detok_show(r->detok, p->shown);
    detok_ignore_stops(r->detok, p->sampling.min_tokens);
    if (p->prompt_logprobs) r->prompt_log.width = 1 + p->n_top;
    if (p->logprobs) r->log.width = 1 + p->n_top;
    if (!submit(r, spec, e)) goto fail;
    link_request(r);
    log_f(LOG_INFO, "request_start", "id=%s prompt_tokens=%d max_tokens=%d stream=%d", r->id,
          (int)r->n_prompt, (int)r->max_tokens, p->stream);
    return r;

fail:
    request_free(r);
    return NULL;
}

// ---- the one end

// What is at `from` and behind it in r->text is shown now.
static void note_shown(Request *r, size_t from) {
    if (!r->log.width) return;
    r->n_shown_chars += utf8_n_chars(str_skip(buf_str(&r->text), from));
    token_log_show(&r->log, r->n_shown_chars);
}

static void answer_error(Request *r, const ApiError *e) {
    r->answered = true;
    r->end_ns = clock_now_ns();
    r->sink->fail(r, e);
}

static void answer_failure(Request *r, int status, const char *code, const char *message) {
    ApiError e;
    api_error_set(&e, status, code, NULL, "%s", message);
    answer_error(r, &e);
}

static void answer(Request *r, FinishReason reason) {
    size_t from = r->text.len;
    r->answered = true;
    r->outcome = (Outcome)reason;
    r->end_ns = clock_now_ns();
    detok_finish(r->detok, &r->text);
    note_shown(r, from);
    if (!detok_stopped(r->detok)) r->log.n_shown = r->log.n; // also those without any text
    if (r->text.failed)
        answer_failure(r, 503, NULL, "out of memory");
    else
        r->sink->end(r);
}

void request_abandon(Request *r, Outcome why) {
    if (r->answered) return;
    r->outcome = why;
    r->answered = true;
    r->end_ns = clock_now_ns();
    engine_cancel(r->model->served.service.engine, r->engine_id);
}

static void note_token(Request *r, int64_t now) {
    RequestMetrics *m = &r->model->metrics;
    if (r->n_generated++ == 0) {
        metrics_note_first_token(m, now - r->last_ns);
        r->first_ns = now;
    } else {
        metrics_note_next_token(m, now - r->last_ns);
    }
    r->last_ns = now;
}

static void on_token(Request *r, const EngineEvent *event) {
    if (r->answered) return;
    note_token(r, clock_now_ns());
    size_t from = r->text.len;
    bool logged = !r->log.width || token_log_add(&r->log, event->logprobs, detok_n_chars(r->detok));
    bool stopped = detok_push(r->detok, event->token, &r->text);
    note_shown(r, from);
    if (r->text.failed || !logged) {
        answer_failure(r, 503, NULL, "out of memory");
    } else if (stopped) {
        answer(r, FINISH_STOP);
    } else {
        if (r->sink->token) r->sink->token(r);
        if (r->answered || !r->enough) return;
        answer(r, FINISH_STOP);
    }
    engine_cancel(r->model->served.service.engine, r->engine_id);
}

static void answer_by_reason(Request *r, const EngineEvent *event) {
    ApiError late;
    switch (event->reason) {
    case FINISH_STOP:
    case FINISH_LENGTH: answer(r, event->reason); break;
    case FINISH_TIMEOUT:
        api_error_late(&late);
        answer_error(r, &late);
        break;
    case FINISH_NO_TOKEN:
        answer_failure(r, 400, "no_token",
                       "no token of this model goes on as the grammar says, or the grammar is too ambiguous");
        break;
    case FINISH_SHUTDOWN: answer_failure(r, 503, "draining", "the server is shutting down"); break;
    default: answer_failure(r, 500, NULL, "the request was cancelled inside the server"); break;
    }
}

static void log_end(const Request *r, const EngineEvent *event) {
    log_f(
        LOG_INFO, "request_end",
        "id=%s reason=%s prompt_tokens=%d cached=%d tokens=%d drafted=%d accepted=%d queue_ms=%.1f prefill_ms=%.1f "
        "decode_ms=%.1f total_ms=%.1f",
        r->id, metrics_outcome_word(r->outcome), (int)r->n_prompt, (int)r->n_cached, (int)r->n_generated,
        (int)event->n_drafted, (int)event->n_accepted, (double)event->queued_ns * 1e-6,
        (double)event->prefill_ns * 1e-6, (double)event->decode_ns * 1e-6,
        (double)(r->end_ns - r->start_ns) * 1e-6);
}

static void on_end(Request *r, const EngineEvent *event) {
    app_note_end(r->app, clock_now_ns());
    if (!r->answered) answer_by_reason(r, event);
    if (r->outcome == OUTCOME_NONE) r->outcome = (Outcome)event->reason; // it was answered by an error
    metrics_note_end(&r->model->metrics, r->outcome, event->queued_ns, r->end_ns - r->start_ns);
    log_end(r, event);
    unlink_request(r);
    r->sink->released(r);
}

static void take_prompt_logprobs(Request *r, const EngineEvent *event) {
    if (!event->prompt_logprobs || r->prompt_log.n > 0 || r->answered) return;
    for (int32_t i = 0; i < r->n_prompt; i++)
        if (!token_log_add(&r->prompt_log, event->prompt_logprobs + (ptrdiff_t)i * r->prompt_log.width, 0)) {
            answer_failure(r, 503, NULL, "out of memory");
            return;
        }
}

void request_on_event(const EngineEvent *event) {
    Request *r = event->user;
    shortage_begin();
    if (!r->answered) r->n_cached = event->n_cached; // afterwards others may read it
    take_prompt_logprobs(r, event);
    if (event->kind == ENGINE_TOKEN)
        on_token(r, event);
    else
        on_end(r, event);
}
