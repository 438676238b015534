// The values a template works with, and what Python's data model says about them.
//
// A JValue is small and passed by value; lists and dicts are references, so that an alias sees
// what was changed through the other name. All memory is the arena's.
#ifndef CLLM_CHAT_JINJA_VALUE_H
#define CLLM_CHAT_JINJA_VALUE_H

#include "chat/jinja_core.h"

#include <jansson.h>

typedef enum JKind {
    J_MISSING, // an argument that was not given; no template ever sees it
    J_UNDEFINED,
    J_NONE,
    J_BOOL,
    J_INT,
    J_FLOAT,
    J_STR,
    J_LIST,
    J_TUPLE,
    J_ITER, // what select, map, reverse give: can be walked once, always true, no length
    J_DICT,
    J_NAMESPACE,
    J_LOOP,
    J_MACRO,
    J_FUNCTION,
    J_METHOD, // a function of a value, with the value
    J_N_KINDS
} JKind;

typedef struct JValue JValue;
typedef struct JList JList;
typedef struct JDict JDict;
typedef struct JLoop JLoop;
typedef struct JMacro JMacro;
typedef struct JMethod JMethod;
typedef struct JBuiltin JBuiltin;

struct JValue {
    JKind kind;
    JKind owner; // J_UNDEFINED: kind of what lacks the attribute, J_MISSING for a plain name
    union {
        bool b;
        int64_t i;
        double f;
        Str s;       // J_STR; J_UNDEFINED: the name that was looked for
        JList *list; // J_LIST, J_TUPLE, J_ITER
        JDict *dict; // J_DICT, J_NAMESPACE
        JLoop *loop;
        JMacro *macro;
        JMethod *method;
        const JBuiltin *function;
    };
};

struct JList {
    JValue *at;
    size_t n, cap;
};

// Insertion-ordered; from a few entries on, `index` is a hash table of positions + 1.
typedef struct JEntry {
    JValue key, value;
    uint64_t hash;
} JEntry;

struct JDict {
    JEntry *at;
    size_t n, cap;
    uint32_t *index;
    size_t index_cap; // a power of two, 0 while there is none
};

// The `loop` variable of a for statement.
struct JLoop {
    JList *items;
    size_t index0;
    int depth0;
    JValue last_changed; // the tuple that loop.changed saw last
};

struct JMethod {
    const JBuiltin *function;
    JValue self;
};

static inline JValue jv_none(void) {
    return (JValue){.kind = J_NONE};
}
static inline JValue jv_bool(bool b) {
    return (JValue){.kind = J_BOOL, .b = b};
}
static inline JValue jv_int(int64_t i) {
    return (JValue){.kind = J_INT, .i = i};
}
static inline JValue jv_float(double f) {
    return (JValue){.kind = J_FLOAT, .f = f};
}
static inline JValue jv_str(Str s) {
    return (JValue){.kind = J_STR, .s = s};
}
static inline JValue jv_list(JKind kind, JList *list) {
    return (JValue){.kind = kind, .list = list};
}
static inline JValue jv_dict(JDict *dict) {
    return (JValue){.kind = J_DICT, .dict = dict};
}
static inline JValue jv_undefined(JKind owner, Str name) {
    return (JValue){.kind = J_UNDEFINED, .owner = owner, .s = name};
}

static inline bool jv_is_number(JValue v) { // bool is one, as in Python
    return v.kind == J_BOOL || v.kind == J_INT || v.kind == J_FLOAT;
}
static inline bool jv_is_integral(JValue v) {
    return v.kind == J_BOOL || v.kind == J_INT;
}
static inline bool jv_is_sequence(JValue v) {
    return v.kind == J_LIST || v.kind == J_TUPLE;
}

const char *jv_type_name(JValue v); // as Python calls it
int64_t jv_as_int(JValue v);        // of an integral value
double jv_as_float(JValue v);       // of a number

JList *jlist_new(Jinja *j);
void jlist_push(Jinja *j, JList *l, JValue v);
JList *jlist_copy(Jinja *j, const JList *l, size_t from, size_t to);
JValue jv_pair(Jinja *j, JValue a, JValue b); // a tuple of two

JDict *jdict_new(Jinja *j);
JValue *jdict_find(Jinja *j, JDict *d, JValue key); // NULL: none; fails on a key that cannot be one
JValue *jdict_find_str(Jinja *j, JDict *d, Str key);
void jdict_put(Jinja *j, JDict *d, JValue key, JValue value);
bool jdict_remove(Jinja *j, JDict *d, JValue key);
void jdict_clear(JDict *d);
bool jv_is_hashable(JValue v);

bool jv_truth(JValue v);
bool jv_equal(Jinja *j, JValue a, JValue b);
int jv_compare(Jinja *j, JValue a, JValue b, const char *op); // fails if they have no order
bool jv_same(JValue a, JValue b);                             // Python's `is`
bool jv_is_callable(JValue v);

// The items that a for statement would see. Fails on what cannot be walked; empties a J_ITER.
JList *jv_items(Jinja *j, JValue v);
bool jv_is_iterable(JValue v);

_Noreturn void jv_fail_undefined(Jinja *j, JValue v); // 'x' is undefined
void jv_need_defined(Jinja *j, JValue v);

// jinja_print.c: str(), repr() and json.dumps()
void jv_print(Jinja *j, JText *t, JValue v); // str(v)
void jv_repr(Jinja *j, JText *t, JValue v);
Str jv_to_str(Jinja *j, JValue v);

typedef struct JsonStyle {
    bool ensure_ascii, sort_keys;
    const char *indent; // NULL: one line
    size_t indent_len;
    Str item_separator, key_separator;
} JsonStyle;
void jv_print_json(Jinja *j, JText *t, JValue v, const JsonStyle *style);

JValue jv_from_json(Jinja *j, json_t *json); // strings are views into the JSON

#endif
