// JSON from a file that the user names, or from standard input.
#ifndef CLLM_CLI_JSON_FILE_H
#define CLLM_CLI_JSON_FILE_H

#include "base/err.h"

#include <jansson.h>

// flags: jansson's, for decoding. path NULL: standard input. The caller owns what it returns; NULL: *err
// names the file and, where there is one, the line.
json_t *json_file_read(const char *path, size_t flags, Err *err);

#endif
