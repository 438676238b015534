#define _XOPEN_SOURCE 700 // realpath
#include "cli/fetch.h"

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/stop_signals.h"
#include "library/hub.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

// ---- showing how it goes ----

enum { TERMINAL_EVERY_NS = 100000000, NAME_WIDTH = 28 };
static const int64_t LOG_EVERY_NS = 10000000000;

typedef struct Show {
    bool on_terminal;
    PullStage stage;
    int64_t shown_ns, started_ns, started_at; // of this stage
    bool line_open;                           // a line that is rewritten stands on the screen
    bool begun;                               // the first line of a log has been written
    double rate;                              // bytes/s, smoothed
    int64_t rate_ns, rate_at;
} Show;

void format_bytes(int64_t bytes, char out[24]) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 999.5 && unit < 4; unit++) value /= 1000;
    snprintf(out, 24, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void format_seconds(double s, char out[24]) {
    if (s < 90)
        snprintf(out, 24, "%.0f s", s);
    else if (s < 5400)
        snprintf(out, 24, "%.0f min", s / 60);
    else
        snprintf(out, 24, "%.1f h", s / 3600);
}

static void close_line(Show *s) {
    if (s->line_open) fputs("\r\x1b[K", stderr);
    s->line_open = false;
}

static int terminal_width(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

// The rate of the last seconds, not of all: that is what tells how long it will take.
static void measure(Show *s, int64_t now, int64_t done) {
    double seconds = clock_seconds(now - s->rate_ns);
    if (seconds < 0.5) return;
    double rate = (double)(done - s->rate_at) / seconds;
    double share = exp(-seconds / 5);
    s->rate = s->rate > 0 ? share * s->rate + (1 - share) * rate : rate;
    s->rate_ns = now;
    s->rate_at = done;
}

static void put_bar(Buf *line, double fraction, int width) {
    if (width < 8) return;
    int full = (int)(fraction * width);
    buf_putc(line, '[');
    for (int i = 0; i < width; i++) buf_putc(line, i < full ? '#' : '.');
    buf_puts(line, "] ");
}

static void put_state(Buf *line, const Show *s, int64_t done, int64_t total) {
    char now[24], all[24], rate[24], left[24];
    format_bytes(done, now);
    format_bytes(total, all);
    format_bytes((int64_t)s->rate, rate);
    buf_puts(line, now);
    if (total > 0) buf_printf(line, " of %s", all);
    if (s->stage == PULL_CHECKING || s->rate <= 0) return;
    buf_printf(line, ", %s/s", rate);
    if (total <= done) return;
    format_seconds((double)(total - done) / s->rate, left);
    buf_printf(line, ", %s left", left);
}

static void show_line(Show *s, const char *name, int64_t done, int64_t total) {
    static const char *const verbs[] = {"waiting for another pull of", "fetching", "checking"};
    Buf line = {0}, state = {0};
    double fraction = total > 0 ? (double)done / (double)total : 0;
    if (s->stage != PULL_WAITING) put_state(&state, s, done, total);
    buf_printf(&line, "%s %.*s ", verbs[s->stage], NAME_WIDTH, name);
    int room = terminal_width() - (int)line.len - (int)state.len - 12;
    if (total > 0) {
        if (s->on_terminal) put_bar(&line, fraction, room < 40 ? room : 40);
        buf_printf(&line, "%3.0f %%  ", fraction * 100);
    }
    buf_put(&line, buf_str(&state));
    if (!line.failed) fprintf(stderr, s->on_terminal ? "\r\x1b[K%s" : "%s\n", line.ptr);
    s->line_open = s->on_terminal;
    buf_free(&line);
    buf_free(&state);
}

static void show(Show *s, PullStage stage, const char *name, int64_t done, int64_t total) {
    int64_t now = clock_now_ns();
    if (stage != s->stage || !s->rate_ns || done < s->rate_at) {
        s->stage = stage;
        s->rate = 0;
        s->rate_ns = now;
        s->rate_at = done;
        if (!s->shown_ns) s->shown_ns = now;
    }
    measure(s, now, done);
    bool first = !s->on_terminal && !s->begun && total > 0; // a log tells at once what it waits for
    s->begun |= first;
    if (!first && now - s->shown_ns < (s->on_terminal ? TERMINAL_EVERY_NS : LOG_EVERY_NS)) return;
    s->shown_ns = now;
    show_line(s, name, done, total);
}

// ---- fetching ----

static bool on_progress(void *user, PullStage stage, const char *name, int64_t done, int64_t total) {
    show(user, stage, name, done, total);
    return !atomic_load(stop_signals_flag());
}

static void on_retry(void *user, const char *why, double seconds) {
    close_line(user);
    fprintf(stderr, "%s; trying again", why);
    if (seconds > 0) fprintf(stderr, " in %.1f s", seconds);
    fputc('\n', stderr);
}

static const char *endpoint_of(const Options *o, char *out, size_t size) {
    const char *variable = getenv("HF_ENDPOINT");
    const char *url = o->hf_endpoint[0]         ? o->hf_endpoint
                      : variable && variable[0] ? variable
                                                : hub_default_endpoint;
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/') n--;
    snprintf(out, size, "%.*s", (int)n, url);
    return out;
}

// A path means the file there.
static bool parse_reference(const char *text, ModelRef *ref, Err *err) {
    char *path = strchr(text, '/') || access(text, R_OK) == 0 ? realpath(text, NULL) : NULL;
    if (!path) return model_ref_parse(text, ref, err);
    Buf url = {0};
    buf_puts(&url, "file://");
    for (const char *p = path; *p; p++) {
        if (strchr("%?#", *p) || (unsigned char)*p <= ' ')
            buf_printf(&url, "%%%02X", (unsigned char)*p);
        else
            buf_putc(&url, *p);
    }
    free(path);
    bool ok = url.failed ? err_set(err, ERR_NOMEM, "out of memory") : model_ref_parse(url.ptr, ref, err);
    buf_free(&url);
    return ok;
}

bool fetch_model(const Options *o, const FetchOptions *f, const char *reference, PullResult *out, int *code,
                 Err *err) {
    char endpoint[512];
    Library library;
    ModelRef ref;
    StopSignals old;
    const char *token = getenv("HF_TOKEN");
    Show s = {.on_terminal = isatty(STDERR_FILENO)};
    if (!library_open(o->models, &library, err) || !parse_reference(reference, &ref, err)) return false;
    PullConfig config = {.library = &library,
                         .endpoint = endpoint_of(o, endpoint, sizeof endpoint),
                         .token = token ? token : "",
                         .name = f->name,
                         .sha256 = f->sha256,
                         .force = f->force,
                         .retries = f->retries,
                         .stall_s = f->stall_s,
                         .hooks = {on_progress, on_retry, &s}};
    stop_signals_take(&old);
    bool ok = pull_model(&config, &ref, out, err);
    stop_signals_give_back(&old);
    close_line(&s);
    if (ok || !atomic_load(stop_signals_flag())) return ok;
    *code = EXIT_INTERRUPTED;
    return err_set(err, ERR_IO, "interrupted; what has come is kept, and the next pull goes on from there");
}

// ---- names ----

static bool set_text(char **field, const char *value, Err *err) {
    char *copy = strdup(value);
    if (!copy) return err_set(err, ERR_NOMEM, "out of memory");
    free(*field);
    *field = copy;
    return true;
}

static bool is_path(const char *model) {
    size_t n = strlen(model);
    if (access(model, F_OK) == 0 || model[0] == '/' || model[0] == '.') return true;
    bool reference =
        strncmp(model, "hf:", 3) == 0 || strncmp(model, "hf.co/", 6) == 0 || strstr(model, "://");
    bool file = n > 5 && strcasecmp(model + n - 5, ".gguf") == 0;
    return !reference && (file || strchr(model, '/'));
}

static bool use(ModelPlace *out, const char *name, const char *path, Err *err) {
    return set_text(&out->path, path, err) && set_text(&out->name, name, err);
}

// *in_library: false for a path, and for what would have to be fetched.
static bool find(const Options *o, const char *model, LibraryModel *found, bool *in_library, ModelPlace *out,
                 Err *err) {
    Library library;
    char path[LIBRARY_PATH_MAX];
    *in_library = false;
    if (!model[0] || is_path(model)) return use(out, "", model, err);
    if (!library_open(o->models, &library, err)) return false;
    if (!library_find(&library, model, found)) {
        ModelRef ref; // NAME:TYPE of the catalogue has a name in the library, too
        if (!model_ref_parse(model, &ref, NULL)) return true;
        if (!library_find(&library, ref.name, found) && !library_find_source(&library, &ref, found))
            return true;
    }
    *in_library = true;
    library_path(&library, found->name, ".gguf", path);
    return use(out, found->name, path, err);
}

void model_place_free(ModelPlace *p) {
    free(p->path);
    free(p->name);
    *p = (ModelPlace){0};
}

bool model_resolve(const Options *o, const char *model, ModelPlace *out, int *code, Err *err) {
    FetchOptions f = {.name = "", .sha256 = "", .retries = FETCH_RETRIES, .stall_s = FETCH_STALL_S};
    PullResult got;
    LibraryModel found;
    bool in_library = false;
    *out = (ModelPlace){0};
    if (!find(o, model, &found, &in_library, out, err)) return false;
    if (out->path) return true;
    if (!fetch_model(o, &f, model, &got, code, err)) return false;
    if (!got.was_there) fprintf(stderr, "%s is in the library now (%s)\n", got.model.name, got.path);
    return use(out, got.model.name, got.path, err);
}

static bool take_place(Options *o, ModelPlace *p, bool ok) {
    if (p->path) {
        free(o->model);
        o->model = p->path;
        p->path = NULL;
    }
    model_place_free(p);
    return ok;
}

bool model_name_resolve(Options *o, int *code, Err *err) {
    ModelPlace place;
    bool ok = model_resolve(o, o->model, &place, code, err);
    return take_place(o, &place, ok);
}

bool model_name_find(Options *o, LibraryModel *model, bool *in_library, Err *err) {
    ModelPlace place = {0};
    bool ok = find(o, o->model, model, in_library, &place, err);
    if (!ok || place.path) return take_place(o, &place, ok);
    ModelRef ref;
    bool known = model_ref_parse(o->model, &ref, NULL);
    return err_set(err, ERR_NOT_FOUND, "%s is neither a file nor in the library (`cllm list`)%s%s%s",
                   o->model, known ? "; to fetch it: cllm pull " : "", known ? o->model : "",
                   known ? "" : "; check the name");
}
