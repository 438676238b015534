#include "chat/chat_style.h"

// A conversation with one call, whose arguments are put in as an object and as text.
static const char probe[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"},"
    " {\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"id\": \"call00001\", \"type\": \"function\","
    "  \"function\": {\"name\": \"f\"}}]},"
    " {\"role\": \"tool\", \"content\": \"b\", \"name\": \"f\", \"tool_call_id\": \"call00001\"}],"
    " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"description\": \"c\","
    "  \"parameters\": {\"type\": \"object\", \"properties\": {}}}}],"
    " \"bos_token\": \"\", \"eos_token\": \"\", \"add_generation_prompt\": true}";

// The probe with these arguments and this content beside the call; takes the references.
static bool render_probe(const ChatTemplate *t, json_t *arguments, json_t *content, Buf *out) {
    json_t *variables = json_loads(probe, 0, NULL);
    json_t *message = json_array_get(json_object_get(variables, "messages"), 1);
    json_t *call = json_array_get(json_object_get(message, "tool_calls"), 0);
    json_object_set_new(json_object_get(call, "function"), "arguments", arguments);
    json_object_set_new(message, "content", content);
    bool ok = variables && chat_template_render(t, variables, out, NULL);
    json_decref(variables);
    return ok;
}

static json_t *probe_arguments(bool as_text) {
    return as_text ? json_string("{\"probe_x\": 1}") : json_pack("{s:i}", "probe_x", 1);
}

// Does what is rendered contain one of these words?
static bool renders(const ChatTemplate *t, bool as_text, const char *const *words) {
    Buf out = {0};
    bool found = false;
    if (render_probe(t, probe_arguments(as_text), json_string(""), &out))
        for (; *words; words++) found |= str_contains(buf_str(&out), str_from(*words));
    buf_free(&out);
    return found;
}

// An object that was glued in shows Python's quotes, text that was printed as JSON shows escaped ones.
static bool wants_text(const ChatTemplate *t) {
    static const char *const as_object[] = {"\"probe_x\"", "probe_x=", "probe_x>",
                                            ">probe_x",    "probe_x:", NULL};
    static const char *const as_text[] = {"{\"probe_x\": 1}", NULL};
    return !renders(t, false, as_object) && renders(t, true, as_text);
}

// No content beside a call is null: some templates fail on that, or write Python's word for it.
static bool wants_content(const ChatTemplate *t, bool text_arguments) {
    Buf with = {0}, without = {0};
    bool good = render_probe(t, probe_arguments(text_arguments), json_string(""), &with);
    bool bad = !render_probe(t, probe_arguments(text_arguments), json_null(), &without) ||
               (str_contains(buf_str(&without), STR("None")) && !str_contains(buf_str(&with), STR("None")));
    buf_free(&with);
    buf_free(&without);
    return good && bad;
}

ChatStyle chat_style_of(const ChatTemplate *t) {
    Str source = chat_template_source(t);
    ToolFormat tools = tool_format_detect(source);
    bool text_arguments = wants_text(t);
    return (ChatStyle){.tools = tools,
                       .reasoning = reasoning_detect(source),
                       .text_arguments = text_arguments,
                       .needs_content = wants_content(t, text_arguments),
                       .newer_syntax = tools == TOOL_FORMAT_MISTRAL ? str_contains(source, STR("[ARGS]"))
                                                                    : !str_contains(source, STR("```json"))};
}
