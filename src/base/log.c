#include "base/log.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int current_level = LOG_INFO;
static _Atomic int log_fd = STDERR_FILENO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(LogLevel level) {
    current_level = (int)level;
}

LogLevel log_level(void) {
    return (LogLevel)current_level;
}

bool log_level_parse(const char *name, LogLevel *out) {
    for (int i = 0; i <= LOG_DEBUG; i++) {
        if (strcmp(name, level_names[i]) != 0) continue;
        *out = (LogLevel)i;
        return true;
    }
    return false;
}

bool log_open(const char *path, Err *err) {
    int fd = STDERR_FILENO;
    if (path && path[0]) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0) return err_set(err, ERR_IO, "cannot open the log file '%s': %s", path, strerror(errno));
    }
    int old = atomic_exchange(&log_fd, fd);
    if (old != STDERR_FILENO) close(old);
    return true;
}

static void put_head(Buf *line, LogLevel level, const char *event) {
    struct timespec now;
    struct tm utc;
    char stamp[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    buf_printf(line, "%s.%03ldZ %-5s %s", stamp, now.tv_nsec / 1000000, level_names[level], event);
}

static bool is_plain(const char *s) {
    if (!*s) return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7F) return false;
    return true;
}

static void put_value(Buf *line, const char *value) {
    if (is_plain(value)) {
        buf_puts(line, value);
        return;
    }
    buf_putc(line, '"');
    for (const char *s = value; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(line, "\\%c", c);
        else if (c < ' ' || c == 0x7F)
            buf_printf(line, "\\x%02x", c);
        else
            buf_putc(line, *s);
    }
    buf_putc(line, '"');
}

static void write_line(Buf *line) {
    buf_putc(line, '\n');
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
        buf_printf(&line, " %s=", key);
        put_value(&line, value ? value : "");
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
    buf_putc(&line, ' ');
    buf_puts(&line, text);
    write_line(&line);
}
