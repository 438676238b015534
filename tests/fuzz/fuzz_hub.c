// Fuzz target: a reference to a model (the first line) and a hub's reply to it (the rest). What comes out of
// the two can be put into an address and into a file's name.
#include "library/file_digest.h"
#include "library/hub.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool is_plain(const char *s) {
    for (; *s; s++)
        if (*s <= ' ' || *s > '~') return false;
    return true;
}

static void check_file(const HubFile *file) {
    static const char endpoint[] = "http://hub/";
    CHECK(strncmp(file->url, endpoint, sizeof endpoint - 1) == 0 && is_plain(file->url));
    CHECK(!file->sha256[0] || digest_valid(file->sha256));
    CHECK(file->size >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    Str all = {(const char *)bytes, n};
    char text[4096], name[MODEL_NAME_MAX + 1];
    ModelRef ref;
    HubFile file;
    Err err = {0};
    const char *end = n ? memchr(all.ptr, '\n', n) : NULL;
    size_t length = end ? (size_t)(end - all.ptr) : n;
    snprintf(text, sizeof text, "%.*s", (int)(length < sizeof text ? length : sizeof text - 1), all.ptr);
    model_name_of_path(text, name);
    CHECK(!name[0] || model_name_valid(name));
    if (!model_ref_parse(text, &ref, &err)) {
        CHECK(err.code != ERR_NONE);
        return 0;
    }
    CHECK(!ref.name[0] || model_name_valid(ref.name));
    if (hub_choose(str_skip(all, length + 1), "http://hub", &ref, &file, &err))
        check_file(&file);
    else
        CHECK(err.code != ERR_NONE);
    return 0;
}
