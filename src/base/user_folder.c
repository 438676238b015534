#include "base/user_folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A relative path in these variables is to be ignored, says the specification.
static const char *absolute(const char *variable) {
    const char *value = getenv(variable);
    return value && value[0] == '/' ? value : NULL;
}

static int base_folder(UserFolder which, char *out, size_t size) {
    static const char *const variables[] = {"XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"};
    static const char *const below_home[] = {".cache", ".local/state"};
    const char *given = absolute(variables[which]);
    if (given) return snprintf(out, size, "%s/cllm", given);
    if (which == USER_RUNTIME) return snprintf(out, size, "/tmp/cllm-%u", (unsigned)getuid());
    const char *home = absolute("HOME");
    return home ? snprintf(out, size, "%s/%s/cllm", home, below_home[which]) : -1;
}

bool user_folder(UserFolder which, const char *inner, char *out, size_t size, Err *err) {
    int n = base_folder(which, out, size);
    if (n < 0) return err_set(err, ERR_NOT_FOUND, "there is no home folder: HOME is not set");
    if ((size_t)n < size && inner[0]) n += snprintf(out + n, size - (size_t)n, "/%s", inner);
    return (size_t)n < size || err_set(err, ERR_LIMIT, "the path of the user's folder is too long");
}

bool folder_create(const char *path, Err *err) {
    char part[1024];
    size_t n = strlen(path);
    if (n >= sizeof part) return err_set(err, ERR_LIMIT, "the path %.80s… is too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i]) continue;
        snprintf(part, sizeof part, "%.*s", (int)i, path);
        int failed = mkdir(part, 0700) != 0 ? errno : 0; // of one that is there it may be more than EEXIST
        if (failed && access(part, F_OK) != 0)
            return err_set(err, ERR_IO, "cannot make the folder %s: %s", part, strerror(failed));
    }
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return true;
    return err_set(err, ERR_IO, "%s is no folder", path);
}
