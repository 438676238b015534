#include "cli/config.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

enum { MAX_WORD = 64, MAX_VALUE = 4096 };

typedef struct Reader {
    yaml_parser_t parser;
    yaml_event_t event; // the current one, owned
    bool has_event;
    const char *path;
    Options *o;
    OptionCommand command;
    size_t lines[N_OPTIONS]; // where each option was set; 0: not yet
} Reader;

static size_t line_of(const Reader *r) {
    return r->event.start_mark.line + 1;
}

static bool fail(const Reader *r, size_t line, Err *err) {
    return err_prefix(err, "%s:%zu", r->path, line);
}

static void drop_event(Reader *r) {
    if (r->has_event) yaml_event_delete(&r->event);
    r->has_event = false;
}

static bool next_event(Reader *r, Err *err) {
    drop_event(r);
    if (yaml_parser_parse(&r->parser, &r->event)) return r->has_event = true;
    const char *problem = r->parser.problem ? r->parser.problem : "not readable as YAML";
    err_set(err, ERR_INVALID,
            "column %zu: %s (YAML wants spaces, no tabs, and quotes around special characters)",
            r->parser.problem_mark.column + 1, problem);
    return fail(r, r->parser.problem_mark.line + 1, err);
}

static bool unexpected(const Reader *r, const char *wanted, Err *err) {
    err_set(err, ERR_INVALID, "expected %s here", wanted);
    return fail(r, line_of(r), err);
}

static bool expect(Reader *r, yaml_event_type_t type, const char *wanted, Err *err) {
    return next_event(r, err) && (r->event.type == type || unexpected(r, wanted, err));
}

// Copies the current scalar; `size` bytes at most, no NUL inside.
static bool copy_scalar(const Reader *r, char *out, size_t size, const char *wanted, Err *err) {
    if (r->event.type != YAML_SCALAR_EVENT) return unexpected(r, wanted, err);
    size_t n = r->event.data.scalar.length;
    const char *text = (const char *)r->event.data.scalar.value;
    if (n >= size || memchr(text, 0, n)) return unexpected(r, wanted, err);
    memcpy(out, text, n);
    out[n] = 0;
    return true;
}

static bool is_plain(const Reader *r) {
    return r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool has_no_value(const char *value, bool plain) {
    return plain && (!value[0] || strcmp(value, "~") == 0 || strcmp(value, "null") == 0);
}

// The current event is the value. *index: of the option.
static bool set_value(Reader *r, const char *section, const char *key, size_t line, int *index, Err *err) {
    char value[MAX_VALUE];
    if (r->event.type != YAML_SCALAR_EVENT) {
        err_set(err, ERR_INVALID, "%s.%s wants a single value", section, key);
        return fail(r, line, err);
    }
    if (!copy_scalar(r, value, sizeof value, "a shorter value", err)) return false;
    bool plain = is_plain(r);
    bool ok =
        has_no_value(value, plain)
            ? err_set(err, ERR_INVALID, "%s.%s has no value; give one or take the line out", section, key)
            : options_set_key(r->o, r->command, section, key, value, plain, index, err);
    return ok || fail(r, line, err);
}

static bool set_list(Reader *r, const char *section, const char *key, size_t line, int *index, Err *err) {
    size_t n = 0;
    for (;; n++) {
        if (!next_event(r, err)) return false;
        if (r->event.type == YAML_SEQUENCE_END_EVENT) break;
        if (!set_value(r, section, key, line, index, err)) return false;
    }
    if (n > 0) return true;
    err_set(err, ERR_INVALID, "%s.%s has no value; give one or take the line out", section, key);
    return fail(r, line, err);
}

static bool read_value(Reader *r, const char *section, const char *key, size_t line, Err *err) {
    int index = 0;
    if (!next_event(r, err)) return false;
    bool is_list = r->event.type == YAML_SEQUENCE_START_EVENT && options_key_is_list(section, key);
    if (!(is_list ? set_list : set_value)(r, section, key, line, &index, err)) return false;
    if (r->lines[index]) {
        err_set(err, ERR_INVALID, "%s.%s is given twice, first in line %zu", section, key, r->lines[index]);
        return fail(r, line, err);
    }
    r->lines[index] = line;
    return true;
}

static bool read_section(Reader *r, const char *section, Err *err) {
    char key[MAX_WORD];
    for (;;) {
        if (!next_event(r, err)) return false;
        if (r->event.type == YAML_MAPPING_END_EVENT) return true;
        if (!copy_scalar(r, key, sizeof key, "a key", err)) return false;
        if (!read_value(r, section, key, line_of(r), err)) return false;
    }
}

static bool unknown_section(const char *section, Err *err) {
    const char *near = options_nearest_section(section);
    if (near) return err_set(err, ERR_INVALID, "unknown key %s; did you mean the section %s?", section, near);
    return err_set(err, ERR_INVALID, "unknown key %s; `cllm serve --help` lists the sections", section);
}

static bool read_sections(Reader *r, Err *err) {
    char section[MAX_WORD];
    for (;;) {
        if (!next_event(r, err)) return false;
        if (r->event.type == YAML_MAPPING_END_EVENT) return true;
        if (!copy_scalar(r, section, sizeof section, "the name of a section", err)) return false;
        if (!options_has_section(section)) {
            unknown_section(section, err);
            return fail(r, line_of(r), err);
        }
        if (!expect(r, YAML_MAPPING_START_EVENT, "the section's keys, indented", err)) return false;
        if (!read_section(r, section, err)) return false;
    }
}

static bool read_stream(Reader *r, Err *err) {
    if (!expect(r, YAML_STREAM_START_EVENT, "a YAML document", err) || !next_event(r, err)) return false;
    if (r->event.type == YAML_STREAM_END_EVENT) return true; // nothing but comments
    if (!next_event(r, err)) return false;
    if (r->event.type != YAML_MAPPING_START_EVENT) return unexpected(r, "a section such as `server:`", err);
    return read_sections(r, err) && expect(r, YAML_DOCUMENT_END_EVENT, "the end of the document", err) &&
           expect(r, YAML_STREAM_END_EVENT, "the end of the file (one document only)", err);
}

bool config_read(Options *o, OptionCommand command, const char *path, Err *err) {
    Reader r = {.path = path, .o = o, .command = command};
    FILE *file = fopen(path, "rb");
    if (!file)
        return err_set(err, ERR_NOT_FOUND, "cannot open the configuration file %s: %s", path,
                       strerror(errno));
    bool ok = false;
    if (!yaml_parser_initialize(&r.parser)) {
        err_set(err, ERR_NOMEM, "out of memory");
        goto close_file;
    }
    yaml_parser_set_input_file(&r.parser, file);
    ok = read_stream(&r, err);
    drop_event(&r);
    yaml_parser_delete(&r.parser);
close_file:
    fclose(file);
    return ok;
}
