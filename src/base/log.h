// The log: one line an event on stderr (or a file), in one of two formats:
//
//   text  time level event key=value …     values with spaces, quotes or control bytes are quoted and
//                                          escaped, so that a line stays a line whatever a client sends
//   JSON  {"time":…,"level":…,"event":…,key:value,…}   valid UTF-8; a value that reads as a plain decimal
//                                          number of at most 17 characters is a number, others are strings
//
// What concerns a request has its id as the first key. Prompts and generated text are never logged.
// Thread: any, but log_open and log_set_format before others log; a line is a single write(2).
#ifndef CLLM_BASE_LOG_H
#define CLLM_BASE_LOG_H

#include "base/err.h"

// LOG_SILENT: no event has it; as the level of the log it means none.
typedef enum LogLevel { LOG_SILENT = -1, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG } LogLevel;

typedef enum LogFormat { LOG_TEXT, LOG_JSON } LogFormat;

void log_set_level(LogLevel level); // of the whole process, from now on
LogLevel log_level(void);
const char *log_level_name(LogLevel level);            // "error", "warn", "info", "debug"
bool log_level_parse(const char *name, LogLevel *out); // the same words
void log_set_format(LogFormat format);
bool log_open(const char *path, Err *err); // NULL or "": stderr; else appends to the file
// Opens the file's path anew, for after it has been renamed. On failure the old file stays in use.
// Writers never see a closed descriptor. With stderr it does nothing.
bool log_reopen(Err *err);

// event: a short constant word. Then pairs: key, value (both C strings), ended by NULL.
//   log_event(LOG_INFO, "listening", "host", host, "port", port_text, NULL);
void log_event(LogLevel level, const char *event, ...) __attribute__((sentinel));

// The same with the pairs from printf: log_f(LOG_INFO, "request_end", "id=%s tokens=%d", id, n).
// For values without spaces (numbers, ids, constants).
void log_f(LogLevel level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
