// From a model file to a running engine: what serve, run and the benchmarks all need.
//
// Thread: open on any one thread (loading may take long); close on one, when no other uses it.
#ifndef CLLM_CLI_RUNTIME_H
#define CLLM_CLI_RUNTIME_H

#include "base/workers.h"
#include "chat/template.h"
#include "cli/options.h"
#include "engine/engine.h"
#include "model/model.h"
#include "text/tokenizer.h"

typedef struct Runtime {
    Workers *workers;
    Model *model;
    ModelContext *context;
    int32_t n_blocks; // of the KV pool
    Tokenizer *tokenizer;
    ChatTemplate *chat_template; // NULL: the file has none that can be used (logged)
    Engine *engine;
} Runtime;

// Fails early and cheaply when the model is not named or not readable. The message names the remedy.
bool runtime_check_model(const Options *o, Err *err);

// The KV type that kv_type names.
KvType runtime_kv_type(const Options *o);

// The workers and the model alone; logs model_loaded. Reads model, threads, pin_threads,
// packed_cache. What was opened
// before a failure stays in *r, for runtime_close.
bool runtime_open_model(Runtime *r, const Options *o, Err *err);

// Reads what runtime_open_model does, and max_running, max_queue, row_budget, prefill_chunk, decode_share,
// spec_rows, kv_tokens, kv_memory_mb, kv_type, prefix_cache, prefix_mb, max_queue_tokens, priority_step_s.
// Reports progress on stderr when it takes longer than a second: a line that is rewritten on a terminal, else
// log lines. On failure *r is closed again.
bool runtime_open(Runtime *r, const Options *o, Err *err);
void runtime_close(Runtime *r); // stops the engine now; a zeroed Runtime is allowed

// A tokenizer must not make tokens that the model has no embedding for.
bool runtime_check_vocabulary(const Model *m, const Tokenizer *t, Err *err);

// Opens the log as log_level, log_file and log_format say.
bool runtime_open_log(const Options *o, Err *err);

#endif
