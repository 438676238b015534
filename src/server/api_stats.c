#include "server/api_stats.h"

#include "base/clock.h"
#include "server/api_info.h"
#include "server/request.h"

enum { STATS_MAX_SEQUENCES = 256 }; // listed; a queue may be so long that all of them would hold up the loop

static json_t *finished_json(const EngineStats *s) {
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I}", "stop", (json_int_t)s->finished[FINISH_STOP], "length",
        (json_int_t)s->finished[FINISH_LENGTH], "cancelled", (json_int_t)s->finished[FINISH_CANCELLED],
        "timeout", (json_int_t)s->finished[FINISH_TIMEOUT], "no_token",
        (json_int_t)s->finished[FINISH_NO_TOKEN], "shutdown", (json_int_t)s->finished[FINISH_SHUTDOWN]);
}

static const char *state_word(const Request *r) {
    bool runs = engine_runs(r->model->served.service.engine, r->engine_id);
    if (r->answered) return "ending";
    if (r->n_generated > 0) return runs ? "decode" : "preempted";
    return runs ? "prefill" : "queued";
}

static json_t *sequences_json(const HostedModel *m) {
    json_t *list = json_array();
    int64_t now = clock_now_ns();
    const Request *r = m->app->requests; // the newest
    while (r && r->next) r = r->next;
    for (int n = 0; r && n < STATS_MAX_SEQUENCES; r = r->prev) {
        if (r->model != m) continue;
        n++;
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:f, s:i, s:i, s:i, s:i}", "id", r->id, "state",
                                        state_word(r), "age", clock_seconds(now - r->start_ns), "priority",
                                        (int)r->priority, "prompt_tokens", (int)r->n_prompt, "tokens",
                                        (int)r->n_generated, "max_tokens", (int)r->max_tokens));
    }
    return list;
}

void api_stats(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    EngineStats s = {0};
    const HostedModel *m = api_queried_model(app, x, DIALECT_NATIVE);
    if (!m) return;
    const Engine *engine = m->served.service.engine;
    if (engine) engine_stats(engine, &s);
    double steps = s.steps ? (double)s.steps : 1, seconds = (double)s.step_ns.sum * 1e-9;
    json_t *data = json_pack(
        "{s:s, s:s, s:I, s:i, s:i, s:I, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:o}",
        "model", m->served.model_id, "state", model_state_word(m), "loads", (json_int_t)m->n_loads, "running",
        (int)s.running, "waiting", (int)s.waiting + (int)m->n_waiting, "waiting_tokens",
        (json_int_t)(engine ? engine_queue_tokens(engine) : 0), "live", (int)m->n_requests, "blocks_total",
        (int)s.blocks_total, "blocks_used", (int)s.blocks_used, "blocks_cached", (int)s.blocks_cached,
        "blocks_touched", (int)s.blocks_touched, "steps", (json_int_t)s.steps, "rows",
        (json_int_t)s.step_rows.sum, "rows_per_step", (double)s.step_rows.sum / steps, "step_seconds",
        seconds, "seconds_per_step", seconds / steps, "requests", (json_int_t)s.requests, "prompt_tokens",
        (json_int_t)s.prompt_tokens, "generated_tokens", (json_int_t)s.generated_tokens, "drafted_tokens",
        (json_int_t)s.drafted_tokens, "accepted_tokens", (json_int_t)s.accepted_tokens, "preemptions",
        (json_int_t)s.preemptions, "prefix_query_tokens", (json_int_t)s.prefix_query_tokens,
        "prefix_hit_tokens", (json_int_t)s.prefix_hit_tokens, "prefix_evictions",
        (json_int_t)s.prefix_evictions, "uptime", clock_seconds(clock_now_ns() - app->started_ns), "finished",
        finished_json(&s), "sequences", sequences_json(m));
    api_reply_data(x, data);
}
