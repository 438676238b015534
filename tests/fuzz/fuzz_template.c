// Fuzz target: the bytes are a chat template, rendered with a fixed conversation. Whatever they
// say, the engine must answer with text or with an error that names itself, and what the template tells of
// the model's syntax is something that there is.
#include "chat/chat_style.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char fuzz_conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"},"
    " {\"role\": \"user\", \"content\": \"Gr\\u00fc\\u00dfe, \\ud83d\\ude00\"},"
    " {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"a\", \"function\":"
    "  {\"name\": \"f\", \"arguments\": {\"x\": 1.5, \"y\": [1, true, null]}}}]},"
    " {\"role\": \"tool\", \"content\": \"42\"}], \"tools\": [{\"type\": \"function\", \"function\":"
    "  {\"name\": \"f\", \"parameters\": {\"properties\": {\"x\": {\"type\": \"number\"}}}}}],"
    " \"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"n\": 3, \"l\": [3, 1, 2], \"s\": \"a,b\"}";

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    Err err = {0};
    Buf out = {0};
    json_t *vars = json_loads(fuzz_conversation, 0, NULL);
    CHECK(vars);
    ChatTemplate *t = chat_template_parse((Str){(const char *)bytes, n}, &err);
    bool ok = t && chat_template_render(t, vars, &out, &err);
    CHECK(ok || (err.code != ERR_NONE && err.msg[0]));
    CHECK(ok || !out.len);
    if (t) CHECK(tool_format_syntax(chat_style_of(t).tools));
    buf_free(&out);
    chat_template_free(t);
    json_decref(vars);
    return 0;
}
