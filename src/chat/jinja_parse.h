// Tokens → tree. Errors name the line and what was expected.
#ifndef CLLM_CHAT_JINJA_PARSE_H
#define CLLM_CHAT_JINJA_PARSE_H

#include "chat/jinja_ast.h"

typedef struct Parser {
    Jinja *j;
    const JToken *at;
    int n_loops;     // loops around this place; break and continue need one
    MacroDef *macro; // the macro around this place, or NULL
} Parser;

Block jinja_parse(Jinja *j, Str source);

// jinja_parse_expr.c: the expression grammar
const JToken *parser_take(Parser *p);
bool parser_skip_if(Parser *p, JTokenKind kind);
const JToken *parser_expect(Parser *p, JTokenKind kind);
bool parser_at_name(const Parser *p, const char *word);
bool parser_skip_name(Parser *p, const char *word);
_Noreturn void parser_unexpected(Parser *p, const char *expected);

Expr *parse_expr(Parser *p);
Expr *parse_tuple_expr(Parser *p);   // one expression, or several with commas: a tuple
Expr *parse_expr_no_cond(Parser *p); // without `a if b else c`
Expr *parse_tuple_no_cond(Parser *p);
Expr *parse_target(Parser *p, bool namespace_attr); // what for and set assign to
Expr *parse_filters(Parser *p, Expr *subject);      // name(args)|name(args)…, the first without its '|'
Expr *parse_postfix_call(Parser *p);                // a call, for {% call %}

void expr_list_push(Parser *p, ExprList *l, Expr *e);

#endif
