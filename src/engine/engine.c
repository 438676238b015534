#include "engine/engine.h"

#include "base/clock.h"
#include "base/quiet_thread.h"
#include "engine/engine_core.h"
#include "engine/queue.h"
#include "engine/stats.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

// Two threads and what lies between them.
//
// Inbox: at most one SUBMIT and one CANCEL a request, one STOP and one QUIT. The engine empties it
// before each step. In the time between two visits a place among the live requests can see at most
// one END leave and one newcomer arrive, so three messages a place are the most that can stand in
// it: sized for that, it is never full.
//
// Outbox: every live request owns room for its END, always. A step runs only if there is room for
// its tokens as well; otherwise (the front thread has not collected for a long time) the engine
// sleeps until half of the outbox is free. So ends never wait for room: cancel, deadlines and
// shutdown work while the front thread is busy elsewhere, and engine_free cannot hang.
//
// A sleeper must not miss its wake-up. Inbox: the front thread commits, then writes the eventfd;
// the engine reads the eventfd, then looks into the inbox. Full outbox: the engine sets `stalled`,
// then looks at the room; the front thread takes, then looks at `stalled`; all four sequentially
// consistent, so at least one of the two sees the other.
//
// A Seq is made by engine_submit and freed by engine_poll when its END is collected (what was not
// collected, by engine_free): the engine thread never allocates.
enum { OUTBOX_SLACK = 1024 };

typedef enum MessageKind { MESSAGE_SUBMIT, MESSAGE_CANCEL, MESSAGE_STOP, MESSAGE_QUIT } MessageKind;

typedef struct Message {
    MessageKind kind;
    SeqPlace at; // CANCEL
    Seq *seq;    // SUBMIT
} Message;

struct Engine {
    // Set at start.
    EngineCore *core;
    SeqTraits traits;
    int32_t max_live, max_sequence, n_embd;
    int32_t max_tokens; // TOKEN events of a step
    int64_t max_queue_tokens;
    Turns *turns;
    int inbox_fd, outbox_fd;
    pthread_t thread;
    // Shared.
    Queue inbox, outbox;
    StatsBoard board;
    _Alignas(64) atomic_bool stalled;
    // The front thread's.
    SeqLine live;           // in order of arrival
    int64_t n_queue_tokens; // of the prompts of those whose first token has not been collected
    uint64_t last_id;
    Seq *ended; // freed with the next poll: its last event may show log-probabilities
    bool closed, stop_sent;
};

static void signal_fd(int fd) {
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void clear_fd(int fd) {
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

// ---- The engine thread

static int64_t real_now(void *ctx) {
    (void)ctx;
    return clock_now_ns();
}

static void stage_event(void *ctx, const EngineEvent *event, Seq *ended) {
    Engine *e = ctx;
    (void)ended; // the front thread finds it by its id
    CHECK(queue_put(&e->outbox, event));
}

// Statistics first: whoever has seen an event also sees what it counted.
static void publish(Engine *e) {
    stats_publish(&e->board, engine_core_stats(e->core));
    if (queue_commit(&e->outbox)) signal_fd(e->outbox_fd);
}

// false: time to go.
static bool read_inbox(Engine *e) {
    Message m;
    for (uint64_t n = queue_n(&e->inbox); n > 0; n--) {
        CHECK(queue_take(&e->inbox, &m));
        switch (m.kind) {
        case MESSAGE_SUBMIT: engine_core_add(e->core, m.seq); break;
        case MESSAGE_CANCEL: engine_core_cancel(e->core, m.at); break;
        case MESSAGE_STOP: engine_core_end_all(e->core, FINISH_SHUTDOWN); break;
        case MESSAGE_QUIT: engine_core_end_all(e->core, FINISH_SHUTDOWN); return false;
        }
    }
    return true;
}

static bool room_for_step(const Engine *e) {
    return queue_room(&e->outbox) >= (uint64_t)e->max_live + (uint64_t)e->max_tokens;
}

static bool is_stalled(Engine *e) {
    if (room_for_step(e)) return false;
    atomic_store(&e->stalled, true);
    return !room_for_step(e);
}

static int timeout_ms(int64_t deadline) {
    if (deadline == 0) return -1;
    int64_t ns = deadline - clock_now_ns();
    if (ns <= 0) return 0;
    int64_t ms = (ns + 999999) / 1000000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void sleep_until_needed(Engine *e) {
    struct pollfd p = {.fd = e->inbox_fd, .events = POLLIN};
    poll(&p, 1, timeout_ms(engine_core_next_deadline(e->core)));
    clear_fd(e->inbox_fd);
}

static bool step(Engine *e) {
    if (is_stalled(e)) return false;
    if (!e->turns) return engine_core_step(e->core);
    turns_take(e->turns);
    bool stepped = engine_core_step(e->core);
    turns_give(e->turns);
    return stepped;
}

static void *engine_main(void *arg) {
    Engine *e = arg;
    while (read_inbox(e)) {
        engine_core_expire(e->core);
        bool stepped = step(e);
        publish(e);
        if (!stepped) sleep_until_needed(e);
    }
    publish(e);
    return NULL;
}

// ---- Start and end

static bool start_thread(Engine *e, Err *err) {
    int failed = quiet_thread_start(&e->thread, engine_main, e);
    return !failed || err_set(err, ERR_IO, "engine: cannot start its thread: %s", strerror(failed));
}

static bool open_fds(Engine *e, Err *err) {
    e->inbox_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    e->outbox_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (e->inbox_fd >= 0 && e->outbox_fd >= 0) return true;
    return err_set(err, ERR_IO, "engine: cannot open an eventfd: %s", strerror(errno));
}

static bool make_room(Engine *e, Err *err) {
    size_t live = (size_t)e->max_live, tokens = (size_t)e->max_tokens;
    return seq_line_init(&e->live, e->max_live, err) &&
           queue_init(&e->inbox, sizeof(Message), 3 * live + 2, err) &&
           queue_init(&e->outbox, sizeof(EngineEvent), 2 * (live + tokens) + OUTBOX_SLACK, err);
}

static void free_parts(Engine *e) {
    seq_free(e->ended);
    for (int32_t i = 0; i < e->live.n; i++) seq_free(e->live.at[i]);
    seq_line_destroy(&e->live);
    queue_destroy(&e->inbox);
    queue_destroy(&e->outbox);
    if (e->inbox_fd >= 0) close(e->inbox_fd);
    if (e->outbox_fd >= 0) close(e->outbox_fd);
    engine_core_free(e->core);
    free(e);
}

static int32_t max_sequence(const StepModel *m) {
    int64_t pool = (int64_t)m->n_blocks * KV_BLOCK_TOKENS;
    return pool < m->max_context ? (int32_t)pool : m->max_context;
}

Engine *engine_new(const EngineConfig *config, const StepModel *model, Workers *workers, Err *err) {
    Engine *e = aligned_alloc(_Alignof(Engine), sizeof *e);
    if (!e) {
        err_set(err, ERR_NOMEM, "engine: no memory");
        return NULL;
    }
    memset(e, 0, sizeof *e);
    e->inbox_fd = e->outbox_fd = -1;
    EngineSink sink = {e, real_now, stage_event};
    if (!(e->core = engine_core_new(config, model, workers, &sink, err))) goto fail;
    e->max_tokens = config->spec_rows > config->max_running ? config->spec_rows : config->max_running;
    e->max_live = config->max_running + config->max_queue;
    e->max_sequence = max_sequence(model);
    e->max_queue_tokens = config->max_queue_tokens;
    e->turns = config->turns;
    e->n_embd = model->n_embd;
    e->traits = (SeqTraits){.n_vocab = model->n_vocab,
                            .drafts = config->spec_rows > 1,
                            .priority_step_ns = config->priority_step_ns};
    stats_publish(&e->board, engine_core_stats(e->core));
    if (make_room(e, err) && open_fds(e, err) && start_thread(e, err)) return e;
fail:
    free_parts(e);
    return NULL;
}

static void send(Engine *e, const Message *m) {
    CHECK(queue_put(&e->inbox, m));
    queue_commit(&e->inbox);
    signal_fd(e->inbox_fd);
}

void engine_stop(Engine *e, bool now) {
    e->closed = true;
    if (!now || e->stop_sent) return;
    e->stop_sent = true;
    send(e, &(Message){.kind = MESSAGE_STOP});
}

void engine_free(Engine *e) {
    if (!e) return;
    send(e, &(Message){.kind = MESSAGE_QUIT});
    pthread_join(e->thread, NULL);
    free_parts(e);
}

// ---- The front thread

static bool check_tokens(const Engine *e, const EngineRequest *r, Err *err) {
    for (int32_t i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= e->traits.n_vocab)
            return err_set(err, ERR_INVALID, "prompt token %d is %d; the vocabulary has 0 … %d", i,
                           r->prompt[i], e->traits.n_vocab - 1);
    return true;
}

static SubmitResult check_request(const Engine *e, const EngineRequest *r, Err *err) {
    if (r->n_prompt < 1) {
        err_set(err, ERR_INVALID, "the prompt has no tokens");
        return SUBMIT_BAD;
    }
    if (r->max_tokens < 0) {
        err_set(err, ERR_INVALID, "max_tokens is %d; it must not be negative", r->max_tokens);
        return SUBMIT_BAD;
    }
    if (r->priority < -ENGINE_MAX_PRIORITY || r->priority > ENGINE_MAX_PRIORITY) {
        err_set(err, ERR_INVALID, "priority is %d; it must be %d … %d", r->priority, -ENGINE_MAX_PRIORITY,
                ENGINE_MAX_PRIORITY);
        return SUBMIT_BAD;
    }
    if (r->n_top < 0 || r->n_top > LOGPROBS_MAX_TOP) {
        err_set(err, ERR_INVALID, "n_top is %d; it must be 0 … %d", r->n_top, LOGPROBS_MAX_TOP);
        return SUBMIT_BAD;
    }
    if (r->cache_salt.len > ENGINE_MAX_SALT) {
        err_set(err, ERR_INVALID, "cache_salt has %zu bytes; it may have %d", r->cache_salt.len,
                ENGINE_MAX_SALT);
        return SUBMIT_BAD;
    }
    if ((int64_t)r->n_prompt + r->max_tokens > e->max_sequence) {
        err_set(err, ERR_LIMIT, "%d prompt tokens and max_tokens %d exceed the %d tokens of a sequence",
                r->n_prompt, r->max_tokens, e->max_sequence);
        return SUBMIT_TOO_LONG;
    }
    return check_tokens(e, r, err) ? SUBMIT_OK : SUBMIT_BAD;
}

// A prompt that nobody waits before is taken, however long it is, and with it its companions: they would be
// refused forever.
static bool has_room(const Engine *e, const EngineRequest *r, Err *err) {
    if (e->live.n == e->max_live)
        return err_set(err, ERR_LIMIT, "%d requests are running or waiting already (max_running + max_queue)",
                       e->max_live);
    if (e->max_queue_tokens == 0 || e->n_queue_tokens == 0 || r->companion ||
        e->n_queue_tokens + r->n_prompt <= e->max_queue_tokens)
        return true;
    return err_set(
        err, ERR_LIMIT,
        "%lld prompt tokens wait already; with this prompt's %d they are more than %lld (max_queue_tokens)",
        (long long)e->n_queue_tokens, r->n_prompt, (long long)e->max_queue_tokens);
}

SubmitResult engine_submit(Engine *e, const EngineRequest *r, uint64_t *id, Err *err) {
    if (e->closed) {
        err_set(err, ERR_LIMIT, "the engine is shutting down");
        return SUBMIT_CLOSED;
    }
    SubmitResult result = check_request(e, r, err);
    if (result != SUBMIT_OK) return result;
    if (!has_room(e, r, err)) return SUBMIT_QUEUE_FULL;
    Seq *s = seq_new(r, e->last_id + 1, &e->traits, clock_now_ns(), err);
    if (!s) return SUBMIT_BAD;
    *id = ++e->last_id;
    seq_line_insert(&e->live, e->live.n, s);
    e->n_queue_tokens += s->n_prompt;
    send(e, &(Message){.kind = MESSAGE_SUBMIT, .seq = s});
    return SUBMIT_OK;
}

void engine_cancel(Engine *e, uint64_t id) {
    int32_t i = seq_line_find(&e->live, id);
    if (i < 0 || e->live.at[i]->cancel_sent) return;
    e->live.at[i]->cancel_sent = true;
    send(e, &(Message){.kind = MESSAGE_CANCEL, .at = {e->live.at[i]->rank, id}});
}

static void wake_if_stalled(Engine *e) {
    if (queue_n(&e->outbox) > e->outbox.capacity / 2) return;
    if (atomic_load(&e->stalled) && atomic_exchange(&e->stalled, false)) signal_fd(e->inbox_fd);
}

bool engine_poll(Engine *e, EngineEvent *out) {
    seq_free(e->ended);
    e->ended = NULL;
    if (!queue_take(&e->outbox, out)) {
        clear_fd(e->outbox_fd);
        if (!queue_take(&e->outbox, out)) return false;
    }
    wake_if_stalled(e);
    if (out->n_generated == (out->kind == ENGINE_TOKEN)) e->n_queue_tokens -= out->n_prompt;
    if (out->kind == ENGINE_END) {
        int32_t i = seq_line_find(&e->live, out->id);
        CHECK(i >= 0);
        e->ended = e->live.at[i];
        seq_line_remove(&e->live, i);
    }
    return true;
}

bool engine_idle(const Engine *e) {
    return e->live.n == 0;
}

int engine_event_fd(const Engine *e) {
    return e->outbox_fd;
}

int32_t engine_n_embd(const Engine *e) {
    return e->n_embd;
}

int32_t engine_max_sequence(const Engine *e) {
    return e->max_sequence;
}

int32_t engine_max_live(const Engine *e) {
    return e->max_live;
}

int32_t engine_n_live(const Engine *e) {
    return e->live.n;
}

int64_t engine_queue_tokens(const Engine *e) {
    return e->n_queue_tokens;
}

bool engine_runs(const Engine *e, uint64_t id) {
    int32_t i = seq_line_find(&e->live, id);
    return i >= 0 && atomic_load_explicit(&e->live.at[i]->runs, memory_order_relaxed);
}

void engine_stats(const Engine *e, EngineStats *out) {
    stats_read(&e->board, out);
}
