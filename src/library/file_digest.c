#include "library/file_digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20 };

bool digest_valid(const char *hex) {
    return strspn(hex, "0123456789abcdefABCDEF") == DIGEST_HEX && !hex[DIGEST_HEX];
}

static bool hash_file(EVP_MD_CTX *hash, int fd, const char *path, unsigned char *piece,
                      DigestProgress progress, void *user, Err *err) {
    int64_t done = 0;
    for (;;) {
        ssize_t n = pread(fd, piece, PIECE_BYTES, (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0) return true;
        if (!EVP_DigestUpdate(hash, piece, (size_t)n)) return err_set(err, ERR_NOMEM, "SHA-256 failed");
        done += n;
        if (!progress(user, done)) return err_set(err, ERR_IO, "interrupted while checking %s", path);
    }
}

bool file_digest(int fd, const char *path, DigestProgress progress, void *user, char hex[DIGEST_HEX + 1],
                 Err *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char *piece = malloc(PIECE_BYTES);
    bool ready = hash && piece && EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    bool ok = ready ? hash_file(hash, fd, path, piece, progress, user, err)
                    : err_set(err, ERR_NOMEM, "out of memory for checking %s", path);
    if (ok && !EVP_DigestFinal_ex(hash, digest, &n)) ok = err_set(err, ERR_NOMEM, "SHA-256 failed");
    for (unsigned i = 0; ok && i < n && 2 * i < DIGEST_HEX; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    free(piece);
    EVP_MD_CTX_free(hash);
    return ok;
}
