#include "base/log.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int current_level = LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;
static LogFormat log_format;
static char log_path[PATH_MAX]; // empty: stderr

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(LogLevel level) {
    current_level = (int)level;
}

LogLevel log_level(void) {
    return (LogLevel)current_level;
}

const char *log_level_name(LogLevel level) {
    return level_names[level];
}

void log_set_format(LogFormat format) {
    log_format = format;
}

bool log_level_parse(const char *name, LogLevel *out) {
    for (int i = 0; i <= LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) != 0) continue;
        *out = (LogLevel)i;
        return true;
    }
    return false;
}

static int open_file(const char *path, Err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) err_set(err, ERR_IO, "cannot open the log file '%s': %s", path, strerror(errno));
    return fd;
}

bool log_open(const char *path, Err *err) {
    int fd = STDERR_FILENO;
    if (!path) path = "";
    if (strlen(path) >= sizeof log_path) return err_set(err, ERR_LIMIT, "the log file's path is too long");
    if (path[0] && (fd = open_file(path, err)) < 0) return false;
    memcpy(log_path, path, strlen(path) + 1);
    int old = atomic_exchange(&log_fd, fd);
    if (old != STDERR_FILENO) close(old);
    return true;
}

// The number of the descriptor stays: another thread may be about to write to it, and must not meet a
// closed one, or one that is a client's socket by then.
bool log_reopen(Err *err) {
    if (!log_path[0]) return true;
    int fd = open_file(log_path, err);
    if (fd < 0) return false;
    bool moved = dup2(fd, log_fd) >= 0 && fcntl(log_fd, F_SETFD, FD_CLOEXEC) == 0;
    if (!moved) err_set(err, ERR_IO, "cannot switch to the new log file: %s", strerror(errno));
    close(fd);
    return moved;
}

// ---- text

static bool is_plain(const char *s) {
    if (!*s) return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7F) return false;
    return true;
}

static void put_quoted(Buf *line, const char *value, const char *control) {
    buf_putc(line, '"');
    for (const char *s = value; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(line, "\\%c", c);
        else if (c < ' ' || c == 0x7F)
            buf_printf(line, "%s%02x", control, c);
        else
            buf_putc(line, *s);
    }
    buf_putc(line, '"');
}
static void put_text(Buf *line, const char *key, const char *value) {
    buf_printf(line, " %s=", key);
    if (is_plain(value))
        buf_puts(line, value);
    else
        put_quoted(line, value, "\\x");
}

// ---- JSON

enum { LONGEST_NUMBER = 17 }; // what a double holds exactly; ids of 32 digits stay strings

static size_t n_digits(const char *s) {
    return strspn(s, "0123456789");
}

static bool is_number(const char *s) {
    if (strlen(s) > LONGEST_NUMBER) return false;
    if (*s == '-') s++;
    size_t whole = n_digits(s);
    if (whole == 0 || (whole > 1 && s[0] == '0')) return false;
    s += whole;
    if (*s != '.') return !*s;
    size_t fraction = n_digits(s + 1);
    return fraction > 0 && !s[1 + fraction];
}

static void put_json(Buf *line, const char *key, const char *value) {
    Buf clean = {0};
    buf_printf(line, ",\"%s\":", key);
    if (is_number(value)) {
        buf_puts(line, value);
        return;
    }
    utf8_sanitize(str_from(value), &clean);
    put_quoted(line, clean.len ? clean.ptr : "", "\\u00");
    line->failed |= clean.failed;
    buf_free(&clean);
}

// ---- lines

static void put_head(Buf *line, LogLevel level, const char *event) {
    struct timespec now;
    struct tm utc;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    long ms = now.tv_nsec / 1000000;
    if (log_format == LOG_JSON)
        buf_printf(line, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\"", stamp, ms,
                   level_names[level], event);
    else
        buf_printf(line, "%s.%03ldZ %-5s %s", stamp, ms, level_names[level], event);
}

static void put_pair(Buf *line, const char *key, const char *value) {
    if (log_format == LOG_JSON)
        put_json(line, key, value);
    else
        put_text(line, key, value);
}

// key=value key=value …; the text is cut up.
static void put_pairs(Buf *line, char *text) {
    char *rest = text;
    for (const char *key; (key = strtok_r(rest, " ", &rest));) {
        char *value = strchr(key, '=');
        if (value) *value++ = 0;
        put_pair(line, key, value ? value : "");
    }
}

static void write_line(Buf *line) {
    buf_puts(line, log_format == LOG_JSON ? "}\n" : "\n");
    if (!line->failed) {
        ssize_t n = write(log_fd, line->ptr, line->len);
        (void)n; // a log that cannot be written has nowhere to say so
    }
    buf_free(line);
}

void log_event(LogLevel level, const char *event, ...) {
    if ((int)level > current_level) return;
    Buf line = {0};
    put_head(&line, level, event);
    va_list ap;
    va_start(ap, event);
    for (const char *key; (key = va_arg(ap, const char *));) {
        const char *value = va_arg(ap, const char *);
        put_pair(&line, key, value ? value : "");
    }
    va_end(ap);
    write_line(&line);
}

void log_f(LogLevel level, const char *event, const char *fmt, ...) {
    if ((int)level > current_level) return;
    Buf line = {0};
    char text[512];
    put_head(&line, level, event);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put_pairs(&line, text);
    write_line(&line);
}
