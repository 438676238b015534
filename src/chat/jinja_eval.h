// The evaluator: walks the tree and appends to j->out.
//
// Variables live in a chain of scopes. A for loop opens one scope that is emptied before each
// iteration, as Jinja has it (what an iteration sets is gone in the next); macros, call blocks,
// with, filter and set blocks open one too; if does not. A macro keeps the scope that it was
// defined in and looks names up there when it runs; a scope that a macro has kept is replaced
// instead of emptied.
#ifndef CLLM_CHAT_JINJA_EVAL_H
#define CLLM_CHAT_JINJA_EVAL_H

#include "chat/jinja_ast.h"
#include "chat/jinja_builtins.h"

typedef struct JScope JScope;
struct JScope {
    JScope *parent;
    JDict vars;
    bool captured; // some macro refers to it
    int loop_depth;
};

struct JMacro {
    const MacroDef *def;
    JScope *scope; // where it was defined
};

void jinja_push_scope(Jinja *j);
void jinja_pop_scope(Jinja *j);
void jinja_set(Jinja *j, Str name, JValue v); // in the innermost scope

void jinja_run_block(Jinja *j, const Block *b); // at the top: nothing may break out of it
Str jinja_run_macro(Jinja *j, const JMacro *m, const JArgs *args);

JValue jinja_eval(Jinja *j, const Expr *e);
void jinja_eval_args(Jinja *j, const CallArgs *a, JArgs *out); // star arguments spread
JValue jinja_eval_filter(Jinja *j, const Expr *e,
                         JValue innermost); // a chain whose innermost subject is NULL

#endif
