// The configuration file: YAML, two levels, the sections and keys of options.def.
//
//     server:
//       port: 8080
//     kv_cache:
//       memory_mb: 2048
//
// Anything else in it is an error that names the file and the line: an unknown section or key (with
// the nearest known one), a key given twice, a wrong type, a value out of bounds, a list or an alias.
#ifndef CLLM_CLI_CONFIG_H
#define CLLM_CLI_CONFIG_H

#include "cli/options.h"

// Reads `path` into *o; values from the environment and from flags stay. Keys that `command` does
// not read are errors too.
bool config_read(Options *o, OptionCommand command, const char *path, Err *err);

#endif
