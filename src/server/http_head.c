#include "server/http_head.h"

#include <strings.h>

static bool bad(HttpHead *h, int status, const char *message) {
    h->status = status;
    h->message = message;
    return false;
}

static bool is_token_char(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c);
}

static size_t token_length(Str s) {
    size_t n = 0;
    while (n < s.len && is_token_char(s.ptr[n])) n++;
    return n;
}

static bool equals(Str s, const char *word) {
    return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

static bool starts(Str s, const char *word) {
    size_t n = strlen(word);
    return s.len >= n && strncasecmp(s.ptr, word, n) == 0;
}

// ---- the request line

static Str until(Str s, const char *ends) {
    size_t n = 0;
    while (n < s.len && !memchr(ends, s.ptr[n], strlen(ends))) n++;
    return (Str){s.ptr, n};
}

// What a target may be: /path, http://host/path (proxies), or * for OPTIONS.
static bool read_target(HttpHead *h, Str target) {
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] > '~' || target.ptr[i] == '#')
            return bad(h, 400, "the request target holds a byte that no URI holds");
    size_t scheme = starts(target, "http://") ? 7 : starts(target, "https://") ? 8 : 0;
    if (scheme) {
        Str rest = str_skip(target, scheme), host = until(rest, "/?");
        if (host.len == 0) return bad(h, 400, "the request target names no host");
        target = str_skip(rest, host.len);
    } else if (target.ptr[0] != '/' && !(equals(target, "*") && equals(h->method, "OPTIONS"))) {
        return bad(h, 400, "the request target is not a path");
    }
    h->path = until(target, "?");
    if (h->path.len == 0) h->path = STR("/");
    return true;
}

static bool read_version(HttpHead *h, Str version) {
    h->http_1_0 = str_eq(version, STR("HTTP/1.0"));
    if (h->http_1_0 || str_eq(version, STR("HTTP/1.1"))) return true;
    if (!str_starts_with(version, STR("HTTP/")) || memchr(version.ptr, ' ', version.len))
        return bad(h, 400, "the request line names no version of HTTP");
    return bad(h, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
}

static bool read_request_line(HttpHead *h, Str line) {
    size_t n = token_length(line);
    h->method = str_sub(line, 0, n);
    if (n == 0 || n == line.len || line.ptr[n] != ' ')
        return bad(h, 400, "the request line does not begin with a method");
    Str rest = str_skip(line, n + 1), target = until(rest, " ");
    if (target.len == 0 || target.len == rest.len)
        return bad(h, 400, "the request line is not METHOD TARGET HTTP/1.1");
    return read_version(h, str_skip(rest, target.len + 1)) && read_target(h, target);
}

// ---- fields

static bool read_length(HttpHead *h, Str value) {
    if (h->has_length) return bad(h, 400, "Content-Length is sent twice");
    if (value.len == 0 || value.len > 18) return bad(h, 400, "Content-Length is not a number");
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') return bad(h, 400, "Content-Length is not a number");
        h->length = h->length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    h->has_length = true;
    return true;
}

static bool read_encoding(HttpHead *h, Str value) {
    if (h->chunked) return bad(h, 400, "Transfer-Encoding is sent twice");
    if (!equals(value, "chunked")) return bad(h, 501, "the only Transfer-Encoding understood is chunked");
    h->chunked = true;
    return true;
}

static bool keep_once(HttpHead *h, Str *field, Str value, const char *message) {
    if (field->ptr) return bad(h, 400, message);
    *field = value;
    return true;
}

static bool note_field(HttpHead *h, Str name, Str value) {
    if (equals(name, "Content-Length")) return read_length(h, value);
    if (equals(name, "Transfer-Encoding")) return read_encoding(h, value);
    if (equals(name, "Authorization"))
        return keep_once(h, &h->authorization, value, "Authorization is sent twice");
    if (equals(name, "x-api-key")) return keep_once(h, &h->x_api_key, value, "x-api-key is sent twice");
    if (equals(name, "Origin")) return keep_once(h, &h->origin, value, "Origin is sent twice");
    if (equals(name, "Expect")) return keep_once(h, &h->expect, value, "Expect is sent twice");
    if (equals(name, "Host") && h->n_hosts++) return bad(h, 400, "Host is sent twice");
    if (equals(name, "Connection")) {
        h->has_connection = true;
        h->closes = equals(value, "close");
    }
    return true;
}

static bool read_field(HttpHead *h, Str line) {
    size_t n = token_length(line);
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t') return bad(h, 400, "a header field is folded over lines");
    if (n == 0 || n == line.len || line.ptr[n] != ':')
        return bad(h, 400, "a header field is not NAME: VALUE");
    if (++h->n_fields > HEAD_MAX_FIELDS) return bad(h, 431, "the request has too many header fields");
    Str value = str_skip(line, n + 1);
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] == 127)
            return bad(h, 400, "a header field holds a control byte");
    while (value.len && (value.ptr[0] == ' ' || value.ptr[0] == '\t')) value = str_skip(value, 1);
    while (value.len && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t')) value.len--;
    return note_field(h, str_sub(line, 0, n), value);
}

// ---- the whole

static bool may_have_body(Str method) {
    return equals(method, "POST") || equals(method, "PUT") || equals(method, "PATCH");
}

static bool fits_together(HttpHead *h) {
    bool body = h->chunked || h->length > 0;
    if (h->chunked && h->has_length)
        return bad(h, 400, "the request has a Content-Length and a Transfer-Encoding");
    if (h->chunked && h->http_1_0) return bad(h, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (body && !may_have_body(h->method)) return bad(h, 400, "a request with this method has no body");
    if (!h->chunked && !h->has_length && may_have_body(h->method) && h->has_connection && !h->closes)
        return bad(h, 411, "send Content-Length or Transfer-Encoding: chunked");
    if (h->expect.len && !equals(h->expect, "100-continue"))
        return bad(h, 417, "the only expectation understood is 100-continue");
    return true;
}

// Before there is a line: something that is no HTTP at all (TLS, say) need not be waited for.
static bool may_become_line(HttpHead *h, Str bytes) {
    if (h->method.len || bytes.len == 0 || is_token_char(bytes.ptr[0])) return true;
    return bad(h, 400, "this is not HTTP");
}

// A line without its end. false: none is complete (or the end is wrong: h->status says so).
static bool next_line(HttpHead *h, Str *rest, Str *line) {
    const char *end = memchr(rest->ptr, '\n', rest->len);
    if (!end) return false;
    size_t n = (size_t)(end - rest->ptr);
    if (n == 0 || rest->ptr[n - 1] != '\r') return bad(h, 400, "a line of the head does not end in CR LF");
    *line = (Str){rest->ptr, n - 1};
    *rest = str_skip(*rest, n + 1);
    return true;
}

HeadResult http_head_read(Str bytes, size_t max_bytes, HttpHead *out) {
    *out = (HttpHead){0};
    Str rest = bytes, line;
    while (may_become_line(out, rest) && next_line(out, &rest, &line)) {
        if ((size_t)(rest.ptr - bytes.ptr) > max_bytes) break;
        if (!out->method.ptr) {
            if (!read_request_line(out, line)) return HEAD_BAD;
        } else if (line.len) {
            if (!read_field(out, line)) return HEAD_BAD;
        } else {
            out->size = (size_t)(rest.ptr - bytes.ptr);
            return fits_together(out) ? HEAD_GOOD : HEAD_BAD;
        }
    }
    if (!out->status && bytes.len > max_bytes) bad(out, 431, "the head of the request is too long");
    return out->status ? HEAD_BAD : HEAD_MORE;
}
