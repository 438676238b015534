// The parsed template. Immutable after parsing; lives in the arena of its ChatTemplate.
//
// Chains of the same rank (a + b - c, x and y and z, elif …) are flat arrays, not towers of nodes:
// a long prompt glued together with `+` then costs no depth. What does nest is counted in `height`,
// which the parser bounds, so the evaluator may recurse.
#ifndef CLLM_CHAT_JINJA_AST_H
#define CLLM_CHAT_JINJA_AST_H

#include "chat/jinja_lex.h"

typedef struct Expr Expr;
typedef struct Stmt Stmt;

typedef struct ExprList {
    Expr **at;
    size_t n, cap;
} ExprList;

// Arguments of a call: positional, then by name, then *rest and **rest.
typedef struct CallArgs {
    ExprList pos;
    ExprList named;
    Str *names; // of `named`
    size_t names_cap;
    Expr *star, *star_star; // NULL: none
} CallArgs;

typedef enum ExprKind {
    E_CONST,
    E_NAME,
    E_LIST,
    E_TUPLE,
    E_DICT, // items: key, value, key, value …
    E_AND,
    E_OR,
    E_CONCAT,
    E_NOT,
    E_NEG,
    E_POS,
    E_MATH,    // items[0] ops[0] items[1] ops[1] …
    E_COMPARE, // the same
    E_COND,
    E_ATTR,
    E_ITEM,
    E_SLICE,
    E_CALL,
    E_FILTER,
    E_TEST,
} ExprKind;

struct Expr {
    ExprKind kind;
    int line;
    int height; // of the tree under it
    union {
        JValue value; // E_CONST
        Str name;     // E_NAME
        struct {
            ExprList items;
            JTokenKind *ops; // E_MATH, E_COMPARE: items.n - 1 of them
            size_t ops_cap;
        };
        Expr *operand; // E_NOT, E_NEG, E_POS
        struct {
            Expr *test, *yes, *no; // E_COND; no may be NULL
        };
        struct {
            Expr *object;
            union {
                Str attr;      // E_ATTR
                Expr *index;   // E_ITEM
                Expr *part[3]; // E_SLICE: from, to, step, each may be NULL
            };
        };
        struct {
            Expr *subject;           // E_CALL: what is called; E_FILTER: NULL inside a filter block
            Str called;              // E_FILTER, E_TEST: its name
            const JBuiltin *builtin; // E_FILTER, E_TEST: NULL if there is none of that name
            CallArgs args;
        };
    };
};

typedef struct Block {
    Stmt **at;
    size_t n, cap;
} Block;

// What a macro and the body of a call block have in common.
typedef struct MacroDef {
    Str name;
    Str *params;
    Expr **defaults; // NULL where there is none
    size_t n_params, params_cap, defaults_cap;
    bool uses_caller, uses_varargs, uses_kwargs;
    Block body;
} MacroDef;

typedef enum StmtKind {
    S_TEXT,
    S_OUTPUT,
    S_IF,
    S_FOR,
    S_SET,
    S_SET_BLOCK,
    S_WITH,
    S_MACRO,
    S_CALL,
    S_FILTER,
    S_SCOPED, // {% generation %}: its body in a scope of its own
    S_BREAK,
    S_CONTINUE,
} StmtKind;

// A target is E_NAME, E_TUPLE of targets, or E_ATTR of a name (an attribute of a namespace).
struct Stmt {
    StmtKind kind;
    int line;
    union {
        Str text;     // S_TEXT
        Expr *output; // S_OUTPUT
        struct {      // S_IF: tests[i] guards bodies[i]
            ExprList tests;
            Block *bodies;
            size_t bodies_cap;
            Block otherwise;
        } branch;
        struct {
            Expr *target, *items, *filter; // filter may be NULL
            Block body, otherwise;
            bool recursive;
        } loop;
        struct {
            ExprList targets, values; // S_WITH: any number; else one
            Expr *filter;             // S_SET_BLOCK: may be NULL
            Block body;               // S_SET_BLOCK, S_WITH, S_SCOPED
        } set;
        struct {
            MacroDef def;
            Expr *call; // S_CALL: the call that gets the body as `caller`
        } macro;
        struct {
            Expr *filter; // its innermost subject is NULL
            Block body;
        } filtered;
    };
};

#endif
