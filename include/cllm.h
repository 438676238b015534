/* libcllm: a language model in a program of your own, without a server.
 *
 *     CllmConfig config;
 *     cllm_config_init(&config, sizeof config);
 *     config.model = "model.gguf";
 *     CllmError error;
 *     CllmModel *model = cllm_open(&config, &error);
 *     CllmRequest *request = cllm_chat(model, "[{\"role\":\"user\",\"content\":\"Hello!\"}]", NULL, &error);
 *     CllmEvent event = {.size = sizeof event};
 *     while (cllm_next(request, -1, &event) == CLLM_TEXT) fwrite(event.text, 1, event.length, stdout);
 *     cllm_release(request);
 *     cllm_close(model);
 *
 * Requests that are live at once are computed together. The same request with the same seed gives the same
 * text, alone or among others, with any number of threads.
 *
 * Threads. Every function may be called from any thread. Requests of one model may be used by different
 * threads at once; one request is used by one thread at a time, except that cllm_cancel may be called while
 * another waits in cllm_next. cllm_close is the last call, when no other runs.
 *
 * Memory. What a function returns belongs to the caller, who gives it back by the function named there. Texts
 * that go in are copied. A NULL is allowed wherever something is given back. A model or a text that is NULL
 * is an error like others (CLLM_INVALID), and a request that is NULL has failed and ended.
 *
 * Binary compatibility. Models and requests are opaque. Structs begin with their size, as the program was
 * compiled with it; later versions add members at the end only, whose defaults change nothing. Values of
 * enums stay; new ones may come.
 *
 * What fails says so in a CllmError, which may be NULL. Nothing is written to standard output or error, and
 * the process never ends, except by abort() on a bug.
 */
#ifndef CLLM_H
#define CLLM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CLLM_API __attribute__((visibility("default")))
#else
#define CLLM_API
#endif

typedef struct CllmModel CllmModel;
typedef struct CllmRequest CllmRequest;

typedef enum CllmCode {
    CLLM_OK = 0,
    CLLM_INVALID = 1,     /* malformed: a model file, messages, a parameter */
    CLLM_UNSUPPORTED = 2, /* well formed, but not something this library does */
    CLLM_LIMIT = 3,       /* more than the context, or another limit, allows */
    CLLM_NOT_FOUND = 4,
    CLLM_IO = 5, /* the system refused: open, read, map */
    CLLM_NOMEM = 6,
    CLLM_BUSY = 7, /* max_queue requests wait already: try again when one has ended */
} CllmCode;

typedef struct CllmError {
    int code;          /* a CllmCode */
    char message[512]; /* one line that names what is wrong */
} CllmError;

/* ---- a model ---- */

typedef enum CllmKvType { CLLM_KV_F16 = 0, CLLM_KV_Q8_0 = 1 } CllmKvType;

typedef struct CllmConfig {
    size_t size;              /* set by cllm_config_init */
    const char *model;        /* path of a GGUF file */
    const char *packed_cache; /* a folder that keeps packed weights, for a faster start; NULL: none */
    int32_t threads;          /* that compute; 0: as many as CPUs may be used */
    int32_t max_running;      /* requests computed at once, 1 to 1024 */
    int32_t max_queue;        /* requests that wait beyond those, 0 to 65536 */
    int32_t kv_type;          /* a CllmKvType: how keys and values are kept */
    int64_t kv_tokens;        /* tokens that all requests together may hold; 0: as memory allows */
} CllmConfig;

/* The defaults; size is sizeof(CllmConfig) where the program is compiled. */
CLLM_API void cllm_config_init(CllmConfig *config, size_t size);

/* Reads the file and starts the threads; this may take seconds. NULL: it failed. Closed by cllm_close. */
CLLM_API CllmModel *cllm_open(const CllmConfig *config, CllmError *error);

/* Ends what runs, releases requests that were not, stops the threads. */
CLLM_API void cllm_close(CllmModel *model);

CLLM_API const char *
cllm_model_name(const CllmModel *model); /* as the file has it; lives as long as the model */
CLLM_API int32_t cllm_model_context(const CllmModel *model); /* tokens of a prompt and its answer together */
CLLM_API const char *cllm_version(void);                     /* "0.1.0" */

/* ---- requests ---- */

typedef struct CllmParams {
    size_t size;              /* set by cllm_params_init */
    int32_t max_tokens;       /* of the answer; 0: what the context leaves */
    float temperature;        /* 0 to 100; 0 always takes the likeliest token */
    float top_p;              /* above 0 to 1; 1: off */
    float min_p;              /* 0 to 1; 0: off */
    int32_t top_k;            /* 0: off */
    float repetition_penalty; /* above 0; 1: off */
    float presence_penalty;   /* 0: off */
    float frequency_penalty;  /* 0: off */
    int64_t seed;             /* below 0: a new one each time */
    const char *const *stop;  /* [n_stop] texts that end the answer and are not part of it; at most 16 */
    size_t n_stop;
} CllmParams;

/* The defaults, which are those of `cllm run`; size is sizeof(CllmParams) where the program is compiled. */
CLLM_API void cllm_params_init(CllmParams *params, size_t size);

/* The answer to a conversation: a JSON array of messages as OpenAI's chat has them ({"role", "content"}), put
 * into the model's words by its own template. A message cannot forge a turn. params NULL: the defaults.
 * NULL: it failed. Released by cllm_release. */
CLLM_API CllmRequest *cllm_chat(CllmModel *model, const char *messages, const CllmParams *params,
                                CllmError *error);

/* The continuation of a text, in which texts of control tokens are control tokens. */
CLLM_API CllmRequest *cllm_complete(CllmModel *model, const char *prompt, const CllmParams *params,
                                    CllmError *error);

typedef enum CllmEventKind {
    CLLM_NOTHING = 0, /* the time is over */
    CLLM_TEXT = 1,    /* some text has come */
    CLLM_END = 2,     /* the last event, and again whenever asked */
} CllmEventKind;

typedef enum CllmReason {
    CLLM_REASON_NONE = 0,
    CLLM_REASON_STOP = 1,   /* the model, or a stop text, has ended the answer */
    CLLM_REASON_LENGTH = 2, /* max_tokens, or the end of the context */
    CLLM_REASON_CANCELLED = 3,
    CLLM_REASON_FAILED = 4, /* out of memory */
} CllmReason;

typedef struct CllmEvent {
    size_t size; /* sizeof(CllmEvent), set by the caller */
    const char
        *text; /* CLLM_TEXT: whole UTF-8 characters and a NUL; lives until the next call with the request */
    size_t length;              /* bytes of it, without the NUL */
    int32_t reason;             /* CLLM_END: a CllmReason */
    int32_t n_prompt, n_cached; /* CLLM_END: tokens of the prompt, and of those what was not computed anew */
    int32_t n_generated;        /* CLLM_END: tokens of the answer */
} CllmEvent;

/* Waits up to timeout_ms (0: not at all, below 0: for ever) for what comes next and tells it. */
CLLM_API CllmEventKind cllm_next(CllmRequest *request, int timeout_ms, CllmEvent *event);

/* Ends the answer soon; what has come till then can still be taken. */
CLLM_API void cllm_cancel(CllmRequest *request);

/* Gives a request back; one that has not ended is cancelled. */
CLLM_API void cllm_release(CllmRequest *request);

#ifdef __cplusplus
}
#endif
#endif
