// The log: one line an event on stderr (or a file), `time level event key=value …`.
//
// Values with spaces, quotes or control bytes are quoted and escaped, so that a line stays a line
// whatever a client sends. Prompts and generated text are never logged. Thread: any; a line is
// written with a single write(2).
#ifndef CLLM_BASE_LOG_H
#define CLLM_BASE_LOG_H

#include "base/err.h"

typedef enum LogLevel { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG } LogLevel;

void log_set_level(LogLevel level);
LogLevel log_level(void);
bool log_level_parse(const char *name, LogLevel *out); // "error", "warn", "info", "debug"
bool log_open(const char *path, Err *err);             // NULL or "": stderr; else appends to the file

// event: a short constant word. Then pairs: key, value (both C strings), ended by NULL.
//   log_event(LOG_INFO, "listening", "host", host, "port", port_text, NULL);
void log_event(LogLevel level, const char *event, ...) __attribute__((sentinel));

// The same with a printf value: log_f(LOG_INFO, "request_end", "id=%s tokens=%d", id, n).
// For values that need no quoting (numbers, ids, constants).
void log_f(LogLevel level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
