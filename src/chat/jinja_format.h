// Python's two ways to format: "%s of %d" % values and "{} of {name:>5}".format(…).
#ifndef CLLM_CHAT_JINJA_FORMAT_H
#define CLLM_CHAT_JINJA_FORMAT_H

#include "chat/jinja_builtins.h"

Str jinja_format_percent(Jinja *j, Str format, JValue values); // a tuple, a dict, or one value
Str jinja_format_braces(Jinja *j, Str format, const JArgs *args);

#endif
