// Numbers from text, as Python's int() and float() read them; and sorting.
#ifndef CLLM_CHAT_JINJA_NUMBER_H
#define CLLM_CHAT_JINJA_NUMBER_H

#include "chat/jinja_value.h"

bool jinja_parse_int(Str s, int64_t base, int64_t *out); // false: not an integer, or too large
bool jinja_parse_float(Str s, double *out);

typedef struct JSort {
    JValue path; // what of an item to sort by, as jinja_path takes it; J_MISSING or J_NONE: the item
    bool case_sensitive, reverse;
} JSort;

JValue jinja_sort_key(Jinja *j, JValue item, const JSort *sort);
void jinja_sort(Jinja *j, JList *l, const JSort *sort); // in place, stable

#endif
