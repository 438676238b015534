// libcllm from many threads: each answer is as alone, and requests may be left in every state.
//
//     together MODEL      prints "ok", or what is wrong
#include <cllm.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, TEXT_MAX = 4096, TOKENS = 24 };

static CllmModel *model;

static void need(int holds, const char *what) {
    if (holds) return;
    printf("not so: %s\n", what);
    exit(1);
}

static CllmParams params_for(int seed) {
    CllmParams p;
    cllm_params_init(&p, sizeof p);
    p.seed = seed;
    p.max_tokens = TOKENS;
    return p;
}

static CllmRequest *start(const CllmParams *p) {
    CllmError error = {0};
    CllmRequest *r = cllm_complete(model, "Once upon a time", p, &error);
    need(r != NULL, error.message);
    return r;
}

// All of the answer; timeout_ms 0 asks again and again.
static CllmEvent finish(CllmRequest *r, int timeout_ms, char *text) {
    CllmEvent event = {.size = sizeof event};
    CllmEventKind kind;
    text[0] = 0;
    while ((kind = cllm_next(r, timeout_ms, &event)) != CLLM_END)
        if (kind == CLLM_TEXT) {
            need(strlen(event.text) == event.length, "a text ends where its length says");
            strncat(text, event.text, TEXT_MAX - strlen(text) - 1);
        }
    need(cllm_next(r, 0, &event) == CLLM_END, "the end is told again");
    return event;
}

static char alone[THREADS][TEXT_MAX];

static void *answer(void *arg) {
    int seed = *(int *)arg;
    char text[TEXT_MAX];
    CllmParams p = params_for(seed);
    for (int round = 0; round < 2; round++) {
        CllmRequest *left = start(&p), *r = start(&p);
        cllm_release(left); // while it waits or runs
        CllmEvent end = finish(r, seed == 0 ? 1 : -1, text);
        need(strcmp(text, alone[seed]) == 0, "an answer is the same among others");
        need(end.n_generated > 0 && end.n_prompt > 0, "tokens are counted");
        cllm_release(r);
    }
    return NULL;
}

static void all_at_once(void) {
    pthread_t threads[THREADS];
    int seeds[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CllmParams p = params_for(seeds[i] = i);
        CllmRequest *r = start(&p);
        finish(r, -1, alone[i]);
        cllm_release(r);
    }
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, answer, &seeds[i]);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void *cancel(void *arg) {
    cllm_cancel(arg);
    return NULL;
}

static void ends(void) {
    char text[TEXT_MAX];
    pthread_t other;
    CllmParams p = params_for(1);
    p.max_tokens = 2000;
    CllmRequest *r = start(&p);
    pthread_create(&other, NULL, cancel, r);
    need(finish(r, -1, text).reason == CLLM_REASON_CANCELLED, "another thread may cancel");
    pthread_join(other, NULL);
    cllm_release(r);

    char stop[2] = {alone[1][strlen(alone[1]) / 2], 0};
    const char *const stops[] = {stop};
    p = params_for(1);
    p.stop = stops;
    p.n_stop = 1;
    r = start(&p);
    need(finish(r, -1, text).reason == CLLM_REASON_STOP && !strstr(text, stop),
         "a stop text ends the answer");
    cllm_release(r);
}

static void refusals(void) {
    CllmError error;
    CllmParams p = params_for(1);
    need(!cllm_chat(model, "[{", NULL, &error) && error.code == CLLM_INVALID, "messages must be JSON");
    need(!cllm_chat(model, "[]", NULL, &error) && error.code == CLLM_INVALID, "there must be messages");
    p.max_tokens = 1 << 20;
    need(!cllm_complete(model, "x", &p, &error) && error.code == CLLM_LIMIT, "the context is a limit");
    p = params_for(1);
    p.top_p = 7;
    need(!cllm_complete(model, "x", &p, &error) && strstr(error.message, "top_p"), "parameters are checked");
    p = params_for(1);
    const char *const stops[] = {"x", NULL};
    p.stop = stops;
    p.n_stop = 2;
    need(!cllm_complete(model, "x", &p, &error) && strstr(error.message, "NULL"), "stop texts are checked");
    p = params_for(1);
    p.max_tokens = 2000;
    start(&p); // cllm_close ends and frees it
}

static void nothing_given(void) {
    CllmError error = {0};
    CllmEvent event = {.size = sizeof event};
    need(!cllm_open(NULL, &error) && error.code == CLLM_INVALID, "no configuration");
    need(!cllm_chat(NULL, "[]", NULL, &error) && error.code == CLLM_INVALID, "no model to chat with");
    need(!cllm_chat(model, NULL, NULL, &error) && error.code == CLLM_INVALID, "no messages");
    need(!cllm_complete(NULL, "x", NULL, &error) && error.code == CLLM_INVALID, "no model");
    need(!cllm_complete(model, NULL, NULL, NULL), "no prompt");
    need(cllm_next(NULL, -1, &event) == CLLM_END && event.reason == CLLM_REASON_FAILED, "no request ends");
    need(cllm_next(NULL, -1, NULL) == CLLM_END, "nobody asks for the event");
    need(cllm_model_context(NULL) == 0 && !cllm_model_name(NULL)[0], "nothing is said of no model");
    cllm_cancel(NULL);
    cllm_release(NULL);
    cllm_close(NULL);
}

// Models of their own, which share only what the library has once.
static void *open_and_ask(void *arg) {
    char text[TEXT_MAX];
    CllmError error = {0};
    CllmConfig config;
    cllm_config_init(&config, sizeof config);
    config.model = arg;
    config.threads = 1;
    config.kv_tokens = 2048;
    CllmParams p = params_for(0);
    CllmModel *own = cllm_open(&config, &error);
    need(own != NULL, error.message);
    CllmRequest *r = cllm_complete(own, "Once upon a time", &p, &error);
    need(r != NULL, error.message);
    finish(r, -1, text);
    need(strcmp(text, alone[0]) == 0, "another model of the same file answers the same");
    cllm_close(own); // releases r
    return NULL;
}

static void several_models(char *path) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, open_and_ask, path);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
    CllmError error = {0};
    CllmConfig config;
    cllm_config_init(&config, sizeof config);
    config.model = argc > 1 ? argv[1] : NULL;
    config.max_running = 1025;
    need(!cllm_open(&config, &error) && error.code == CLLM_INVALID, "bounds are checked");
    config.max_running = 3; // the others wait
    model = cllm_open(&config, &error);
    need(model != NULL, error.message);
    all_at_once();
    ends();
    several_models(argv[1]);
    nothing_given();
    refusals();
    cllm_close(model);
    puts("ok");
    return 0;
}
