// Building JSON out of JSON.
#ifndef CLLM_SERVER_JSON_BUILD_H
#define CLLM_SERVER_JSON_BUILD_H

#include <jansson.h>

// to.name = from.key, unless it is missing there.
static inline void json_copy_field(json_t *to, const char *name, const json_t *from, const char *key) {
    json_t *value = json_object_get(from, key);
    if (value) json_object_set(to, name, value);
}

#endif
