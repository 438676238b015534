#include "base/file.h"

#include <errno.h>
#include <stdio.h>

bool file_read(const char *path, size_t most, Buf *out, Err *err) {
    char piece[65536];
    size_t total = 0;
    FILE *f = fopen(path, "re");
    if (!f) return err_set(err, ERR_IO, "cannot open %s: %s", path, strerror(errno));
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0 && (most == 0 || total <= most); total += n)
        buf_put(out, (Str){piece, n});
    bool failed = ferror(f);
    int why = errno;
    fclose(f);
    if (failed) return err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(why));
    if (most != 0 && total > most) return err_set(err, ERR_LIMIT, "%s has more than %zu bytes", path, most);
    return !out->failed || err_set(err, ERR_NOMEM, "%s does not fit into memory", path);
}
