#include "library/transfer.h"

#include "base/clock.h"
#include "base/num.h"
#include "base/version.h"
#include "library/file_digest.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_TIMEOUT_S = 20,
    MAX_REDIRECTS = 10,
    MAX_ERROR_BYTES = 300, // of a refusal's body, for the message
    SHOWN_URL_MAX = 400
};
// Of our own; a server may ask for more, but longer than MAX_ASKED_S nobody waits.
static const double FIRST_PAUSE_S = 0.5, MAX_PAUSE_S = 30, MAX_ASKED_S = 600;
static const int64_t ROOM_LEFT = 64 << 20; // the disk keeps so much

typedef enum Outcome { OUTCOME_DONE, OUTCOME_AGAIN, OUTCOME_AT_ONCE, OUTCOME_FAILED } Outcome;

typedef struct Attempt {
    const TransferConfig *config;
    const char *url;
    char shown_url[SHOWN_URL_MAX]; // in messages
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    // A document …
    Buf *document;
    size_t max_bytes;
    // … or a file.
    int fd;
    const char *path;
    TransferFacts *facts;
    int64_t from, at, total; // where the attempt began, where the file ends now, how long it will be
    int64_t expected;        // … by the hub's list; 0: it is not known
    int64_t look_at;         // where the room on the disk is looked at again
    bool begun;              // the body of a good reply has begun
    int64_t heard_ns;        // when bytes came last
    bool stalled;            // … was too long ago
    // The reply that is being read.
    char tag[256];
    int64_t range_from, range_total; // Content-Range; -1: not given
    Buf refusal;
    bool failed; // *err has the reason, and it is final
    Err *err;
} Attempt;

void url_without_login(const char *url, char *out, size_t size) {
    const char *scheme = strstr(url, "://"), *start = scheme ? scheme + 3 : url, *host = start;
    for (const char *c = start; *c && !strchr("/?#", *c); c++)
        if (*c == '@') host = c + 1;
    snprintf(out, size, "%.*s%s", (int)(start - url), url, host);
}

// ---- headers ----

// The value when the line is `name: value`, without the spaces around it.
static bool header_value(Str line, const char *name, char *out, size_t size) {
    size_t n = strlen(name);
    if (line.len <= n || strncasecmp(line.ptr, name, n) != 0 || line.ptr[n] != ':') return false;
    Str value = str_skip(line, n + 1);
    while (value.len && isspace((unsigned char)value.ptr[0])) value = str_skip(value, 1);
    while (value.len && isspace((unsigned char)value.ptr[value.len - 1])) value.len--;
    snprintf(out, size, "%.*s", (int)num_min(value.len, size), value.ptr);
    return true;
}

// `"abc"` -> abc; a weak tag says nothing about bytes.
static void strong_tag(const char *value, char *out, size_t size) {
    size_t n = strlen(value);
    bool strong = n > 2 && n < size && value[0] == '"' && value[n - 1] == '"';
    snprintf(out, size, "%.*s", strong ? (int)n - 2 : 0, value + 1);
}

static void read_range(const char *value, Attempt *a) {
    long long from = -1, to = -1, total = -1;
    if (sscanf(value, "bytes %lld-%lld/%lld", &from, &to, &total) >= 2)
        a->range_from = from;
    else
        sscanf(value, "bytes */%lld", &total);
    a->range_total = total;
}

static void read_linked_digest(const char *value, TransferFacts *facts) {
    char hex[DIGEST_HEX + 1];
    snprintf(hex, sizeof hex, "%.64s", value[0] == '"' ? value + 1 : value);
    if (!digest_valid(hex)) return;
    for (size_t i = 0; i <= DIGEST_HEX; i++) facts->sha256[i] = (char)tolower((unsigned char)hex[i]);
}

static size_t on_header(char *bytes, size_t size, size_t n, void *user) {
    Attempt *a = user;
    Str line = {bytes, size * n};
    char value[512];
    if (str_starts_with(line, STR("HTTP/"))) { // another reply: of a redirect, or the last
        a->tag[0] = 0;
        a->range_from = a->range_total = -1;
    }
    if (header_value(line, "ETag", value, sizeof value)) strong_tag(value, a->tag, sizeof a->tag);
    if (header_value(line, "Content-Range", value, sizeof value)) read_range(value, a);
    if (a->facts && header_value(line, "X-Linked-ETag", value, sizeof value))
        read_linked_digest(value, a->facts);
    return size * n;
}

// ---- bodies ----

static long status_of(const Attempt *a) {
    long status = 0;
    curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static bool is_good(long status) {
    return status == 0 || (status >= 200 && status < 300); // 0: a file, which has none
}

static bool fail(Attempt *a, ErrCode code, const char *what) {
    a->failed = true;
    return err_set(a->err, code, "%s", what);
}

// For what is to come, as far as that is known.
static bool check_room(Attempt *a) {
    struct statvfs disk;
    int64_t lacking = a->total > a->at ? a->total - a->at : 0;
    a->look_at = a->at + ROOM_LEFT / 2;
    if (fstatvfs(a->fd, &disk) != 0) return true;
    int64_t room = (int64_t)(disk.f_bavail * disk.f_frsize);
    if (lacking <= room - ROOM_LEFT) return true;
    a->failed = true;
    return err_set(a->err, ERR_LIMIT, "%s: %lld MB more are to come, and the disk has room for %lld MB",
                   a->path, (long long)(lacking / 1000000), (long long)(room / 1000000));
}

// What a server tells of the length, or does not, need not be so.
static bool check_growth(Attempt *a, size_t more) {
    if (a->expected && (int64_t)more > a->expected - a->at) {
        a->failed = true;
        return err_set(a->err, ERR_INVALID, "%s: more comes than the %lld bytes that the file should have",
                       a->shown_url, (long long)a->expected);
    }
    return a->at < a->look_at || check_room(a);
}

static bool set_end(Attempt *a, int64_t at) {
    a->at = at;
    if (ftruncate(a->fd, (off_t)at) == 0 && lseek(a->fd, (off_t)at, SEEK_SET) == at) return true;
    return fail(a, ERR_IO, strerror(errno));
}

// How long the file will be, by the reply. A part need not be all that was asked for.
static int64_t total_of(const Attempt *a, int64_t length) {
    int64_t most = INT64_MAX - a->at;
    int64_t end = length < 0 ? a->expected : length < most ? a->at + length : INT64_MAX;
    return status_of(a) == 206 && a->range_total > end ? a->range_total : end;
}

// A good reply continues where it was asked to, or else begins at the beginning.
static bool begin_file(Attempt *a) {
    curl_off_t length = -1;
    curl_easy_getinfo(a->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    bool continued = status_of(a) == 206 && a->range_from == a->from;
    if (status_of(a) == 206 && !continued) return false; // bytes of another place: of no use
    if (!set_end(a, continued ? a->from : 0)) return false;
    a->begun = true;
    a->total = total_of(a, length);
    a->facts->size = a->total;
    snprintf(a->facts->tag, sizeof a->facts->tag, "%s", a->tag);
    return check_room(a);
}

static bool write_all(Attempt *a, Str s) {
    while (s.len) {
        ssize_t n = write(a->fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            a->failed = true;
            return err_set(a->err, ERR_IO, "cannot write %s: %s", a->path, strerror(errno));
        }
        a->at += n;
        s = str_skip(s, (size_t)n);
    }
    return true;
}

static bool put_document(Attempt *a, Str s) {
    if (a->document->len + s.len > a->max_bytes) return fail(a, ERR_LIMIT, "the reply is too long");
    buf_put(a->document, s);
    return !a->document->failed || fail(a, ERR_NOMEM, "out of memory");
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user) {
    Attempt *a = user;
    Str s = {bytes, size * n};
    bool ok = true;
    a->heard_ns = clock_now_ns();
    if (!is_good(status_of(a)))
        buf_put(&a->refusal, str_sub(s, 0, MAX_ERROR_BYTES - num_min(a->refusal.len, MAX_ERROR_BYTES)));
    else if (a->document)
        ok = put_document(a, s);
    else
        ok = (a->begun || begin_file(a)) && check_growth(a, s.len) && write_all(a, s);
    return ok ? s.len : 0;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now) {
    Attempt *a = user;
    (void)total, (void)now, (void)up_total, (void)up_now;
    a->stalled = clock_seconds(clock_now_ns() - a->heard_ns) > a->config->stall_s;
    return a->stalled || !a->config->hooks.progress(a->config->hooks.user, a->at, a->total);
}

// ---- one attempt ----

// Redirects never lead to files.
static void allow_protocols(CURL *c, bool files) {
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, files ? "http,https,file" : "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    long web = CURLPROTO_HTTP | CURLPROTO_HTTPS;
    curl_easy_setopt(c, CURLOPT_PROTOCOLS, files ? web | CURLPROTO_FILE : web);
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS, web);
#endif
}

static void set_up(Attempt *a) {
    CURL *c = a->curl;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, a->url);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "cllm/" CLLM_VERSION);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, a->curl_error);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    allow_protocols(c, !a->document);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, a);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    if (!a->config->token[0]) return;
    curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, a->config->token);
}

// Asks for what is missing of the same version.
static struct curl_slist *ask_for_rest(Attempt *a) {
    char range[32], condition[300];
    a->from = a->at;
    if (a->at == 0 || strncasecmp(a->url, "file:", 5) == 0) return NULL;
    snprintf(range, sizeof range, "%lld-", (long long)a->at);
    curl_easy_setopt(a->curl, CURLOPT_RANGE, range);
    if (!a->facts->tag[0]) return NULL;
    snprintf(condition, sizeof condition, "If-Range: \"%s\"", a->facts->tag);
    struct curl_slist *headers = curl_slist_append(NULL, condition);
    curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, headers);
    return headers;
}

static bool may_pass(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_AGAIN: return true;
    default: return false;
    }
}

static bool status_may_pass(long status) {
    return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

static Outcome refused(Attempt *a, long status) {
    const char *hint = "";
    if (status == 401 || status == 403)
        hint = a->config->token[0]
                   ? "; the token in HF_TOKEN does not give access to it"
                   : "; check the name, and if it wants a token, set HF_TOKEN in the environment";
    if (status == 404) hint = "; check the name";
    Str body = buf_str(&a->refusal);
    bool shown = body.len && body.ptr[0] != '<' && !memchr(body.ptr, '\n', body.len);
    err_set(a->err, status == 404 ? ERR_NOT_FOUND : ERR_IO, "%s: status %ld%s%.*s%s", a->shown_url, status,
            shown ? ": " : "", shown ? (int)body.len : 0, body.ptr, hint);
    return status_may_pass(status) ? OUTCOME_AGAIN : OUTCOME_FAILED;
}

// 416: there is nothing behind the end of what is here. Either it is all, or another file.
static Outcome beyond_end(Attempt *a) {
    if (a->range_total == a->at) return OUTCOME_DONE;
    err_set(a->err, ERR_IO, "%s: the server has another file than the one that was begun", a->shown_url);
    return set_end(a, 0) ? OUTCOME_AT_ONCE : OUTCOME_FAILED;
}

static bool is_whole(const Attempt *a, long status) {
    return a->at >= a->expected && (status != 206 || a->at >= a->range_total);
}

static Outcome judge(Attempt *a, CURLcode code) {
    long status = status_of(a);
    if (a->failed) return OUTCOME_FAILED;
    if (a->stalled) {
        err_set(a->err, ERR_IO, "%s: nothing came for %d s", a->shown_url, a->config->stall_s);
        return OUTCOME_AGAIN;
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        err_set(a->err, ERR_IO, "interrupted");
        return OUTCOME_FAILED;
    }
    if (!a->document && status == 416 && a->from > 0) return beyond_end(a);
    if (!is_good(status)) return refused(a, status);
    if (code == CURLE_OK && !a->document && !a->begun) // an empty file
        return begin_file(a) ? OUTCOME_DONE : OUTCOME_FAILED;
    if (code == CURLE_OK && (a->document || is_whole(a, status))) return OUTCOME_DONE;
    if (code == CURLE_WRITE_ERROR && !a->document && !a->begun) // a range that nobody asked for
        return set_end(a, 0) ? OUTCOME_AGAIN : OUTCOME_FAILED;
    const char *why = a->curl_error[0] ? a->curl_error : code ? curl_easy_strerror(code) : "it broke off";
    err_set(a->err, ERR_IO, "%s: %s", a->shown_url, why);
    return code == CURLE_OK || may_pass(code) ? OUTCOME_AGAIN : OUTCOME_FAILED;
}

static Outcome attempt(Attempt *a) {
    set_up(a);
    a->begun = a->stalled = false;
    a->heard_ns = clock_now_ns();
    a->curl_error[0] = 0;
    a->range_from = a->range_total = -1;
    buf_clear(&a->refusal);
    if (a->document) buf_clear(a->document);
    struct curl_slist *headers = a->document ? NULL : ask_for_rest(a);
    Outcome outcome = judge(a, curl_easy_perform(a->curl));
    curl_slist_free_all(headers);
    return outcome;
}

// ---- all of them ----

// Sleeps in pieces, between which the user may stop it.
static bool pause_for(const Attempt *a, double seconds) {
    const TransferHooks *hooks = &a->config->hooks;
    for (; seconds > 0; seconds -= 0.1) {
        if (!hooks->progress(hooks->user, a->at, a->total)) return err_set(a->err, ERR_IO, "interrupted");
        struct timespec piece = {0, (long)(1e9 * (seconds < 0.1 ? seconds : 0.1))};
        nanosleep(&piece, NULL);
    }
    return true;
}

static double next_pause(const Attempt *a, int failures) {
    curl_off_t asked = 0;
    curl_easy_getinfo(a->curl, CURLINFO_RETRY_AFTER, &asked);
    if (asked > 0) return (double)asked;
    double pause = FIRST_PAUSE_S;
    for (int i = 1; i < failures && pause < MAX_PAUSE_S; i++) pause *= 2;
    return pause < MAX_PAUSE_S ? pause : MAX_PAUSE_S;
}

static bool try_until_done(Attempt *a) {
    for (int failures = 0;;) {
        int64_t before = a->at;
        Outcome outcome = attempt(a);
        if (outcome == OUTCOME_DONE) return true;
        if (outcome == OUTCOME_FAILED) return false;
        failures = a->at > before ? 1 : failures + 1;
        if (failures > a->config->retries) return false;
        double pause = outcome == OUTCOME_AT_ONCE ? 0 : next_pause(a, failures);
        if (pause > MAX_ASKED_S) return false;
        if (pause > 0) a->config->hooks.retry(a->config->hooks.user, a->err->msg, pause);
        if (!pause_for(a, pause)) return false;
    }
}

static bool run(Attempt *a) {
    url_without_login(a->url, a->shown_url, sizeof a->shown_url);
    a->curl = curl_easy_init();
    bool ok = a->curl ? try_until_done(a) : err_set(a->err, ERR_NOMEM, "libcurl cannot be started");
    curl_easy_cleanup(a->curl);
    buf_free(&a->refusal);
    return ok;
}

bool transfer_document(const TransferConfig *c, const char *url, size_t max_bytes, Buf *out, Err *err) {
    Attempt a = {.config = c, .url = url, .document = out, .max_bytes = max_bytes, .fd = -1, .err = err};
    return run(&a);
}

bool transfer_file(const TransferConfig *c, const char *url, int fd, const char *path, TransferFacts *facts,
                   Err *err) {
    struct stat info;
    if (fstat(fd, &info) != 0) return err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    Attempt a = {.config = c,
                 .url = url,
                 .fd = fd,
                 .path = path,
                 .facts = facts,
                 .at = facts->size && info.st_size > facts->size ? 0 : info.st_size,
                 .total = facts->size,
                 .expected = facts->size,
                 .err = err};
    return run(&a);
}
