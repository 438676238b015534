#include "server/missing_routes.h"

#define TEXT_ONLY "this server reads and writes text only"
#define NO_STORE                                                                                             \
    "this server stores nothing; send the whole conversation to /v1/responses or /v1/chat/completions"
#define NO_JOBS                                                                                              \
    "this server keeps no files and runs no jobs; send the requests themselves, which are computed together"
#define NO_RANKING "this server ranks nothing; /v1/embeddings has vectors to compare"
#define ONE_MODEL "models are fetched and chosen on the server's command line (cllm pull, cllm serve --model)"
#define NO_ADAPTERS "this server applies no adapters; a model file they were merged into can be served"
#define BASE_URL "the client's base URL must end in /v1"

static const struct {
    const char *start, *hint;
} known[] = {
    {"/v1/audio", TEXT_ONLY},
    {"/v1/images", TEXT_ONLY},
    {"/v1/videos", TEXT_ONLY},
    {"/v1/realtime", TEXT_ONLY},
    {"/v1/moderations", "this server judges nothing; a chat with a schema (response_format) can"},
    {"/v1/rerank", NO_RANKING},
    {"/v2/rerank", NO_RANKING},
    {"/rerank", NO_RANKING},
    {"/v1/score", NO_RANKING},
    {"/score", NO_RANKING},
    {"/v1/responses/", NO_STORE},
    {"/v1/conversations", NO_STORE},
    {"/v1/chat/completions/", NO_STORE},
    {"/v1/assistants", NO_STORE},
    {"/v1/threads", NO_STORE},
    {"/v1/files", NO_JOBS},
    {"/v1/uploads", NO_JOBS},
    {"/v1/batches", NO_JOBS},
    {"/v1/messages/batches", NO_JOBS},
    {"/v1/fine_tuning", NO_JOBS},
    {"/v1/vector_stores", NO_JOBS},
    {"/v1/complete", "it is long gone; there is /v1/messages"},
    {"/v1/v1/", "the client adds /v1 itself: its base URL must end before that"},
    {"/v1/api/", "Ollama's routes are not below /v1: the client's base URL must end before that"},
    {"/chat/completions", BASE_URL},
    {"/completions", BASE_URL},
    {"/embeddings", BASE_URL},
    {"/models", BASE_URL},
    {"/responses", BASE_URL},
    {"/completion", "llama.cpp's own route is not had; there is /v1/completions"},
    {"/infill", "llama.cpp's own route is not had; /v1/completions with a suffix fills in the middle"},
    {"/props", "/model/info tells of the model, /v1/models of all that are served"},
    {"/slots", "/stats tells of the live requests"},
    {"/lora-adapters", NO_ADAPTERS},
    {"/v1/load_lora_adapter", NO_ADAPTERS},
    {"/messages", "the client's base URL lacks /v1"},
    {"/api/pull", ONE_MODEL},
    {"/api/push", ONE_MODEL},
    {"/api/create", ONE_MODEL},
    {"/api/copy", ONE_MODEL},
    {"/api/delete", ONE_MODEL},
    {"/api/blobs/", ONE_MODEL},
};

const char *missing_route_hint(Str path) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_starts_with(path, str_from(known[i].start))) return known[i].hint;
    return "GET / lists what there is";
}
