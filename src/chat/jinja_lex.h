// The lexer: template source → tokens, with white space control already applied.
//
// As apply_chat_template sets Jinja up: trim_blocks (a newline right after a block or comment tag
// goes away) and lstrip_blocks (so does the indentation before one, if it stands alone on its
// line); "-" strips all white space on its side, "+" keeps everything. One newline at the end of
// the source is dropped and CR LF counts as a newline.
#ifndef CLLM_CHAT_JINJA_LEX_H
#define CLLM_CHAT_JINJA_LEX_H

#include "chat/jinja_value.h"

typedef enum JTokenKind {
    T_END, // of the source
    T_DATA,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_VAR_BEGIN,
    T_VAR_END,
    T_NAME,
    T_STRING,  // value: the text, escapes resolved
    T_INTEGER, // value
    T_FLOAT,   // value
    T_ADD,
    T_SUB,
    T_MUL,
    T_DIV,
    T_FLOORDIV,
    T_MOD,
    T_POW,
    T_TILDE,
    T_EQ,
    T_NE,
    T_LT,
    T_LE,
    T_GT,
    T_GE,
    T_IN,     // made by the parser from names
    T_NOT_IN, // made by the parser from names
    T_ASSIGN,
    T_DOT,
    T_COLON,
    T_PIPE,
    T_COMMA,
    T_SEMICOLON,
    T_LPAREN,
    T_RPAREN,
    T_LBRACKET,
    T_RBRACKET,
    T_LBRACE,
    T_RBRACE,
    T_N_KINDS
} JTokenKind;

typedef struct JToken {
    JTokenKind kind;
    int line;
    Str text; // T_DATA, T_NAME: the text
    JValue value;
} JToken;

const char *jinja_token_name(JTokenKind kind); // for messages: "'%}'", "a name"

// The tokens of the source, ended by T_END. The texts are views into `source`, which must be
// valid UTF-8, or live in the arena.
JToken *jinja_lex(Jinja *j, Str source);

#endif
