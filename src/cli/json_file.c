#include "cli/json_file.h"

json_t *json_file_read(const char *path, size_t flags, Err *err) {
    json_error_t why;
    json_t *value = path ? json_load_file(path, flags, &why) : json_loadf(stdin, flags, &why);
    if (value) return value;
    if (why.line > 0)
        err_set(err, ERR_INVALID, "%s, line %d: %s", path ? path : "standard input", why.line, why.text);
    else
        err_set(err, ERR_IO, "%s", why.text); // names the file
    return NULL;
}
