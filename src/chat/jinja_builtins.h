// Functions that templates find ready made: filters, tests, methods of values, global functions.
//
// Each is one line of a table: name, parameters, function. The parameters are words, "?" marks one
// that may be left out, "*" takes all further arguments as they come; arguments are bound by
// position and by name before the function runs, so a function sees arg[i] in the order of its
// table line, J_MISSING where nothing was given.
#ifndef CLLM_CHAT_JINJA_BUILTINS_H
#define CLLM_CHAT_JINJA_BUILTINS_H

#include "chat/jinja_value.h"

enum { JINJA_MAX_PARAMS = 6 };

typedef struct JArgs {
    JValue *pos;
    size_t n_pos;
    Str *names;
    JValue *named;
    size_t n_named;
} JArgs;

typedef struct JCall {
    const JBuiltin *fn;
    JValue self; // what is filtered, tested, or owns the method
    JValue arg[JINJA_MAX_PARAMS];
    JArgs rest; // of "*"
} JCall;

struct JBuiltin {
    const char *name;
    const char *params;
    JValue (*run)(Jinja *j, JCall *c);
};

// NULL: there is none of that name.
const JBuiltin *jinja_find_filter(Str name);
const JBuiltin *jinja_find_test(Str name);
const JBuiltin *jinja_find_global(Str name);
const JBuiltin *jinja_find_method(JKind kind, Str name);

// The tables behind them, each ended by a line without a name.
extern const JBuiltin jinja_text_filters[], jinja_value_filters[], jinja_list_filters[], jinja_tests[],
    jinja_globals[], jinja_str_methods[], jinja_list_methods[], jinja_tuple_methods[], jinja_dict_methods[],
    jinja_loop_methods[];

// jinja_call.c
JValue jinja_apply(Jinja *j, const JBuiltin *fn, JValue self, const JArgs *args); // binds, then runs
JValue jinja_call(Jinja *j, JValue callee, const JArgs *args);

// Arguments as functions want them; each fails with the name of the function if it is another kind.
static inline bool jarg_given(const JCall *c, int i) {
    return c->arg[i].kind != J_MISSING;
}
Str jarg_str(Jinja *j, const JCall *c, int i);
Str jarg_text(Jinja *j, const JCall *c, int i, const char *otherwise); // any value as text
int64_t jarg_int(Jinja *j, const JCall *c, int i, int64_t otherwise);
bool jarg_bool(const JCall *c, int i, bool otherwise);

#endif
