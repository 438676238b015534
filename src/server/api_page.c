#include "server/api_page.h"

#include "base/version.h"
#include "server/router.h"
#include "server/web_assets.h"

#include <stdlib.h>

// The weight of a word in an Accept header: the q of its entry, 1 without one, 0 if absent.
static double accept_weight(const char *accept, const char *word) {
    const char *at = accept ? strstr(accept, word) : NULL;
    if (!at) return 0;
    const char *end = strchr(at, ','), *q = strstr(at, ";q=");
    return q && (!end || q < end) ? strtod(q + 3, NULL) : 1;
}

// A browser asks for text/html by name; tools send nothing or */*.
static bool wants_page(const HttpExchange *x) {
    const char *accept = http_header(x, "Accept");
    double html = accept_weight(accept, "text/html");
    return html > 0 && html >= accept_weight(accept, "application/json");
}

static json_t *endpoints_json(void) {
    json_t *list = json_array();
    for (size_t i = 0; i < routes_count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "method", http_method_name(routes_table[i].method), "path",
                            routes_table[i].path, "description", routes_table[i].description));
    return list;
}

// The page shows what models and people wrote. Whatever got through it as markup still runs no script, loads
// nothing from elsewhere and sends nothing there.
static void set_policy(HttpExchange *x) {
    http_set_header(
        x, "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types dompurify");
    http_set_header(x, "X-Content-Type-Options", "nosniff");
    http_set_header(x, "Referrer-Policy", "no-referrer");
}

// Names stay the same from build to build, so a browser asks every time, and mostly hears 304.
static void reply_asset(HttpExchange *x, const WebAsset *asset) {
    const char *known = http_header(x, "If-None-Match");
    bool zipped = asset->gzip.len && accept_weight(http_header(x, "Accept-Encoding"), "gzip") > 0;
    http_set_header(x, "ETag", asset->etag);
    http_set_header(x, "Cache-Control", "no-cache");
    set_policy(x);
    if (known && strstr(known, asset->etag)) {
        http_reply(x, 304, NULL, (Str){"", 0});
        return;
    }
    if (zipped) http_set_header(x, "Content-Encoding", "gzip");
    http_reply(x, 200, asset->type, zipped ? asset->gzip : asset->plain);
}

void api_root(App *app, HttpExchange *x, Str tail) {
    (void)app, (void)tail;
    const WebAsset *page = web_asset(STR("index.html"));
    http_set_header(x, "Vary", "Accept, Accept-Encoding");
    if (page && wants_page(x)) {
        reply_asset(x, page);
        return;
    }
    api_reply_data(x, json_pack("{s:s, s:s, s:o}", "name", "cLLM", "version", CLLM_VERSION, "endpoints",
                                endpoints_json()));
}

void api_asset(App *app, HttpExchange *x, Str tail) {
    (void)app;
    const WebAsset *asset = web_asset(tail);
    ApiError e;
    http_set_header(x, "Vary", "Accept-Encoding");
    if (asset) {
        reply_asset(x, asset);
        return;
    }
    api_error_set(&e, 404, "unknown_route", NULL, "the page has no file of this name");
    api_error_reply(x, DIALECT_NATIVE, &e);
}
