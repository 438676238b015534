// `cllm pull`: fetch a model into the library.
#include "cli/commands.h"

#include "cli/fetch.h"
#include "cli/runnable.h"

static void print_result(const PullResult *r) {
    char size[24];
    const ModelRecord *record = &r->model.record;
    format_bytes(r->model.bytes, size);
    if (r->was_there)
        printf("%s is there already (%s; --force fetches it anew)\n", r->model.name, r->path);
    else
        printf("%s: %s, SHA-256 %s%s\n", r->model.name, size, record->sha256,
               record->verified ? ", as the source says" : " (the source tells none)");
    Err why;
    if (!model_is_runnable(r->path, &why)) {
        printf("It cannot be run: %s\n", why.msg);
        return;
    }
    if (record->licence[0]) printf("Licence: %s\n", record->licence);
    printf("Try: cllm run %s\n", r->model.name);
}

static bool pull(Options *o, int *code, Err *err) {
    FetchOptions f = {.name = o->name,
                      .sha256 = o->sha256,
                      .force = o->force,
                      .retries = (int)o->retries,
                      .stall_s = (int)o->stall_timeout_s};
    PullResult result;
    if (o->n_words == 0) {
        *code = EXIT_USAGE;
        return err_set(err, ERR_INVALID, "what to fetch is missing; `cllm list --catalogue` has names");
    }
    if (!fetch_model(o, &f, o->words[0], &result, code, err)) return false;
    print_result(&result);
    return true;
}

int cmd_pull(int argc, char **argv) {
    return command_main(COMMAND_PULL, argc, argv, pull);
}
