#include "cli/runtime_options.h"

#include "base/log.h"
#include "cli/commands.h"
#include "cli/stop_signals.h"

#include <string.h>

KvType runtime_kv_type(const Options *o) {
    return strcmp(o->kv_type, "q8_0") == 0 ? KV_Q8_0 : KV_F16;
}

RuntimeConfig runtime_config(const Options *o) {
    return (RuntimeConfig){.model = o->model,
                           .packed_cache = o->packed_cache,
                           .chat_template = o->chat_template,
                           .threads = o->threads,
                           .pin_threads = o->pin_threads,
                           .shows_progress = true,
                           .kv_type = runtime_kv_type(o),
                           .max_context = o->max_context,
                           .kv_tokens = o->kv_tokens,
                           .kv_memory_mb = o->kv_memory_mb,
                           .max_running = o->max_running,
                           .max_queue = o->max_queue,
                           .row_budget = o->row_budget,
                           .prefill_chunk = o->prefill_chunk,
                           .decode_share = o->decode_share,
                           .spec_rows = o->spec_rows,
                           .max_queue_tokens = o->max_queue_tokens,
                           .priority_step_s = o->priority_step_s,
                           .prefix_cache = o->prefix_cache != 0,
                           .prefix_mb = o->prefix_mb};
}

bool runtime_open_foreground(Runtime *r, const Options *o, RuntimeOpen open, int *code, Err *err) {
    StopSignals old;
    RuntimeConfig config = runtime_config(o);
    config.cancel = stop_signals_flag();
    stop_signals_take(&old);
    bool ok = open(r, &config, err);
    stop_signals_give_back(&old);
    if (!atomic_load(config.cancel)) return ok;
    *code = EXIT_INTERRUPTED;
    return err_set(err, ERR_IO, "interrupted");
}

bool runtime_open_log(const Options *o, Err *err) {
    LogLevel level = LOG_INFO;
    if (log_level_parse(o->log_level, &level)) log_set_level(level);
    log_set_format(strcmp(o->log_format, "json") == 0 ? LOG_JSON : LOG_TEXT);
    return log_open(o->log_file, err);
}
