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

// Takes the reference of `arguments`. Does what is rendered contain one of these words?
static bool renders(const ChatTemplate *t, json_t *arguments, const char *const *words) {
    Buf out = {0};
    bool found = false;
    json_t *variables = json_loads(probe, 0, NULL);
    json_t *message = json_array_get(json_object_get(variables, "messages"), 1);
    json_t *call = json_array_get(json_object_get(message, "tool_calls"), 0);
    json_object_set_new(json_object_get(call, "function"), "arguments", arguments);
    if (variables && chat_template_render(t, variables, &out, NULL))
        for (; *words; words++) found |= str_contains(buf_str(&out), str_from(*words));
    json_decref(variables);
    buf_free(&out);
    return found;
}

// An object that was glued in shows Python's quotes, text that was printed as JSON shows escaped ones.
static bool wants_text(const ChatTemplate *t) {
    static const char *const as_object[] = {"\"probe_x\"", "probe_x=", "probe_x>",
                                            ">probe_x",    "probe_x:", NULL};
    static const char *const as_text[] = {"{\"probe_x\": 1}", NULL};
    return !renders(t, json_pack("{s:i}", "probe_x", 1), as_object) &&
           renders(t, json_string("{\"probe_x\": 1}"), as_text);
}

ChatStyle chat_style_of(const ChatTemplate *t) {
    Str source = chat_template_source(t);
    ToolFormat tools = tool_format_detect(source);
    return (ChatStyle){.tools = tools,
                       .reasoning = reasoning_detect(source),
                       .text_arguments = wants_text(t),
                       .newer_syntax = tools == TOOL_FORMAT_MISTRAL ? str_contains(source, STR("[ARGS]"))
                                                                    : !str_contains(source, STR("```json"))};
}
