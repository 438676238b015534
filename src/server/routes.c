#include "server/api_anthropic.h"
#include "server/api_benchmark.h"
#include "server/api_embeddings.h"
#include "server/api_info.h"
#include "server/api_metrics.h"
#include "server/api_native.h"
#include "server/api_ollama.h"
#include "server/api_openai.h"
#include "server/api_openapi.h"
#include "server/api_page.h"
#include "server/api_responses.h"
#include "server/api_stats.h"
#include "server/api_tokens.h"
#include "server/router.h"

const Route routes_table[] = {
    {HTTP_GET, "/", api_root, false, "This list; a browser gets the page"},
    {HTTP_GET, "/assets/{name}", api_asset, false, "The page's files"},
    {HTTP_GET, "/openapi.json", api_openapi, false, "The routes as OpenAPI describes them"},
    {HTTP_GET, "/health", api_health, false, "Is the server ready"},
    {HTTP_GET, "/model/info", api_model_info, true, "What model is served"},
    {HTTP_GET, "/stats", api_stats, true, "What the engine is doing, in numbers"},
    {HTTP_GET, "/metrics", api_metrics, false, "The same for Prometheus, with histograms"},
    {HTTP_POST, "/generate", api_generate, true, "Continue a prompt"},
    {HTTP_POST, "/generate_stream", api_generate_stream, true, "Continue a prompt, as server-sent events"},
    {HTTP_POST, "/encode", api_encode, true, "The tokens of a text"},
    {HTTP_POST, "/tokenize", api_tokenize, true, "The tokens of a text or a conversation"},
    {HTTP_POST, "/detokenize", api_detokenize, true, "The text of tokens"},
    {HTTP_POST, "/apply-template", api_apply_template, true, "The text of a conversation"},
    {HTTP_POST, "/benchmark", api_benchmark, true, "Measure this server with its own requests"},
    {HTTP_GET, "/v1/models", api_models, true, "OpenAI: the models"},
    {HTTP_GET, "/v1/models/{id}", api_model, true, "OpenAI: one model"},
    {HTTP_POST, "/v1/completions", api_completions, true, "OpenAI: continue a prompt"},
    {HTTP_POST, "/v1/chat/completions", api_chat_completions, true, "OpenAI: answer a conversation"},
    {HTTP_POST, "/v1/responses", api_responses, true, "OpenAI: answer a conversation, in items"},
    {HTTP_POST, "/v1/messages", api_messages, true, "Anthropic: answer a conversation"},
    {HTTP_POST, "/v1/messages/count_tokens", api_count_tokens, true, "Anthropic: how long a prompt would be"},
    {HTTP_POST, "/v1/embeddings", api_embeddings, true, "OpenAI: vectors that stand for texts"},
    {HTTP_POST, "/api/chat", api_ollama_chat, true, "Ollama: answer a conversation"},
    {HTTP_POST, "/api/generate", api_ollama_generate, true, "Ollama: answer or continue a prompt"},
    {HTTP_POST, "/api/embed", api_ollama_embed, true, "Ollama: vectors that stand for texts"},
    {HTTP_POST, "/api/embeddings", api_ollama_embeddings, true, "Ollama: the same, its older form"},
    {HTTP_GET, "/api/tags", api_ollama_tags, true, "Ollama: the models"},
    {HTTP_GET, "/api/ps", api_ollama_ps, true, "Ollama: the models that are loaded"},
    {HTTP_POST, "/api/show", api_ollama_show, true, "Ollama: one model"},
    {HTTP_GET, "/api/version", api_ollama_version, false, "Ollama: the version of this server"},
};
_Static_assert(sizeof routes_table / sizeof routes_table[0] <= METRICS_MAX_ROUTES, "metrics count by route");
const size_t routes_count = sizeof routes_table / sizeof routes_table[0];
