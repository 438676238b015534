// What tool_call.c and the bodies of the formats share.
//
// tool_call.c finds markers in text and hands the bytes after one to its body, until that is done or finds
// that this is no call. Until a call begins the bytes are kept in `held` as well, since they may have to
// become text; from its beginning to its end they are not.
#ifndef CLLM_CHAT_TOOL_PARSER_H
#define CLLM_CHAT_TOOL_PARSER_H

#include "base/buf.h"
#include "chat/tool_call.h"

typedef enum BodyStep {
    BODY_MORE,
    BODY_DONE, // the byte was the body's last
    BODY_BAD,  // the byte, and what is held before it, is not the body's
} BodyStep;

// The bytes of a JSON object, array or string from its first to its last, by brackets and quotes. Whether
// it is good JSON is for who reads it.
typedef struct JsonScan {
    int depth;
    bool in_string, escaped;
} JsonScan;

BodyStep json_scan(JsonScan *s, char c);

typedef struct JsonBody {
    enum {
        CALL_START,
        CALL_KEY,
        CALL_IN_KEY,
        CALL_COLON,
        CALL_VALUE,
        CALL_STRING, // the value of a name or of arguments in quotes
        CALL_ARGUMENTS,
        CALL_KEPT, // arguments before the name
        CALL_SKIP,
        CALL_SCALAR,
        CALL_NEXT,
        CALL_AFTER_CALL,
    } state;
    bool list, has_name, has_arguments, sent;
    int nested; // {"function": {…}} around the call's own fields
    JsonScan scan;
    Buf key, name, value;
} JsonBody;

typedef struct NamedBody {
    enum { NAMED_START, NAMED_HEADER, NAMED_ARGUMENTS, NAMED_JSON } state;
    JsonScan scan;
    Buf header;
} NamedBody;

typedef struct TagsBody {
    enum { TAGS_NAME, TAGS_NEXT, TAGS_KEY, TAGS_VALUE_OPEN, TAGS_VALUE } state;
    enum { TAGS_AS_TEXT, TAGS_AS_JSON, TAGS_AS_FITS } type;
    bool has_values;
    bool has_text, newline; // of a text value: something came; a newline is held back
    size_t matched;         // bytes of the tag that is expected
    Buf name, word;         // word: tag, key or value so far
} TagsBody;

typedef struct PythonBody {
    enum { PYTHON_LIST, PYTHON_NAME, PYTHON_KEY, PYTHON_VALUE, PYTHON_AFTER_CALL } state;
    bool has_values, escaped;
    char quote; // of the string that is open; 0: none
    int depth;
    Buf name, word;
} PythonBody;

struct ToolParser {
    const ToolSyntax *syntax;
    const json_t *tools;
    ToolSink *sink;
    void *user;

    bool in_body, bare; // bare: the body began without a marker of the format's own
    bool started;       // there was text (other than white space) or a call
    bool after_prefix, after_call;
    Buf held;     // white space, markers and bytes of a body that may yet be text
    size_t mark;  // in text: where the marker that may be coming begins in held
    int n_calls;  // begun
    int n_before; // at the beginning of the body
    bool open;    // a call has begun and not ended
    bool failed;  // out of memory
    ToolEventKind kind;
    Buf out; // text of the event that is being put together

    JsonBody json;
    NamedBody named;
    TagsBody tags;
    PythonBody python;
};

// Events. A call must begin before it has arguments, and end.
void tool_emit_begin(ToolParser *p, Str name);
void tool_emit_arguments(ToolParser *p, Str json);
void tool_emit_quoted(ToolParser *p, Str text); // inside quotes: as the inside of a JSON string
void tool_emit_end(ToolParser *p);
BodyStep tool_emit_scanned(ToolParser *p, JsonScan *s, char c); // json_scan; the byte is one of arguments

const json_t *tool_find(const json_t *tools, Str name); // the function's object, or NULL
bool tool_name_is_good(const ToolParser *p, Str name);  // a name that a call may begin with

static inline bool tool_is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

Str tool_trim(Str s);
Str tool_escape(char c,
                char code[8]); // as a JSON string has it: control characters as codes, others as they are

// The bodies: reset at a marker, then fed byte by byte.
void tool_json_reset(JsonBody *b);
BodyStep tool_json_feed(ToolParser *p, char c);
BodyStep tool_named_feed(ToolParser *p, char c);
BodyStep tool_tags_feed(ToolParser *p, char c);
BodyStep tool_python_feed(ToolParser *p, char c);
void tool_named_reset(NamedBody *b);
void tool_tags_reset(TagsBody *b);
void tool_python_reset(PythonBody *b);

#endif
