// `cllm completion`: what makes a shell complete cllm's commands.
#include "cli/commands.h"

#include "cli/completion.h"

#include <string.h>

static bool completion(Options *o, int *code, Err *err) {
    static const struct {
        const char *name;
        void (*put)(Buf *out);
    } shells[] = {{"bash", completion_put_bash}, {"zsh", completion_put_zsh}, {"fish", completion_put_fish}};
    const char *shell = o->n_words ? o->words[0] : "";
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(shell, shells[i].name) != 0) continue;
        Buf out = {0};
        shells[i].put(&out);
        bool ok = !out.failed || err_set(err, ERR_NOMEM, "out of memory");
        if (ok) fwrite(out.ptr, 1, out.len, stdout);
        buf_free(&out);
        return ok;
    }
    *code = EXIT_USAGE;
    return err_set(err, ERR_INVALID, "for which shell? cllm completion bash, zsh or fish");
}

int cmd_completion(int argc, char **argv) {
    return command_main(COMMAND_COMPLETION, argc, argv, completion);
}
