// `cllm serve`: listens first, loads the model beside the event loop, serves until a signal.
#include "cli/commands.h"

#include "base/log.h"
#include "cli/model_host.h"
#include "cli/runtime_options.h"
#include "cli/server_list.h"
#include "server/event_setup.h"
#include "server/server.h"
#include "server/web_assets.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct Serving {
    const Options *options;
    Server *server;
    ModelHosting *hosting;
    SamplingDefaults sampling;
    ServerEntry entry; // for `cllm ps`
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
        .cors_origin = o->cors_origin[0] ? o->cors_origin : NULL,
        .api_key = o->api_key,
        .api_key_file = o->api_key_file,
        .tls_cert = o->tls_cert,
        .tls_key = o->tls_key,
        .tool_format = o->tool_format,
        .raw_reasoning = strcmp(o->reasoning_format, "none") == 0,
        .metrics_aliases = o->metrics_aliases,
        .sse_ping_ns = o->sse_ping_s * 1000000000,
        .drain_timeout_s = (int)o->drain_timeout_s,
    };
}

static SamplingDefaults sampling_defaults(const Options *o) {
    return (SamplingDefaults){.temperature = o->default_temperature,
                              .top_p = o->default_top_p,
                              .min_p = o->default_min_p,
                              .repetition_penalty = o->default_repetition_penalty,
                              .top_k = o->default_top_k};
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

static void print_ready(void *arg, const Runtime *first) {
    const Serving *s = arg;
    char url[320];
    const ModelInfo *info = model_info(first->model);
    const char *key = needs_key(s->options) ? "-H \"Authorization: Bearer $CLLM_API_KEY\" " : "";
    const char *page = web_asset(STR("index.html")) ? " (a page, in a browser)" : "";
    reachable_url(s->options, server_port(s->server), url, sizeof url);
    if (s->options->more_model.n > 0)
        printf("cLLM serves %s on %s%s\n", model_hosting_summary(s->hosting), url, page);
    else
        printf("cLLM serves %s (%s) on %s%s\n", info->name, info->quantization, url, page);
    if (first->chat_template)
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
    clearerr(stdout); // whom this does not reach the server serves all the same
}

static bool serve_until_stopped(Serving *s, Err *err) {
    bool ok = server_run(s->server, err);
    model_hosting_stop(s->hosting);
    return ok;
}

// That it cannot be listed keeps no server from serving.
static void announce(Serving *s) {
    RunningServer self = {.pid = getpid(), .port = server_port(s->server), .started = (int64_t)time(NULL)};
    Err err;
    reachable_url(s->options, self.port, self.url, sizeof self.url);
    snprintf(self.model, sizeof self.model, "%s", model_hosting_summary(s->hosting));
    if (!server_entry_write(&s->entry, &self, &err)) log_event(LOG_WARN, "not_listed", "why", err.msg, NULL);
}

static bool serve(Serving *s, Err *err) {
    ServerConfig config = server_config(s->options);
    s->sampling = sampling_defaults(s->options);
    config.default_sampling = &s->sampling;
    event_setup();
    model_hosting_config(s->hosting, &config);
    s->server = server_new(&config, err);
    if (!s->server) return false;
    warn_if_open(s->options);
    raise_descriptor_limit(s->options);
    handle_signals(s->server);
    announce(s);
    bool ok = model_hosting_start(s->hosting, s->server, print_ready, s, err) && serve_until_stopped(s, err);
    handle_signals(NULL);
    server_entry_remove(&s->entry);
    server_free(s->server);
    return ok;
}

static bool run(Options *o, int *code, Err *err) {
    if (!runtime_open_log(o, err)) return false;
    Serving s = {.options = o, .hosting = model_hosting_new(o, code, err)};
    bool ok = s.hosting && serve(&s, err);
    model_hosting_free(s.hosting);
    return ok;
}

int cmd_serve(int argc, char **argv) {
    return command_main(COMMAND_SERVE, argc, argv, run);
}
