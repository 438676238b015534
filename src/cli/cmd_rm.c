// `cllm rm`: remove models from the library.
#include "cli/commands.h"

#include "cli/fetch.h"

static bool rm(Options *o, int *code, Err *err) {
    Library library;
    if (o->n_words == 0) {
        *code = EXIT_USAGE;
        return err_set(err, ERR_INVALID, "what to remove is missing; `cllm list` has names");
    }
    if (!library_open(o->models, &library, err)) return false;
    for (int i = 0; i < o->n_words; i++) {
        char size[24];
        int64_t freed = 0;
        if (!library_remove(&library, o->words[i], &freed, err)) return false;
        format_bytes(freed, size);
        printf("removed %s (%s)\n", o->words[i], size);
    }
    return true;
}

int cmd_rm(int argc, char **argv) {
    return command_main(COMMAND_RM, argc, argv, rm);
}
