// The options that say how a model is run, as src/api wants them.
#ifndef CLLM_CLI_RUNTIME_OPTIONS_H
#define CLLM_CLI_RUNTIME_OPTIONS_H

#include "api/runtime.h"
#include "cli/options.h"

// Borrows the texts of *o.
RuntimeConfig runtime_config(const Options *o);

// The KV type that kv_type names.
KvType runtime_kv_type(const Options *o);

// Opens the log as log_level, log_file and log_format say.
bool runtime_open_log(const Options *o, Err *err);

#endif
