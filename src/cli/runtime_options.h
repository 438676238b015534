// The options that say how a model is run, as src/api wants them.
#ifndef CLLM_CLI_RUNTIME_OPTIONS_H
#define CLLM_CLI_RUNTIME_OPTIONS_H

#include "api/runtime.h"
#include "cli/options.h"

// Borrows the texts of *o.
RuntimeConfig runtime_config(const Options *o);

// The KV type that kv_type names.
KvType runtime_kv_type(const Options *o);

// `open` (runtime_open, runtime_open_model) with *o's configuration, in the foreground: Ctrl-C or SIGTERM end the loading,
// which then is a failure with *code.
typedef bool (*RuntimeOpen)(Runtime *r, const RuntimeConfig *c, Err *err);
bool runtime_open_foreground(Runtime *r, const Options *o, RuntimeOpen open, int *code, Err *err);

// Opens the log as log_level, log_file and log_format say.
bool runtime_open_log(const Options *o, Err *err);

#endif
