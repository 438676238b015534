// Functions that every template can call.
#include "chat/jinja_builtins.h"
#include "chat/jinja_text.h"

#include <time.h>

static JValue global_raise_exception(Jinja *j, JCall *c) {
    jinja_refuse(j, jarg_text(j, c, 0, ""));
}

// range(to), range(from, to), range(from, to, step)
static JValue global_range(Jinja *j, JCall *c) {
    bool one = !jarg_given(c, 1);
    int64_t from = one ? 0 : jarg_int(j, c, 0, 0);
    int64_t to = jarg_int(j, c, one ? 0 : 1, 0);
    int64_t step = jarg_int(j, c, 2, 1), span;
    if (step == 0) jinja_fail(j, "range: the step must not be zero");
    bool overflow =
        step > 0 ? __builtin_sub_overflow(to, from, &span) : __builtin_sub_overflow(from, to, &span);
    if (overflow || step == INT64_MIN) jinja_fail(j, "range: more than %d items", JINJA_MAX_RANGE);
    int64_t n = span > 0 ? (span - 1) / (step > 0 ? step : -step) + 1 : 0;
    if (n > JINJA_MAX_RANGE) jinja_fail(j, "range: more than %d items", JINJA_MAX_RANGE);
    JList *l = jlist_new(j);
    jinja_step(j, (size_t)n / 16);
    for (int64_t i = 0; i < n; i++) jlist_push(j, l, jv_int(from + i * step));
    return jv_list(J_LIST, l);
}

// namespace(a=1) and dict(a=1), each also of one mapping.
static JDict *mapping_of(Jinja *j, JCall *c) {
    JDict *d = jdict_new(j);
    const JBuiltin *update = jinja_find_method(J_DICT, STR("update"));
    JArgs args = {&c->arg[0], jarg_given(c, 0), c->rest.names, c->rest.named, c->rest.n_named};
    jinja_apply(j, update, jv_dict(d), &args);
    return d;
}

static JValue global_namespace(Jinja *j, JCall *c) {
    return (JValue){.kind = J_NAMESPACE, .dict = mapping_of(j, c)};
}

static JValue global_dict(Jinja *j, JCall *c) {
    return jv_dict(mapping_of(j, c));
}

// The format is the template's; strftime cannot write beyond `size` whatever it says.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static size_t format_now(char *out, size_t size, const char *format) {
    struct tm now;
    time_t t = time(NULL);
    localtime_r(&t, &now);
    return strftime(out, size, format, &now);
}
#pragma GCC diagnostic pop

static JValue global_strftime_now(Jinja *j, JCall *c) {
    char format[128], out[512];
    Str s = jarg_str(j, c, 0);
    if (s.len >= sizeof format || (s.len && memchr(s.ptr, '\0', s.len)))
        jinja_fail(j, "strftime_now: the format is longer than %zu bytes", sizeof format - 1);
    if (s.len) memcpy(format, s.ptr, s.len);
    format[s.len] = '\0';
    JText t = {0};
    jtext_put(j, &t, (Str){out, format_now(out, sizeof out, format)});
    return jv_str(jtext_finish(j, &t));
}

const JBuiltin jinja_globals[] = {
    {"raise_exception", "message", global_raise_exception},
    {"range", "a b? step?", global_range},
    {"namespace", "other? *", global_namespace},
    {"dict", "other? *", global_dict},
    {"strftime_now", "format", global_strftime_now},
    {0},
};
