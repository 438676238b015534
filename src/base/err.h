// Errors of bad input and of the environment, and CHECK for bugs.
//
// A function that can fail for reasons outside the program returns bool (or a pointer) and takes
// `Err *err` as its last parameter. The message names the thing that is wrong and, where there is
// one, the remedy. `err` may be NULL where the caller does not care. A bug is never an Err: CHECK
// aborts with its place. Thread: any; an Err belongs to its caller.
#ifndef CLLM_BASE_ERR_H
#define CLLM_BASE_ERR_H

#include <stdbool.h>

typedef enum ErrCode {
    ERR_NONE = 0,
    ERR_INVALID,     // malformed input: a file, a request, an option
    ERR_UNSUPPORTED, // well formed, but not something this program does
    ERR_LIMIT,       // a limit would be passed (size, count, context)
    ERR_NOT_FOUND,   // a file, a model, a tensor is missing
    ERR_IO,          // the system refused: open, read, mmap, bind
    ERR_NOMEM,       // out of memory
} ErrCode;

typedef struct Err {
    ErrCode code;
    char msg[512]; // one line, NUL-terminated, cut if longer; printable, whatever it quotes
} Err;

// Fills *err (if not NULL). Always returns false, so that `return err_set(...)` reads well.
bool err_set(Err *err, ErrCode code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// Puts `prefix: ` before the message that *err already holds. Always returns false.
bool err_prefix(Err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

_Noreturn void check_failed(const char *file, int line, const char *what);

#define CHECK(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

#endif
