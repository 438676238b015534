#include "chat/jinja_parse.h"

#include "chat/jinja_text.h"

static Block parse_block(Parser *p, const char *const *ends);
static Stmt *parse_statement(Parser *p);

static Stmt *new_stmt(Parser *p, StmtKind kind, int line) {
    Stmt *s = jinja_alloc(p->j, sizeof *s);
    s->kind = kind;
    s->line = line;
    return s;
}

static void end_block_tag(Parser *p) {
    parser_expect(p, T_BLOCK_END);
}

// A body up to one of the ending words (the list ends with NULL); stops on that word.
static bool at_end_word(const Parser *p, const char *const *ends) {
    for (; *ends; ends++)
        if (parser_at_name(p, *ends)) return true;
    return false;
}

static Block body_until(Parser *p, const char *end) {
    const char *const ends[] = {end, NULL};
    Block b = parse_block(p, ends);
    parser_take(p);
    return b;
}

// ---- if, for

static void parse_branch(Parser *p, Stmt *s) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    size_t n = s->branch.tests.n;
    expr_list_push(p, &s->branch.tests, parse_tuple_no_cond(p));
    end_block_tag(p);
    s->branch.bodies = jinja_grow_array(p->j, s->branch.bodies, n, &s->branch.bodies_cap, sizeof(Block));
    s->branch.bodies[n] = (Block){0};
    s->branch.bodies[n] = parse_block(p, ends);
}

static Stmt *parse_if(Parser *p, int line) {
    Stmt *s = new_stmt(p, S_IF, line);
    do parse_branch(p, s);
    while (parser_skip_name(p, "elif"));
    if (parser_skip_name(p, "else")) {
        end_block_tag(p);
        s->branch.otherwise = body_until(p, "endif");
    } else {
        parser_take(p);
    }
    return s;
}

static Stmt *parse_for(Parser *p, int line) {
    static const char *const ends[] = {"else", "endfor", NULL};
    Stmt *s = new_stmt(p, S_FOR, line);
    s->loop.target = parse_target(p, false);
    if (!parser_skip_name(p, "in")) parser_unexpected(p, "'in'");
    s->loop.items = parse_tuple_no_cond(p);
    if (parser_skip_name(p, "if")) s->loop.filter = parse_expr(p);
    s->loop.recursive = parser_skip_name(p, "recursive");
    end_block_tag(p);
    p->n_loops++;
    s->loop.body = parse_block(p, ends);
    p->n_loops--;
    if (parser_skip_name(p, "else")) {
        end_block_tag(p);
        s->loop.otherwise = body_until(p, "endfor");
    } else {
        parser_take(p);
    }
    return s;
}

static Stmt *parse_jump(Parser *p, StmtKind kind, int line) {
    if (!p->n_loops) jinja_fail(p->j, "break and continue must stand inside a for loop");
    return new_stmt(p, kind, line);
}

static Stmt *parse_break(Parser *p, int line) {
    return parse_jump(p, S_BREAK, line);
}

static Stmt *parse_continue(Parser *p, int line) {
    return parse_jump(p, S_CONTINUE, line);
}

// ---- set, with

static Stmt *parse_set(Parser *p, int line) {
    Stmt *s = new_stmt(p, S_SET, line);
    Expr *target = parse_target(p, true);
    expr_list_push(p, &s->set.targets, target);
    if (parser_skip_if(p, T_ASSIGN)) {
        expr_list_push(p, &s->set.values, parse_tuple_expr(p));
        return s;
    }
    s->kind = S_SET_BLOCK;
    if (target->kind == E_TUPLE) jinja_fail(p->j, "a set block assigns to one name, not to several");
    if (parser_skip_if(p, T_PIPE)) s->set.filter = parse_filters(p, NULL);
    end_block_tag(p);
    s->set.body = body_until(p, "endset");
    return s;
}

static Stmt *parse_with(Parser *p, int line) {
    Stmt *s = new_stmt(p, S_WITH, line);
    while (p->at->kind != T_BLOCK_END) {
        if (s->set.targets.n) parser_expect(p, T_COMMA);
        expr_list_push(p, &s->set.targets, parse_target(p, false));
        parser_expect(p, T_ASSIGN);
        expr_list_push(p, &s->set.values, parse_expr(p));
    }
    end_block_tag(p);
    s->set.body = body_until(p, "endwith");
    return s;
}

static Stmt *parse_generation(Parser *p, int line) {
    Stmt *s = new_stmt(p, S_SCOPED, line);
    end_block_tag(p);
    s->set.body = body_until(p, "endgeneration");
    return s;
}

// ---- macro, call, filter

static void push_param(Parser *p, MacroDef *m, Str name, Expr *value) {
    m->params = jinja_grow_array(p->j, m->params, m->n_params, &m->params_cap, sizeof *m->params);
    m->defaults = jinja_grow_array(p->j, m->defaults, m->n_params, &m->defaults_cap, sizeof *m->defaults);
    m->params[m->n_params] = name;
    m->defaults[m->n_params++] = value;
}

static void parse_params(Parser *p, MacroDef *m) {
    parser_expect(p, T_LPAREN);
    while (p->at->kind != T_RPAREN) {
        if (m->n_params) parser_expect(p, T_COMMA);
        Str name = parser_expect(p, T_NAME)->text;
        Expr *value = parser_skip_if(p, T_ASSIGN) ? parse_expr(p) : NULL;
        if (!value && m->n_params && m->defaults[m->n_params - 1])
            jinja_fail(p->j, "a parameter without a default must stand before those with one");
        push_param(p, m, name, value);
    }
    parser_expect(p, T_RPAREN);
}

// What the body uses (caller, varargs, kwargs) is what the macro accepts beyond its parameters.
static void parse_macro_body(Parser *p, MacroDef *m, const char *end) {
    MacroDef *outer = p->macro;
    int n_loops = p->n_loops;
    p->macro = m;
    p->n_loops = 0;
    end_block_tag(p);
    m->body = body_until(p, end);
    p->macro = outer;
    p->n_loops = n_loops;
}

static Stmt *parse_macro(Parser *p, int line) {
    Stmt *s = new_stmt(p, S_MACRO, line);
    s->macro.def.name = parser_expect(p, T_NAME)->text;
    parse_params(p, &s->macro.def);
    parse_macro_body(p, &s->macro.def, "endmacro");
    return s;
}

static Stmt *parse_call_block(Parser *p, int line) {
    Stmt *s = new_stmt(p, S_CALL, line);
    s->macro.def.name = STR("caller");
    if (p->at->kind == T_LPAREN) parse_params(p, &s->macro.def);
    s->macro.call = parse_postfix_call(p);
    parse_macro_body(p, &s->macro.def, "endcall");
    return s;
}

static Stmt *parse_filter_block(Parser *p, int line) {
    Stmt *s = new_stmt(p, S_FILTER, line);
    s->filtered.filter = parse_filters(p, NULL);
    end_block_tag(p);
    s->filtered.body = body_until(p, "endfilter");
    return s;
}

// ---- dispatch

static Stmt *refuse_other_files(Parser *p, int line) {
    (void)line;
    jinja_fail(p->j, "a chat template cannot use other templates (extends, block, include, import)");
}

static const struct {
    const char *word;
    Stmt *(*parse)(Parser *p, int line);
} statements[] = {
    {"if", parse_if},
    {"for", parse_for},
    {"set", parse_set},
    {"macro", parse_macro},
    {"generation", parse_generation},
    {"break", parse_break},
    {"continue", parse_continue},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"with", parse_with},
    {"extends", refuse_other_files},
    {"block", refuse_other_files},
    {"include", refuse_other_files},
    {"import", refuse_other_files},
    {"from", refuse_other_files},
};

static Stmt *parse_statement(Parser *p) {
    if (p->at->kind != T_NAME) parser_unexpected(p, "the name of a statement");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        int line = p->at->line;
        if (!parser_skip_name(p, statements[i].word)) continue;
        return statements[i].parse(p, line);
    }
    parser_unexpected(p,
                      "a statement (if, for, set, macro, call, filter, with, generation, break, continue)");
}

static Stmt *parse_text(Parser *p) {
    const JToken *t = parser_take(p);
    Stmt *s = new_stmt(p, S_TEXT, t->line);
    s->text = t->text;
    return s;
}

static Stmt *parse_output(Parser *p) {
    Stmt *s = new_stmt(p, S_OUTPUT, parser_take(p)->line);
    s->output = parse_tuple_expr(p);
    parser_expect(p, T_VAR_END);
    return s;
}

static void block_push(Parser *p, Block *b, Stmt *s) {
    b->at = jinja_grow_array(p->j, b->at, b->n, &b->cap, sizeof *b->at);
    b->at[b->n++] = s;
}

static _Noreturn void fail_open_block(Parser *p, const char *const *ends, int line) {
    const char *last = ends[0];
    for (; *ends; ends++) last = *ends;
    p->j->line = line;
    jinja_fail(p->j, "a block has no end: expected {%% %s %%}", last);
}

static Block parse_block(Parser *p, const char *const *ends) {
    Block b = {0};
    int line = ends ? p->at[-1].line : 1; // of the tag that opened it
    jinja_enter(p->j, JINJA_MAX_PARSE_DEPTH);
    for (;;) {
        if (p->at->kind == T_END) {
            if (ends) fail_open_block(p, ends, line);
            break;
        }
        if (p->at->kind == T_DATA)
            block_push(p, &b, parse_text(p));
        else if (p->at->kind == T_VAR_BEGIN)
            block_push(p, &b, parse_output(p));
        else {
            parser_expect(p, T_BLOCK_BEGIN);
            if (ends && at_end_word(p, ends)) break;
            block_push(p, &b, parse_statement(p));
            end_block_tag(p);
        }
    }
    jinja_leave(p->j);
    return b;
}

Block jinja_parse(Jinja *j, Str source) {
    if (source.len > JINJA_MAX_SOURCE)
        jinja_fail(j, "the template is larger than %d bytes", JINJA_MAX_SOURCE);
    if (!jstr_valid_utf8(source)) jinja_fail(j, "the template is not valid UTF-8");
    Parser p = {.j = j, .at = jinja_lex(j, source)};
    return parse_block(&p, NULL);
}
