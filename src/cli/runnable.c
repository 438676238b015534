#include "cli/runnable.h"

#include "model/arch.h"

bool gguf_is_runnable(const Gguf *g, Err *why) {
    HyperParams hp;
    return hyper_params_read(g, &hp, why);
}

bool model_is_runnable(const char *path, Err *why) {
    Gguf *g = gguf_open(path, why);
    bool ok = g && gguf_is_runnable(g, why);
    gguf_close(g);
    return ok;
}
