// The SHA-256 of a file (FIPS 180-4), by OpenSSL's libcrypto: what model hubs name a file's content by.
#ifndef CLLM_LIBRARY_FILE_DIGEST_H
#define CLLM_LIBRARY_FILE_DIGEST_H

#include "base/err.h"

#include <stdint.h>

enum { DIGEST_HEX = 64 };

// Called every so often with the bytes read; false stops.
typedef bool (*DigestProgress)(void *user, int64_t done);

// All of the file, whatever the descriptor's offset is. path: for messages. hex gets lower-case digits.
bool file_digest(int fd, const char *path, DigestProgress progress, void *user, char hex[DIGEST_HEX + 1],
                 Err *err);
bool digest_valid(const char *hex); // 64 hexadecimal digits

#endif
