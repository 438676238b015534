#include "server/router.h"

#include "base/num.h"
#include "base/shortage.h"
#include "server/app.h"
#include "server/json_memory.h"
#include "server/missing_routes.h"
#include "server/percent.h"

static bool path_matches(const char *pattern, Str path, Str *tail) {
    const char *open = strchr(pattern, '{');
    *tail = (Str){"", 0};
    if (!open) return str_eq(path, str_from(pattern));
    size_t fixed = (size_t)(open - pattern);
    if (path.len <= fixed || memcmp(path.ptr, pattern, fixed) != 0) return false;
    *tail = str_skip(path, fixed);
    return true;
}

static void allow_add(Buf *allow, const char *name) {
    if (allow->len) buf_puts(allow, ", ");
    buf_puts(allow, name);
}

RouteResult router_find(const Route *routes, size_t n, HttpMethod method, Str path, const Route **found,
                        Str *tail, Buf *allow) {
    HttpMethod wanted = method == HTTP_HEAD ? HTTP_GET : method;
    bool known = false;
    *found = NULL;
    *tail = (Str){"", 0};
    for (size_t i = 0; i < n; i++) {
        Str rest;
        if (!path_matches(routes[i].path, path, &rest)) continue;
        known = true;
        allow_add(allow, http_method_name(routes[i].method));
        if (routes[i].method == HTTP_GET) allow_add(allow, "HEAD");
        if (routes[i].method != wanted || *found) continue;
        *found = &routes[i];
        *tail = rest;
    }
    if (known) allow_add(allow, "OPTIONS");
    if (*found) return ROUTE_FOUND;
    if (!known) return ROUTE_UNKNOWN_PATH;
    return method == HTTP_OPTIONS ? ROUTE_OPTIONS : ROUTE_WRONG_METHOD;
}

Dialect router_dialect(Str path) {
    static const struct {
        const char *start;
        Dialect dialect;
    } table[] = {
        {"/v1/messages", DIALECT_ANTHROPIC}, {"/v1/", DIALECT_OPENAI},
        {"/tokenize", DIALECT_OPENAI},       {"/detokenize", DIALECT_OPENAI},
        {"/apply-template", DIALECT_OPENAI}, {"/api/", DIALECT_OLLAMA},
        {"/chat/", DIALECT_OPENAI},          {"/completions", DIALECT_OPENAI},
        {"/embeddings", DIALECT_OPENAI},     {"/models", DIALECT_OPENAI},
        {"/responses", DIALECT_OPENAI},      {"/messages", DIALECT_ANTHROPIC},
        {"/rerank", DIALECT_OPENAI},         {"/v2/", DIALECT_OPENAI},
        {"/score", DIALECT_OPENAI},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (str_starts_with(path, str_from(table[i].start))) return table[i].dialect;
    return DIALECT_NATIVE;
}

static void reply_options(HttpExchange *x, const char *allow) {
    http_set_header(x, "Allow", allow);
    if (http_origin_allowed(x)) {
        const char *wanted = http_header(x, "Access-Control-Request-Headers");
        http_set_header(x, "Access-Control-Allow-Methods", allow);
        http_set_header(x, "Access-Control-Allow-Headers",
                        wanted ? wanted : "Authorization, Content-Type, x-api-key");
        http_set_header(x, "Access-Control-Max-Age", "86400");
    }
    http_reply(x, 204, NULL, (Str){"", 0});
}

// Whether the server lives, and what it offers to people: these tell nothing of what others do.
static bool is_open(Str path) {
    return str_eq(path, STR("/")) || str_eq(path, STR("/health")) || str_starts_with(path, STR("/assets/"));
}

// A preflight carries no key: browsers ask before they send one.
static bool screen(const HttpHead *head, HttpRefusal *r, void *user) {
    const App *app = user;
    if (is_open(head->path) || str_eq(head->method, STR("OPTIONS")) ||
        keys_admit(app->keys, head->authorization, head->x_api_key))
        return true;
    *r = (HttpRefusal){.status = 401,
                       .code = "invalid_api_key",
                       .message = "this server needs an API key: send it as `Authorization: Bearer KEY` or "
                                  "`x-api-key: KEY`"};
    return false;
}

static char *refusal_json(const HttpRefusal *r, void *user) {
    (void)user;
    ApiError e;
    shortage_begin();
    api_error_set(&e, r->status, r->code, NULL, "%s", r->message);
    json_t *value = api_error_json(&e, r->path.len ? router_dialect(r->path) : DIALECT_OPENAI);
    Buf text = {0};
    bool whole = json_memory_dump(value, &text);
    json_decref(value);
    if (!whole) buf_free(&text);
    return text.ptr;
}

// A browser lets any page send a plain POST to any server, though it does not show it the answer: to a server
// without keys on somebody's own machine that is work for strangers. So a page that names itself must be the
// server's own or have been let in by CORS. Programs name no page.
static bool is_from_a_stranger(const HttpExchange *x) {
    const char *origin = http_header(x, "Origin"), *host = http_header(x, "Host");
    if (http_method(x) != HTTP_POST || !origin || http_origin_allowed(x)) return false;
    const char *authority = strstr(origin, "://");
    return !authority || !host || strcmp(authority + 3, host) != 0;
}

static void call(App *app, HttpExchange *x, const Route *route, Str tail) {
    ApiError e;
    Dialect dialect = router_dialect(http_path(x));
    if (is_from_a_stranger(x)) {
        api_error_set(&e, 403, "origin_not_allowed", NULL,
                      "pages of this origin may not use this server; --cors-origin lets them in");
        api_error_reply(x, dialect, &e);
        return;
    }
    if (http_body_too_large(x)) {
        api_error_set(&e, 413, "body_too_large", NULL, "the request body is larger than %zu bytes",
                      app->config->limits.max_body_bytes);
        api_error_reply(x, dialect, &e);
        return;
    }
    bool only_reads = route->method == HTTP_GET && app->attached; // also while draining
    if (route->needs_model && !only_reads && !app_admits(app, &e)) {
        api_error_reply(x, dialect, &e);
        return;
    }
    Buf decoded = {0};
    percent_decode(tail, false, &decoded);
    if (decoded.failed)
        api_no_memory_reply(x, dialect);
    else
        route->handler(app, x, buf_str(&decoded));
    buf_free(&decoded);
}

static void handle(HttpExchange *x, void *app) {
    const Route *found;
    Str path = http_path(x), tail;
    Buf allow = {0};
    ApiError e;
    shortage_begin();
    RouteResult result = router_find(routes_table, routes_count, http_method(x), path, &found, &tail, &allow);
    if (allow.failed) {
        api_no_memory_reply(x, router_dialect(path));
        buf_free(&allow);
        return;
    }
    switch (result) {
    case ROUTE_FOUND:
        http_set_tag(x, found);
        call(app, x, found, tail);
        break;
    case ROUTE_OPTIONS: reply_options(x, allow.ptr); break;
    case ROUTE_WRONG_METHOD:
        api_error_set(&e, 405, "method_not_allowed", NULL, "%s is not allowed here; allowed: %s",
                      http_method_name(http_method(x)), allow.ptr);
        http_set_header(x, "Allow", allow.ptr);
        api_error_reply(x, router_dialect(path), &e);
        break;
    case ROUTE_UNKNOWN_PATH:
        api_error_set(&e, 404, "unknown_route", NULL, "there is no %.*s here: %s",
                      (int)num_min(path.len, 100), path.ptr, missing_route_hint(path));
        api_error_reply(x, router_dialect(path), &e);
        break;
    }
    buf_free(&allow);
}

static void count_reply(const void *route, int status, void *app) {
    size_t place = route ? (size_t)((const Route *)route - routes_table) : routes_count;
    metrics_note_reply(&((App *)app)->replies, place, status);
}

HttpCalls router_calls(App *app) {
    return (HttpCalls){.screen = screen,
                       .handle = handle,
                       .answered = count_reply,
                       .refusal_json = refusal_json,
                       .user = app};
}
