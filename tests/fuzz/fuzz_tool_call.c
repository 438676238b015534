// Fuzz target: the first byte picks a format, the rest is an answer. However it is cut into pieces, the
// events are the same and in order, and text that is no call comes out as it went in.
#include "chat/reasoning.h"
#include "chat/tool_events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fuzz_tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"properties\": "
    "{\"s\": {\"type\": \"string\"}, \"n\": {\"type\": \"integer\"}}}}}]";

static void put_part(void *user, bool is_reasoning, Str text) {
    Buf *out = user;
    buf_putc(out, is_reasoning ? '{' : '}');
    buf_put(out, text);
}

// Every byte of it, without a word on where the pieces end.
static void split(const ReasoningMarks *m, Str text, size_t step, Buf *out) {
    ReasoningSplitter s;
    reasoning_init(&s, m, step & 1, put_part, out);
    for (size_t at = 0; at < text.len; at += step) CHECK(reasoning_push(&s, str_sub(text, at, step)));
    CHECK(reasoning_finish(&s));
    CHECK(out->len <= 2 * text.len);
    reasoning_free(&s);
    buf_clear(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    ToolFormat format = (ToolFormat)(data[0] % TOOL_N_FORMATS);
    Str text = {(const char *)data + 1, size - 1};
    json_t *tools = json_loads(fuzz_tools, 0, NULL);
    Buf whole = {0}, parts = {0};
    CHECK(tools);
    tool_log_parse(format, tools, text, 0, 0, &whole);
    for (size_t step = 1; step < 8; step += 3) {
        tool_log_parse(format, tools, text, step, 0, &parts);
        CHECK(str_eq(buf_str(&whole), buf_str(&parts)));
    }
    static const char *const signs[] = {"<think>", "<|channel|>analysis", "[THINK]"};
    buf_clear(&parts);
    for (size_t step = 1; step < 4; step++)
        split(reasoning_detect(str_from(signs[data[0] % 3])), text, step, &parts);
    buf_free(&whole);
    buf_free(&parts);
    json_decref(tools);
    return 0;
}
