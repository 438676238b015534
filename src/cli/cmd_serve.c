// `cllm serve`: listens first, loads the model beside the event loop, serves until a signal.
#define _GNU_SOURCE // SCHED_IDLE
#include "cli/commands.h"

#include "base/log.h"
#include "cli/fetch.h"
#include "cli/runtime_options.h"
#include "cli/server_list.h"
#include "server/event_setup.h"
#include "server/server.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct Serving {
    const Options *options;
    Server *server;
    Runtime runtime;        // the loader's until `loaded`
    GrammarStore *grammars; // NULL: the model could not be loaded, or no memory
    atomic_bool loaded;     // the loader has finished, well or not
    atomic_bool ended;      // the server does not run any more
    ServerEntry entry;      // for `cllm ps`
} Serving;

// For the handler: whom signals concern.
static Server *signalled;

static void on_signal(int signal_number) {
    switch (signal_number) {
    case SIGHUP: server_reload(signalled); break;
    case SIGUSR1: server_change_log_level(signalled, 1); break;
    case SIGUSR2: server_change_log_level(signalled, -1); break;
    default: server_stop(signalled); break;
    }
}

// NULL: from now on they concern nobody.
static void handle_signals(Server *server) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP};
    struct sigaction handle = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    signalled = server;
    sigaction(SIGPIPE, &ignore, NULL);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], server ? &handle : &ignore, NULL);
}

static ServerConfig server_config(const Options *o) {
    return (ServerConfig){
        .host = o->host,
        .port = (int)o->port,
        .limits = {.max_connections = (int)o->max_connections,
                   .max_client_connections = (int)o->max_client_connections,
                   .max_body_bytes = (size_t)o->max_body_bytes,
                   .max_header_bytes = (size_t)o->max_header_bytes,
                   .max_bodies_bytes = (size_t)o->max_bodies_bytes,
                   .header_timeout_s = (int)o->header_timeout_s,
                   .body_timeout_s = (int)o->body_timeout_s,
                   .idle_timeout_s = (int)o->idle_timeout_s,
                   .min_body_rate = (size_t)o->min_body_rate},
        .max_pending_bytes = (size_t)o->max_pending_bytes,
        .default_max_tokens = (int32_t)o->default_max_tokens,
        .default_timeout_ms = o->default_timeout_ms,
        .model_id = o->model_id[0] ? o->model_id : NULL,
        .cors_origin = o->cors_origin[0] ? o->cors_origin : NULL,
        .api_key = o->api_key,
        .api_key_file = o->api_key_file,
        .tls_cert = o->tls_cert,
        .tls_key = o->tls_key,
        .tool_format = o->tool_format,
        .raw_reasoning = strcmp(o->reasoning_format, "none") == 0,
        .metrics_aliases = o->metrics_aliases,
        .drain_timeout_s = (int)o->drain_timeout_s,
    };
}

static bool needs_key(const Options *o) {
    return o->api_key[0] || o->api_key_file[0];
}

static bool is_loopback(const char *host) {
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

static void warn_if_open(const Options *o) {
    if (needs_key(o) || is_loopback(o->host)) return;
    log_event(LOG_WARN, "no_api_key", "host", o->host, "hint",
              "whoever reaches this address may use the server; see --api-key-file", NULL);
}

// A connection is a descriptor, and systems start programs with a low limit that they may raise.
static void raise_descriptor_limit(const Options *o) {
    enum { OTHERS = 64 }; // files, the log, the loop's own
    struct rlimit limit;
    rlim_t wanted = (rlim_t)o->max_connections + OTHERS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        log_f(LOG_WARN, "few_descriptors", "limit=%llu wanted=%llu", (unsigned long long)limit.rlim_cur,
              (unsigned long long)wanted);
}

// An address that a client on this machine can connect to.
static void reachable_url(const Options *o, int port, char *out, size_t size) {
    const char *host = o->host, *scheme = o->tls_cert[0] ? "https" : "http";
    bool any = !host[0] || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    bool v6 = !any && strchr(host, ':');
    snprintf(out, size, "%s://%s%s%s:%d", scheme, v6 ? "[" : "", any ? "127.0.0.1" : host, v6 ? "]" : "",
             port);
}

static void print_ready(const Serving *s) {
    char url[320];
    const ModelInfo *info = model_info(s->runtime.model);
    const char *key = needs_key(s->options) ? "-H \"Authorization: Bearer $CLLM_API_KEY\" " : "";
    reachable_url(s->options, server_port(s->server), url, sizeof url);
    printf("cLLM serves %s (%s) on %s\n", info->name, info->quantization, url);
    if (s->runtime.chat_template)
        printf(
            "Try: curl -s %s/v1/chat/completions %s-H 'Content-Type: application/json' "
            "-d '{\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},"
            "{\"role\":\"user\",\"content\":\"What is the capital of France?\"}],\"max_tokens\":64,\"temperature\":0}'\n",
            url, key);
    else
        printf("Try: curl -s %s/generate %s-H 'Content-Type: application/json' "
               "-d '{\"prompt\":\"Once upon a time\",\"max_tokens\":64}'\n",
               url, key);
    fflush(stdout);
}

// Fetches KV memory from the system before requests need it, in the order in which the pool hands it out,
// on CPU time that nobody else wants.
static void ready_kv(Serving *s) {
    enum { AT_ONCE = 4 }; // blocks
    size_t token_bytes = model_kv_bytes_per_token(s->runtime.model, runtime_kv_type(s->options));
    int64_t n = (s->options->kv_ready_mb << 20) / (int64_t)(token_bytes * KV_BLOCK_TOKENS);
    struct sched_param none = {0};
    if (pthread_setschedparam(pthread_self(), SCHED_IDLE, &none) != 0) return;
    for (int32_t block = 0; block < n && block < s->runtime.n_blocks && !atomic_load(&s->ended);
         block += AT_ONCE)
        model_context_touch(s->runtime.context, block, AT_ONCE);
}

static void *load(void *arg) {
    Serving *s = arg;
    Err err;
    RuntimeConfig config = runtime_config(s->options);
    if (runtime_open(&s->runtime, &config, &err)) {
        s->grammars = grammar_store_new(s->runtime.tokenizer, &err);
        Service service = {.engine = s->runtime.engine,
                           .grammars = s->grammars,
                           .tokenizer = s->runtime.tokenizer,
                           .chat_template = s->runtime.chat_template,
                           .model = s->runtime.model,
                           .model_path = s->options->model};
        server_attach(s->server, &service);
        print_ready(s);
    } else {
        server_fail(s->server, err.msg);
    }
    atomic_store(&s->loaded, true);
    if (s->grammars) grammar_store_prepare(s->grammars, &err);
    if (s->runtime.context) ready_kv(s);
    return NULL;
}

static bool serve_until_stopped(Serving *s, Err *err) {
    pthread_t loader;
    if (pthread_create(&loader, NULL, load, s) != 0)
        return err_set(err, ERR_NOMEM, "cannot start the thread that loads the model");
    bool ok = server_run(s->server, err);
    atomic_store(&s->ended, true);
    // Nothing can interrupt the loading of a large file, and nobody waits for it any more.
    if (!atomic_load(&s->loaded) && ok) {
        server_entry_remove(&s->entry);
        _exit(0);
    }
    pthread_join(loader, NULL);
    return ok;
}

// That it cannot be listed keeps no server from serving.
static void announce(Serving *s) {
    const Options *o = s->options;
    const char *slash = strrchr(o->model, '/');
    RunningServer self = {.pid = getpid(), .port = server_port(s->server), .started = (int64_t)time(NULL)};
    Err err;
    reachable_url(o, self.port, self.url, sizeof self.url);
    snprintf(self.model, sizeof self.model, "%s",
             o->model_id[0] ? o->model_id
             : slash        ? slash + 1
                            : o->model);
    if (!server_entry_write(&s->entry, &self, &err)) log_event(LOG_WARN, "not_listed", "why", err.msg, NULL);
}

static bool serve(const Options *o, Err *err) {
    if (!runtime_open_log(o, err) || !runtime_check_model(o->model, err)) return false;
    event_setup();
    ServerConfig config = server_config(o);
    Serving s = {.options = o, .server = server_new(&config, err)};
    if (!s.server) return false;
    warn_if_open(o);
    raise_descriptor_limit(o);
    handle_signals(s.server);
    announce(&s);
    bool ok = serve_until_stopped(&s, err);
    handle_signals(NULL);
    server_entry_remove(&s.entry);
    runtime_close(&s.runtime); // the engine first: it may still refer to the server's requests
    server_free(s.server);
    grammar_store_free(s.grammars);
    return ok;
}

static bool run(Options *o, int *code, Err *err) {
    return model_name_resolve(o, code, err) && serve(o, err);
}

int cmd_serve(int argc, char **argv) {
    return command_main(COMMAND_SERVE, argc, argv, run);
}
