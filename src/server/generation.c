#include "server/generation.h"

#include "base/clock.h"
#include "server/api_stream.h"
#include "server/json_memory.h"
#include "server/parse.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

// ---- plans

TokenList *gen_plan_add_prompt(GenPlan *p) {
    TokenList *more = realloc(p->prompts, (p->n_prompts + 1) * sizeof *more);
    if (!more) return NULL;
    p->prompts = more;
    more[p->n_prompts] = (TokenList){0};
    return &more[p->n_prompts++];
}

static void free_prompts(TokenList *prompts, size_t n) {
    for (size_t i = 0; i < n; i++) token_list_free(&prompts[i]);
    free(prompts);
}

static void plan_free(GenPlan *p, const GenDialect *dialect) {
    free_prompts(p->prompts, p->n_prompts);
    gen_params_free(&p->params);
    if (p->state) dialect->free_state(p->state);
    json_decref(p->body);
    json_decref(p->reply);
}

// ---- life

static void generation_free(Generation *g) {
    for (int32_t i = 0; i < g->n_choices; i++)
        if (g->choices[i]) request_free(g->choices[i]);
    if (g->state) g->dialect->free_state(g->state);
    if (g->quiet) event_free(g->quiet);
    free_prompts(g->prompts, (size_t)(g->n_choices / g->params.n));
    free(g->choices);
    free(g);
}

static void drop_choices(Generation *g, Outcome why) {
    for (int32_t i = 0; i < g->n_choices; i++)
        if (g->choices[i]) request_abandon(g->choices[i], why);
}

void generation_abandon(Generation *g, Outcome why) {
    g->over = true;
    g->x = NULL;
    drop_choices(g, why);
}

static void on_client_gone(void *user) {
    generation_abandon(user, OUTCOME_CLIENT_GONE);
}

static void release(Generation *g) {
    if (--g->n_live == 0) generation_free(g);
}

// ---- streams that have nothing to say

// Clients and proxies take a long silence for a broken connection, and a long prompt or line is one.
static void wait_for_quiet(Generation *g) {
    app_start_timer(g->quiet, g->sent_ns + g->app->config->sse_ping_ns - clock_now_ns());
}

static void on_quiet(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    Generation *g = arg;
    if (!g->over && clock_now_ns() - g->sent_ns >= g->app->config->sse_ping_ns) g->dialect->ping(g);
    if (!g->over) wait_for_quiet(g);
}

static bool open_quiet(Generation *g) {
    if (!g->params.stream || !g->dialect->ping || g->app->config->sse_ping_ns == 0) return true;
    g->quiet = event_new(g->app->base, -1, 0, on_quiet, g);
    return g->quiet != NULL;
}

// ---- what the choices tell

// An answer with the log-probabilities of long texts is long to write, so it is written where requests are
// read. All choices have their outcome then, and nothing changes them any more; what keeps the generation
// alive meanwhile counts as one more of its choices.
typedef struct AnswerJob {
    Job job;
    Generation *g;
    Buf text;
} AnswerJob;

enum { LONG_ANSWER = 2000 }; // log-probabilities: a millisecond or two

static bool is_long(const Generation *g) {
    int64_t n = 0;
    for (int32_t i = 0; i < g->n_choices; i++) {
        const Request *choice = g->choices[i];
        n += (int64_t)choice->prompt_log.n * choice->prompt_log.width +
             (int64_t)choice->log.n * choice->log.width;
    }
    return n > LONG_ANSWER;
}

static void answer_run(Job *job) {
    AnswerJob *a = (AnswerJob *)job;
    json_t *reply = a->g->dialect->whole(a->g);
    json_memory_dump(reply, &a->text);
    json_decref(reply);
}

static void answer_done(Job *job) {
    http_reply(job->x, 200, "application/json", buf_str(&((AnswerJob *)job)->text));
}

static void answer_left(Job *job) {
    release(((AnswerJob *)job)->g);
}

static void answer_clear(Job *job) {
    buf_free(&((AnswerJob *)job)->text);
}

static void answer_beside(Generation *g, HttpExchange *x) {
    static const JobKind kind = {sizeof(AnswerJob), answer_run, answer_done, answer_clear};
    Job *job = preparer_new_job(g->app, x, &kind, g->dialect->errors);
    if (!job) return;
    ((AnswerJob *)job)->g = g;
    job->left = answer_left;
    g->n_live++;
    preparer_start_beside(job, g->model);
}

static void answer_whole(Generation *g) {
    HttpExchange *x = g->x;
    g->x = NULL;
    if (is_long(g))
        answer_beside(g, x);
    else
        api_reply_json(x, g->dialect->errors, 200, g->dialect->whole(g));
}

static void tell_text(Generation *g, Request *choice) {
    bool stream = g->params.stream;
    if (!stream && !g->dialect->hear) return;
    (stream ? g->dialect->delta : g->dialect->hear)(g, choice, buf_str(&choice->text));
    buf_clear(&choice->text);
}

static void on_token(Request *choice) {
    tell_text(choice->user, choice);
}

static void on_end(Request *choice) {
    Generation *g = choice->user;
    tell_text(g, choice);
    if (g->over || --g->n_running > 0) return;
    g->over = true;
    if (g->params.stream)
        g->dialect->end(g);
    else
        answer_whole(g);
}

static void fail(Generation *g, const ApiError *e) {
    HttpExchange *x = g->x;
    if (g->over) return;
    g->over = true;
    if (g->started) {
        g->dialect->fail(g, e);
    } else {
        g->x = NULL;
        api_error_reply(x, g->dialect->errors, e);
    }
    drop_choices(g, OUTCOME_CANCELLED);
}

static void on_failure(Request *choice, const ApiError *e) {
    fail(choice->user, e);
}

static void start_next(Generation *g);

static void on_released(Request *choice) {
    Generation *g = choice->user;
    g->n_live--;
    start_next(g);
    if (g->n_live == 0) generation_free(g);
}

static const RequestSink choice_sink = {on_token, on_end, on_failure, on_released};

// ---- start

static void make_id(Generation *g) {
    uint64_t r[2];
    CHECK(getrandom(r, sizeof r, 0) == sizeof r); // up to 256 bytes always come whole
    snprintf(g->id, sizeof g->id, "%s%016llx%016llx", g->dialect->id_prefix, (unsigned long long)r[0],
             (unsigned long long)r[1]);
}

// splitmix64's output function: choices of neighbouring seeds have nothing in common.
static uint64_t derived_seed(uint64_t seed, int64_t nth) {
    if (nth == 0) return seed;
    uint64_t z = seed + (uint64_t)nth * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static bool start_choice(Generation *g, GenParams params, ApiError *e) {
    char id[sizeof((Request *)0)->id];
    int32_t index = g->n_started;
    const TokenList *prompt = &g->prompts[index / params.n];
    params.sampling.seed = derived_seed(params.sampling.seed, index % params.n);
    if (g->n_choices > 1)
        snprintf(id, sizeof id, "%s/%d", g->id, (int)index);
    else
        snprintf(id, sizeof id, "%s", g->id);
    RequestSpec spec = {id, &params, prompt->ids, prompt->n, g->received_ns, index > 0 && !params.embed};
    Request *choice = request_start(g->model, &choice_sink, g, &spec, e);
    if (!choice) return false;
    choice->index = index;
    g->choices[g->n_started++] = choice;
    g->n_live++;
    return true;
}

// Embeddings come one after the other: what finds no room waits until one of their own has ended.
static bool may_wait(const Generation *g, const ApiError *e) {
    return g->params.embed && g->n_live > 0 && e->status == 429;
}

// One has ended, so there is room for others. What it costs to fail here is the whole answer.
static void start_next(Generation *g) {
    ApiError e = {0};
    while (!g->over && g->n_started < g->n_choices) {
        if (start_choice(g, g->params, &e)) continue;
        if (!may_wait(g, &e)) fail(g, &e);
        return;
    }
}

static GenParams without_views(GenParams p) {
    p.sampling.logit_bias = NULL;
    p.sampling.n_logit_bias = 0;
    p.n_stops = 0;
    p.cache_salt = (Str){"", 0};
    p.grammar = NULL;
    return p;
}

static Generation *generation_new(const Job *job, const GenDialect *dialect, GenPlan *plan) {
    Generation *g = calloc(1, sizeof *g);
    size_t n = plan->n_prompts * (size_t)plan->params.n;
    if (!g || !(g->choices = calloc(n, sizeof(Request *)))) {
        free(g);
        return NULL;
    }
    g->app = job->app;
    g->model = job->model;
    g->dialect = dialect;
    g->created = time(NULL);
    g->received_ns = g->sent_ns = job->received_ns;
    g->params = without_views(plan->params);
    g->state = plan->state;
    plan->state = NULL;
    g->prompts = plan->prompts;
    plan->prompts = NULL;
    plan->n_prompts = 0;
    g->n_choices = g->n_running = (int32_t)n;
    make_id(g);
    if (open_quiet(g)) return g;
    generation_free(g);
    return NULL;
}

// All of them or none; of embeddings as many as there is room for.
static bool start_all(Generation *g, const GenParams *params, ApiError *e) {
    int32_t room = g->model->served.max_live - g->model->n_requests;
    int32_t n = params->embed && room > 0 && room < g->n_choices ? room : g->n_choices;
    if (!request_admits(g->model, n, e)) return false;
    while (g->n_started < n)
        if (!start_choice(g, *params, e)) return may_wait(g, e);
    return true;
}

// ---- the job

typedef struct GenJob {
    Job job;
    const GenDialect *dialect;
    GenPlan plan;
} GenJob;

static bool check_n_choices(const Served *served, const GenPlan *p, ApiError *e) {
    size_t n = p->n_prompts * (size_t)p->params.n;
    if (p->params.embed || n <= (size_t)served->max_live) return true;
    const char *param = p->params.n > 1 ? "n" : "prompt";
    return api_error_set(e, 400, NULL, param,
                         "%s: the request asks for %zu answers at once; this server takes %d", param, n,
                         (int)served->max_live);
}

static void run(Job *job) {
    GenJob *j = (GenJob *)job;
    GenPlan *plan = &j->plan;
    if (j->dialect->read(job->served, job->json, plan, &job->error))
        check_n_choices(job->served, plan, &job->error);
}

static void done(Job *job) {
    GenJob *j = (GenJob *)job;
    ApiError e = {0};
    if (j->plan.reply) {
        api_reply_json(job->x, j->dialect->errors, 200, json_incref(j->plan.reply));
        return;
    }
    Generation *g = generation_new(job, j->dialect, &j->plan);
    if (!g) {
        api_error_set(&e, 503, NULL, NULL, "out of memory");
        api_error_reply(job->x, j->dialect->errors, &e);
        return;
    }
    if (start_all(g, &j->plan.params, &e)) {
        g->x = job->x;
        http_keep(g->x, on_client_gone, g);
        if (g->quiet) wait_for_quiet(g);
        return;
    }
    api_error_reply(job->x, j->dialect->errors, &e);
    generation_abandon(g, OUTCOME_CANCELLED);
    if (g->n_live == 0) generation_free(g);
}

static void clear(Job *job) {
    GenJob *j = (GenJob *)job;
    plan_free(&j->plan, j->dialect);
}

void generation_handle(App *app, HttpExchange *x, const GenDialect *dialect) {
    static const JobKind kind = {sizeof(GenJob), run, done, clear};
    Job *job = preparer_new_job(app, x, &kind, dialect->errors);
    if (!job) return;
    ((GenJob *)job)->dialect = dialect;
    preparer_start(job);
}

GenUsage generation_usage(const Generation *g) {
    GenUsage u = {0};
    for (int32_t i = 0; i < g->n_choices; i++) {
        const Request *choice = g->choices[i];
        u.n_generated += choice->n_generated;
        if (i % g->params.n != 0) continue;
        u.n_prompt += choice->n_prompt;
        u.n_cached += choice->n_cached;
    }
    return u;
}
