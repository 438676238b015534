// From a model file to a running engine: what the library, serve, run and the benchmarks all need.
//
// Thread: open on any one thread (loading may take long); close on one, when no other uses it.
#ifndef CLLM_API_RUNTIME_H
#define CLLM_API_RUNTIME_H

#include "base/workers.h"
#include "chat/template.h"
#include "engine/engine.h"
#include "model/model.h"
#include "text/tokenizer.h"

typedef struct Runtime {
    Workers *workers;
    Model *model;
    ModelContext *context;
    int32_t n_blocks; // of the KV pool
    size_t bytes;     // memory that all this takes, at most
    Tokenizer *tokenizer;
    ChatTemplate *chat_template; // NULL: the model has none that can be used (logged)
    Engine *engine;
} Runtime;

typedef struct RuntimeConfig {
    const char *model;         // a GGUF file
    const char *packed_cache;  // folder of packed weights; "": none
    const char *chat_template; // a Jinja file instead of the model's own template; "": none
    int64_t threads;           // 0: as many as CPUs may be used
    bool pin_threads;
    const atomic_bool *cancel; // when it is set, by any thread, the loading that is under way fails; NULL: never
    bool shows_progress; // on stderr when loading takes longer than a second: a line that is rewritten on a
                         // terminal, else log lines
    KvType kv_type;
    uint64_t memory_bytes; // that the model may take together with its KV pool; 0: what the machine has
    int64_t max_context;   // tokens of a request; 0: as the model has
    int64_t kv_tokens, kv_memory_mb; // size of the pool, see pool_size.h
    int64_t max_running, max_queue, row_budget, prefill_chunk, decode_share, spec_rows; // see EngineConfig
    int64_t max_queue_tokens, priority_step_s;
    Turns *turns; // see EngineConfig
    bool prefix_cache;
    int64_t prefix_mb; // of free blocks whose content is kept before memory never used is taken
} RuntimeConfig;

// What the options of the command line are without one being given, apart from shows_progress.
RuntimeConfig runtime_defaults(void);

// Fails early and cheaply when the model is not named or not readable. The message names the remedy.
bool runtime_check_model(const char *path, Err *err);

// What the model of *c is called and would take, by the head of its file. Fails where runtime_open would for
// what stands there.
typedef struct RuntimeOutline {
    char name[128];
    size_t bytes;
} RuntimeOutline;
bool runtime_read_outline(const RuntimeConfig *c, RuntimeOutline *out, Err *err);

// The workers and the model alone; logs model_loaded. Reads model, threads, pin_threads, packed_cache and
// shows_progress. What was opened before a failure stays in *r, for runtime_close.
bool runtime_open_model(Runtime *r, const RuntimeConfig *c, Err *err);

// Reads all of it. On failure *r is closed again.
bool runtime_open(Runtime *r, const RuntimeConfig *c, Err *err);
void runtime_close(Runtime *r); // stops the engine now; a zeroed Runtime is allowed

// A tokenizer must not make tokens that the model has no embedding for.
bool runtime_check_vocabulary(const Model *m, const Tokenizer *t, Err *err);

#endif
