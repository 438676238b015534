// Asks a model one question with libcllm and prints the answer as it comes.
//
//     cc ask.c $(pkg-config --cflags --libs cllm) -o ask
//     ./ask model.gguf "Why is the sky blue?" [SEED]
#include <cllm.h>

#include <stdio.h>
#include <stdlib.h>

// The question as a JSON string; control characters become blanks.
static void put_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') fputc('\\', out);
        fputc(c < 0x20 ? ' ' : c, out);
    }
    fputc('"', out);
}

static char *conversation(const char *question) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    fputs("[{\"role\":\"user\",\"content\":", out);
    put_json_string(out, question);
    fputs("}]", out);
    fclose(out);
    return text;
}

static int fail(const CllmError *error) {
    fprintf(stderr, "ask: %s\n", error->message);
    return 1;
}

static int ask(CllmModel *model, const char *question, int64_t seed) {
    CllmError error = {0};
    CllmParams params;
    cllm_params_init(&params, sizeof params);
    params.seed = seed;
    params.max_tokens = 48;
    char *messages = conversation(question);
    CllmRequest *request = messages ? cllm_chat(model, messages, &params, &error) : NULL;
    free(messages);
    if (!request) return fail(&error);
    CllmEvent event = {.size = sizeof event};
    while (cllm_next(request, -1, &event) == CLLM_TEXT) {
        fwrite(event.text, 1, event.length, stdout);
        fflush(stdout);
    }
    putchar('\n');
    fprintf(stderr, "%d tokens of prompt, %d of answer\n", event.n_prompt, event.n_generated);
    cllm_release(request);
    return event.reason == CLLM_REASON_FAILED;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs("usage: ask MODEL QUESTION [SEED]\n", stderr);
        return 2;
    }
    CllmError error;
    CllmConfig config;
    cllm_config_init(&config, sizeof config);
    config.model = argv[1];
    CllmModel *model = cllm_open(&config, &error);
    if (!model) return fail(&error);
    int status = ask(model, argv[2], argc > 3 ? atoll(argv[3]) : -1);
    cllm_close(model);
    return status;
}
