#include "chat/jinja_parse.h"

#include "chat/jinja_builtins.h"

// ---- tokens

_Noreturn void parser_unexpected(Parser *p, const char *expected) {
    p->j->line = p->at->line;
    if (p->at->kind == T_NAME)
        jinja_fail(p->j, "unexpected '%.*s', expected %s", jinja_cut(p->at->text, 60), p->at->text.ptr,
                   expected);
    jinja_fail(p->j, "unexpected %s, expected %s", jinja_token_name(p->at->kind), expected);
}

const JToken *parser_take(Parser *p) {
    const JToken *t = p->at;
    if (t->kind != T_END) p->at++;
    p->j->line = p->at->line;
    return t;
}

bool parser_skip_if(Parser *p, JTokenKind kind) {
    if (p->at->kind != kind) return false;
    parser_take(p);
    return true;
}

const JToken *parser_expect(Parser *p, JTokenKind kind) {
    if (p->at->kind != kind) parser_unexpected(p, jinja_token_name(kind));
    return parser_take(p);
}

static bool is_word(const JToken *t, const char *word) {
    return t->kind == T_NAME && str_eq(t->text, str_from(word));
}

bool parser_at_name(const Parser *p, const char *word) {
    return is_word(p->at, word);
}

bool parser_skip_name(Parser *p, const char *word) {
    if (!parser_at_name(p, word)) return false;
    parser_take(p);
    return true;
}

// ---- nodes

static Expr *new_expr(Parser *p, ExprKind kind, int line) {
    Expr *e = jinja_alloc(p->j, sizeof *e);
    e->kind = kind;
    e->line = line;
    e->height = 1;
    return e;
}

// Every child is announced here, so that no tree is higher than the evaluator can climb.
static Expr *adopt(Parser *p, Expr *parent, Expr *child) {
    if (child && child->height >= parent->height) parent->height = child->height + 1;
    if (parent->height > JINJA_MAX_NESTING)
        jinja_fail(p->j, "an expression is nested deeper than %d levels", JINJA_MAX_NESTING);
    return child;
}

void expr_list_push(Parser *p, ExprList *l, Expr *e) {
    l->at = jinja_grow_array(p->j, l->at, l->n, &l->cap, sizeof *l->at);
    l->at[l->n++] = e;
}

static void push_item(Parser *p, Expr *parent, Expr *child) {
    expr_list_push(p, &parent->items, adopt(p, parent, child));
}

static void push_op(Parser *p, Expr *e, JTokenKind op) {
    e->ops = jinja_grow_array(p->j, e->ops, e->items.n - 1, &e->ops_cap, sizeof *e->ops);
    e->ops[e->items.n - 1] = op;
}

static Expr *unary(Parser *p, ExprKind kind, int line, Expr *operand) {
    Expr *e = new_expr(p, kind, line);
    e->operand = adopt(p, e, operand);
    return e;
}

typedef Expr *ParseFn(Parser *p);

// left op right op right …: one flat node, or just `left` without an operator.
static Expr *parse_chain(Parser *p, ExprKind kind, ParseFn *operand,
                         bool (*take_op)(Parser *p, JTokenKind *op)) {
    int line = p->at->line;
    Expr *first = operand(p);
    JTokenKind op;
    if (!take_op(p, &op)) return first;
    Expr *e = new_expr(p, kind, line);
    push_item(p, e, first);
    do {
        push_op(p, e, op);
        push_item(p, e, operand(p));
    } while (take_op(p, &op));
    return e;
}

static bool take_one_of(Parser *p, JTokenKind *op, JTokenKind from, JTokenKind to) {
    *op = p->at->kind;
    if (*op < from || *op > to) return false;
    parser_take(p);
    return true;
}

// ---- primaries

static Expr *parse_unary(Parser *p);

static void note_special(Parser *p, Str name) {
    if (!p->macro) return;
    if (str_eq(name, STR("caller"))) p->macro->uses_caller = true;
    if (str_eq(name, STR("varargs"))) p->macro->uses_varargs = true;
    if (str_eq(name, STR("kwargs"))) p->macro->uses_kwargs = true;
}

static Expr *parse_name(Parser *p) {
    static const struct {
        const char *word;
        JKind kind;
        bool b;
    } constants[] = {{"true", J_BOOL, true},   {"True", J_BOOL, true},  {"false", J_BOOL, false},
                     {"False", J_BOOL, false}, {"none", J_NONE, false}, {"None", J_NONE, false}};
    const JToken *t = parser_take(p);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        if (!is_word(t, constants[i].word)) continue;
        Expr *e = new_expr(p, E_CONST, t->line);
        e->value = constants[i].kind == J_BOOL ? jv_bool(constants[i].b) : jv_none();
        return e;
    }
    Expr *e = new_expr(p, E_NAME, t->line);
    e->name = t->text;
    note_special(p, t->text);
    return e;
}

static Expr *parse_literal(Parser *p) {
    const JToken *t = parser_take(p);
    Expr *e = new_expr(p, E_CONST, t->line);
    e->value = t->value;
    while (t->kind == T_STRING && p->at->kind == T_STRING) // neighbours are one string
        e->value = jv_str(jinja_concat(p->j, e->value.s, parser_take(p)->value.s));
    return e;
}

static Expr *parse_parenthesis(Parser *p) {
    int line = parser_take(p)->line;
    Expr *e = p->at->kind == T_RPAREN ? new_expr(p, E_TUPLE, line) : parse_tuple_expr(p);
    parser_expect(p, T_RPAREN);
    return e;
}

static Expr *parse_list(Parser *p) {
    Expr *e = new_expr(p, E_LIST, parser_take(p)->line);
    while (p->at->kind != T_RBRACKET) {
        if (e->items.n) parser_expect(p, T_COMMA);
        if (p->at->kind == T_RBRACKET) break;
        push_item(p, e, parse_expr(p));
    }
    parser_expect(p, T_RBRACKET);
    return e;
}

static Expr *parse_dict(Parser *p) {
    Expr *e = new_expr(p, E_DICT, parser_take(p)->line);
    while (p->at->kind != T_RBRACE) {
        if (e->items.n) parser_expect(p, T_COMMA);
        if (p->at->kind == T_RBRACE) break;
        push_item(p, e, parse_expr(p));
        parser_expect(p, T_COLON);
        push_item(p, e, parse_expr(p));
    }
    parser_expect(p, T_RBRACE);
    return e;
}

static Expr *parse_primary(Parser *p) {
    switch (p->at->kind) {
    case T_NAME: return parse_name(p);
    case T_STRING:
    case T_INTEGER:
    case T_FLOAT: return parse_literal(p);
    case T_LPAREN: return parse_parenthesis(p);
    case T_LBRACKET: return parse_list(p);
    case T_LBRACE: return parse_dict(p);
    default: parser_unexpected(p, "an expression");
    }
}

// ---- calls, attributes, items

static void parse_argument(Parser *p, Expr *call) {
    CallArgs *a = &call->args;
    bool named = p->at->kind == T_NAME && p->at[1].kind == T_ASSIGN;
    if (parser_skip_if(p, T_MUL)) {
        if (a->star || a->star_star) jinja_fail(p->j, "unexpected second '*' in a call");
        a->star = adopt(p, call, parse_expr(p));
    } else if (parser_skip_if(p, T_POW)) {
        if (a->star_star) jinja_fail(p->j, "unexpected second '**' in a call");
        a->star_star = adopt(p, call, parse_expr(p));
    } else if (named) {
        if (a->star_star) jinja_fail(p->j, "unexpected argument behind '**'");
        a->names = jinja_grow_array(p->j, a->names, a->named.n, &a->names_cap, sizeof *a->names);
        a->names[a->named.n] = parser_take(p)->text;
        parser_take(p);
        expr_list_push(p, &a->named, adopt(p, call, parse_expr(p)));
    } else {
        if (a->star || a->star_star || a->named.n)
            jinja_fail(p->j, "a positional argument must stand before named ones");
        expr_list_push(p, &a->pos, adopt(p, call, parse_expr(p)));
    }
}

static void parse_arguments(Parser *p, Expr *call) {
    parser_expect(p, T_LPAREN);
    for (bool comma = false; p->at->kind != T_RPAREN; comma = true) {
        if (comma) parser_expect(p, T_COMMA);
        if (p->at->kind == T_RPAREN) break;
        parse_argument(p, call);
    }
    parser_expect(p, T_RPAREN);
}

static Expr *parse_call(Parser *p, Expr *callee) {
    Expr *e = new_expr(p, E_CALL, p->at->line);
    e->subject = adopt(p, e, callee);
    parse_arguments(p, e);
    return e;
}

static Expr *parse_attribute(Parser *p, Expr *object) {
    int line = parser_take(p)->line;
    if (p->at->kind == T_INTEGER) {
        Expr *e = new_expr(p, E_ITEM, line);
        e->object = adopt(p, e, object);
        e->index = parse_literal(p);
        return e;
    }
    if (p->at->kind != T_NAME) parser_unexpected(p, "a name or a number");
    Expr *e = new_expr(p, E_ATTR, line);
    e->object = adopt(p, e, object);
    e->attr = parser_take(p)->text;
    return e;
}

static bool ends_slice_part(const Parser *p) {
    return p->at->kind == T_COLON || p->at->kind == T_RBRACKET || p->at->kind == T_COMMA;
}

static Expr *parse_slice(Parser *p, Expr *object, Expr *from, int line) {
    Expr *e = new_expr(p, E_SLICE, line);
    e->object = adopt(p, e, object);
    e->part[0] = adopt(p, e, from);
    parser_expect(p, T_COLON);
    if (!ends_slice_part(p)) e->part[1] = adopt(p, e, parse_expr(p));
    if (parser_skip_if(p, T_COLON) && !ends_slice_part(p)) e->part[2] = adopt(p, e, parse_expr(p));
    return e;
}

static Expr *parse_subscript(Parser *p, Expr *object) {
    int line = parser_take(p)->line;
    Expr *index = p->at->kind == T_COLON ? NULL : parse_tuple_expr(p);
    Expr *e;
    if (p->at->kind == T_COLON) {
        e = parse_slice(p, object, index, line);
    } else {
        e = new_expr(p, E_ITEM, line);
        e->object = adopt(p, e, object);
        e->index = adopt(p, e, index);
    }
    parser_expect(p, T_RBRACKET);
    return e;
}

static Expr *parse_postfix(Parser *p, Expr *e) {
    for (;;) {
        if (p->at->kind == T_DOT)
            e = parse_attribute(p, e);
        else if (p->at->kind == T_LBRACKET)
            e = parse_subscript(p, e);
        else if (p->at->kind == T_LPAREN)
            e = parse_call(p, e);
        else
            return e;
    }
}

Expr *parse_postfix_call(Parser *p) {
    Expr *e = parse_unary(p);
    if (e->kind != E_CALL) parser_unexpected(p, "a call");
    return e;
}

// ---- filters and tests

static Expr *parse_one_filter(Parser *p, Expr *subject) {
    const JToken *name = parser_expect(p, T_NAME);
    Expr *e = new_expr(p, E_FILTER, name->line);
    e->subject = adopt(p, e, subject);
    e->called = name->text;
    e->builtin = jinja_find_filter(name->text);
    if (p->at->kind == T_LPAREN) parse_arguments(p, e);
    return e;
}

Expr *parse_filters(Parser *p, Expr *subject) {
    Expr *e = parse_one_filter(p, subject);
    while (parser_skip_if(p, T_PIPE)) e = parse_one_filter(p, e);
    return e;
}

// Without parentheses a test takes one argument: `x is divisibleby 3`.
static bool starts_test_argument(const Parser *p) {
    JTokenKind k = p->at->kind;
    if (k == T_NAME)
        return !parser_at_name(p, "else") && !parser_at_name(p, "or") && !parser_at_name(p, "and");
    return k == T_STRING || k == T_INTEGER || k == T_FLOAT || k == T_LPAREN || k == T_LBRACKET ||
           k == T_LBRACE;
}

static Expr *parse_test(Parser *p, Expr *subject) {
    int line = parser_take(p)->line;
    bool negated = parser_skip_name(p, "not");
    const JToken *name = parser_expect(p, T_NAME);
    Expr *e = new_expr(p, E_TEST, line);
    e->subject = adopt(p, e, subject);
    e->called = name->text;
    e->builtin = jinja_find_test(name->text);
    if (p->at->kind == T_LPAREN) {
        parse_arguments(p, e);
    } else if (starts_test_argument(p)) {
        if (parser_at_name(p, "is")) jinja_fail(p->j, "tests with 'is' cannot be chained");
        expr_list_push(p, &e->args.pos, adopt(p, e, parse_postfix(p, parse_primary(p))));
    }
    return negated ? unary(p, E_NOT, line, e) : e;
}

static Expr *parse_filter_chain(Parser *p, Expr *e) {
    for (;;) {
        if (parser_skip_if(p, T_PIPE))
            e = parse_filters(p, e);
        else if (parser_at_name(p, "is"))
            e = parse_test(p, e);
        else if (p->at->kind == T_LPAREN)
            e = parse_call(p, e);
        else
            return e;
    }
}

// ---- operators, from tightest to loosest

// A sign binds tighter than a filter: -1|abs is abs(-1).
static Expr *parse_signed(Parser *p) {
    jinja_enter(p->j, JINJA_MAX_PARSE_DEPTH);
    int line = p->at->line;
    Expr *e;
    if (parser_skip_if(p, T_SUB))
        e = unary(p, E_NEG, line, parse_signed(p));
    else if (parser_skip_if(p, T_ADD))
        e = unary(p, E_POS, line, parse_signed(p));
    else
        e = parse_primary(p);
    jinja_leave(p->j);
    return parse_postfix(p, e);
}

static Expr *parse_unary(Parser *p) {
    return parse_filter_chain(p, parse_signed(p));
}

static bool take_pow(Parser *p, JTokenKind *op) {
    return take_one_of(p, op, T_POW, T_POW);
}

static Expr *parse_pow(Parser *p) {
    return parse_chain(p, E_MATH, parse_unary, take_pow);
}

static bool take_product(Parser *p, JTokenKind *op) {
    return take_one_of(p, op, T_MUL, T_MOD);
}

static Expr *parse_product(Parser *p) {
    return parse_chain(p, E_MATH, parse_pow, take_product);
}

static bool take_tilde(Parser *p, JTokenKind *op) {
    return take_one_of(p, op, T_TILDE, T_TILDE);
}

static Expr *parse_concat(Parser *p) {
    return parse_chain(p, E_CONCAT, parse_product, take_tilde);
}

static bool take_sum(Parser *p, JTokenKind *op) {
    return take_one_of(p, op, T_ADD, T_SUB);
}

static Expr *parse_sum(Parser *p) {
    return parse_chain(p, E_MATH, parse_concat, take_sum);
}

static bool take_comparison(Parser *p, JTokenKind *op) {
    if (take_one_of(p, op, T_EQ, T_GE)) return true;
    if (parser_skip_name(p, "in")) {
        *op = T_IN;
        return true;
    }
    if (!parser_at_name(p, "not") || !is_word(p->at + 1, "in")) return false;
    parser_take(p);
    parser_take(p);
    *op = T_NOT_IN;
    return true;
}

static Expr *parse_comparison(Parser *p) {
    return parse_chain(p, E_COMPARE, parse_sum, take_comparison);
}

static Expr *parse_not(Parser *p) {
    int line = p->at->line;
    if (!parser_skip_name(p, "not")) return parse_comparison(p);
    jinja_enter(p->j, JINJA_MAX_PARSE_DEPTH);
    Expr *operand = parse_not(p);
    jinja_leave(p->j);
    return unary(p, E_NOT, line, operand);
}

static bool take_and(Parser *p, JTokenKind *op) {
    *op = T_NAME;
    return parser_skip_name(p, "and");
}

static Expr *parse_and(Parser *p) {
    return parse_chain(p, E_AND, parse_not, take_and);
}

static bool take_or(Parser *p, JTokenKind *op) {
    *op = T_NAME;
    return parser_skip_name(p, "or");
}

Expr *parse_expr_no_cond(Parser *p) {
    return parse_chain(p, E_OR, parse_and, take_or);
}

Expr *parse_expr(Parser *p) {
    jinja_enter(p->j, JINJA_MAX_PARSE_DEPTH);
    Expr *e = parse_expr_no_cond(p);
    while (parser_skip_name(p, "if")) {
        Expr *cond = new_expr(p, E_COND, p->at->line);
        cond->yes = adopt(p, cond, e);
        cond->test = adopt(p, cond, parse_expr_no_cond(p));
        if (parser_skip_name(p, "else")) cond->no = adopt(p, cond, parse_expr(p));
        e = cond;
    }
    jinja_leave(p->j);
    return e;
}

// ---- tuples and targets

static bool ends_tuple(const Parser *p) {
    JTokenKind k = p->at->kind;
    return k == T_VAR_END || k == T_BLOCK_END || k == T_RPAREN || k == T_ASSIGN || parser_at_name(p, "in");
}

static Expr *parse_tuple_of(Parser *p, ParseFn *item) {
    int line = p->at->line;
    Expr *first = item(p);
    if (p->at->kind != T_COMMA) return first;
    Expr *e = new_expr(p, E_TUPLE, line);
    push_item(p, e, first);
    while (parser_skip_if(p, T_COMMA)) {
        if (ends_tuple(p)) break;
        push_item(p, e, item(p));
    }
    return e;
}

Expr *parse_tuple_expr(Parser *p) {
    return parse_tuple_of(p, parse_expr);
}

Expr *parse_tuple_no_cond(Parser *p) {
    return parse_tuple_of(p, parse_expr_no_cond);
}

static Expr *one_target(Parser *p, bool namespace_attr);

static Expr *plain_target(Parser *p) {
    return one_target(p, false);
}

static Expr *attr_target(Parser *p) {
    return one_target(p, true);
}

static Expr *one_target(Parser *p, bool namespace_attr) {
    jinja_enter(p->j, JINJA_MAX_PARSE_DEPTH);
    Expr *e;
    if (parser_skip_if(p, T_LPAREN)) {
        e = parse_tuple_of(p, namespace_attr ? attr_target : plain_target);
        parser_expect(p, T_RPAREN);
    } else {
        if (p->at->kind != T_NAME) parser_unexpected(p, "a name to assign to");
        e = parse_name(p);
        if (e->kind != E_NAME) jinja_fail(p->j, "a constant cannot be assigned to");
        if (namespace_attr && p->at->kind == T_DOT) e = parse_attribute(p, e);
        if (e->kind == E_ITEM)
            jinja_fail(p->j, "an item cannot be assigned to, only an attribute of a namespace");
    }
    jinja_leave(p->j);
    return e;
}

Expr *parse_target(Parser *p, bool namespace_attr) {
    return parse_tuple_of(p, namespace_attr ? attr_target : plain_target);
}
