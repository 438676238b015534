// What operators, attributes, items and slices do to values.
#ifndef CLLM_CHAT_JINJA_OPS_H
#define CLLM_CHAT_JINJA_OPS_H

#include "chat/jinja_lex.h"
#include "chat/jinja_value.h"

JValue jinja_math(Jinja *j, JTokenKind op, JValue a, JValue b);
JValue jinja_negate(Jinja *j, JValue v);
bool jinja_compare(Jinja *j, JTokenKind op, JValue a, JValue b); // T_EQ … T_GE, T_IN, T_NOT_IN
bool jinja_contains(Jinja *j, JValue container, JValue v);

JValue jinja_attr(Jinja *j, JValue v, Str name);    // v.name: methods first, then items
JValue jinja_item(Jinja *j, JValue v, JValue key);  // v[key]: items first, then methods
JValue jinja_path(Jinja *j, JValue v, JValue path); // "a.b.0" or an integer, as attribute= has it

// v[from:to:step]; parts may be J_NONE.
JValue jinja_slice(Jinja *j, JValue v, JValue from, JValue to, JValue step);

#endif
