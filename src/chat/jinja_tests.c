// Tests: what may stand behind `is`.
#include "chat/jinja_builtins.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

static JValue test_defined(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind != J_UNDEFINED);
}

static JValue test_undefined(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_UNDEFINED);
}

static JValue test_none(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_NONE);
}

static JValue test_boolean(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_BOOL);
}

static JValue test_true(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_BOOL && c->self.b);
}

static JValue test_false(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_BOOL && !c->self.b);
}

static JValue test_integer(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_INT);
}

static JValue test_float(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_FLOAT);
}

static JValue test_number(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(jv_is_number(c->self));
}

static JValue test_string(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_STR);
}

static JValue test_mapping(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_DICT);
}

static JValue test_iterable(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(jv_is_iterable(c->self));
}

static JValue test_sequence(Jinja *j, JCall *c) {
    (void)j;
    JKind k = c->self.kind;
    return jv_bool(jv_is_sequence(c->self) || k == J_STR || k == J_DICT || k == J_UNDEFINED);
}

static JValue test_callable(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(jv_is_callable(c->self));
}

static JValue test_sameas(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(jv_same(c->self, c->arg[0]));
}

// ---- comparisons by name

static JValue test_eq(Jinja *j, JCall *c) {
    return jv_bool(jinja_compare(j, T_EQ, c->self, c->arg[0]));
}

static JValue test_ne(Jinja *j, JCall *c) {
    return jv_bool(jinja_compare(j, T_NE, c->self, c->arg[0]));
}

static JValue test_lt(Jinja *j, JCall *c) {
    return jv_bool(jinja_compare(j, T_LT, c->self, c->arg[0]));
}

static JValue test_le(Jinja *j, JCall *c) {
    return jv_bool(jinja_compare(j, T_LE, c->self, c->arg[0]));
}

static JValue test_gt(Jinja *j, JCall *c) {
    return jv_bool(jinja_compare(j, T_GT, c->self, c->arg[0]));
}

static JValue test_ge(Jinja *j, JCall *c) {
    return jv_bool(jinja_compare(j, T_GE, c->self, c->arg[0]));
}

static JValue test_in(Jinja *j, JCall *c) {
    return jv_bool(jinja_contains(j, c->arg[0], c->self));
}

// ---- numbers and texts

static bool divides(Jinja *j, JValue v, JValue by, int64_t rest) {
    return jv_equal(j, jinja_math(j, T_MOD, v, by), jv_int(rest));
}

static JValue test_even(Jinja *j, JCall *c) {
    return jv_bool(divides(j, c->self, jv_int(2), 0));
}

static JValue test_odd(Jinja *j, JCall *c) {
    return jv_bool(divides(j, c->self, jv_int(2), 1));
}

static JValue test_divisibleby(Jinja *j, JCall *c) {
    return jv_bool(divides(j, c->self, c->arg[0], 0));
}

static JValue test_case(Jinja *j, JCall *c, const char *method) {
    const JBuiltin *fn = jinja_find_method(J_STR, str_from(method));
    return jinja_apply(j, fn, jv_str(jv_to_str(j, c->self)), &(JArgs){0});
}

static JValue test_lower(Jinja *j, JCall *c) {
    return test_case(j, c, "islower");
}

static JValue test_upper(Jinja *j, JCall *c) {
    return test_case(j, c, "isupper");
}

// ---- names

static JValue test_filter(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_STR && jinja_find_filter(c->self.s));
}

static JValue test_test(Jinja *j, JCall *c) {
    (void)j;
    return jv_bool(c->self.kind == J_STR && jinja_find_test(c->self.s));
}

const JBuiltin jinja_tests[] = {
    {"defined", "", test_defined},
    {"undefined", "", test_undefined},
    {"none", "", test_none},
    {"boolean", "", test_boolean},
    {"true", "", test_true},
    {"false", "", test_false},
    {"integer", "", test_integer},
    {"float", "", test_float},
    {"number", "", test_number},
    {"string", "", test_string},
    {"mapping", "", test_mapping},
    {"iterable", "", test_iterable},
    {"sequence", "", test_sequence},
    {"callable", "", test_callable},
    {"sameas", "other", test_sameas},
    {"eq", "b", test_eq},
    {"equalto", "b", test_eq},
    {"==", "b", test_eq},
    {"ne", "b", test_ne},
    {"!=", "b", test_ne},
    {"lt", "b", test_lt},
    {"lessthan", "b", test_lt},
    {"<", "b", test_lt},
    {"le", "b", test_le},
    {"<=", "b", test_le},
    {"gt", "b", test_gt},
    {"greaterthan", "b", test_gt},
    {">", "b", test_gt},
    {"ge", "b", test_ge},
    {">=", "b", test_ge},
    {"in", "seq", test_in},
    {"even", "", test_even},
    {"odd", "", test_odd},
    {"divisibleby", "num", test_divisibleby},
    {"lower", "", test_lower},
    {"upper", "", test_upper},
    {"filter", "", test_filter},
    {"test", "", test_test},
    {0},
};
