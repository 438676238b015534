// Fetching from the network with patience (libcurl): small documents, and large files that go on where
// they broke off.
//
// What may pass by itself is tried again after a pause that grows, or that the server asks for
// (Retry-After): connections that fail, stall or break off, and the statuses 408, 429, 500, 502, 503, 504.
// Everything else is final. An attempt that brought bytes starts the count anew, so that a long file over a
// bad line comes in the end. Only http and https are followed by redirects; proxies are those of the
// environment (https_proxy, no_proxy, …). A token goes to the host of the first address only.
//
// Thread: one.
#ifndef CLLM_LIBRARY_TRANSFER_H
#define CLLM_LIBRARY_TRANSFER_H

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

typedef struct TransferHooks {
    // total: 0 while it is not known. false: stop.
    bool (*progress)(void *user, int64_t done, int64_t total);
    void (*retry)(void *user, const char *why, double seconds); // the next attempt comes after so long
    void *user;
} TransferHooks;

typedef struct TransferConfig {
    const char *token; // "": none; never sent elsewhere than asked
    int retries;       // attempts in a row that may bring nothing
    int stall_s;       // silence that counts as broken off
    TransferHooks hooks;
} TransferConfig;

// What servers tell of a file. Fields are empty or 0 where they do not.
typedef struct TransferFacts {
    char tag[256];   // ETag, when it is a strong one
    char sha256[65]; // X-Linked-Etag, of a hub's large files
    int64_t size;
} TransferFacts;

// As the address may be shown and kept: without the name and password that it may have. Cut to fit.
void url_without_login(const char *url, char *out, size_t size);

bool transfer_document(const TransferConfig *c, const char *url, size_t max_bytes, Buf *out, Err *err);

// Appends to the file fd (open for writing, a path for messages) what it lacks, or begins anew when the
// server has another version than facts->tag (empty: not asked), or cannot continue. *facts is updated from
// the replies. Refuses what the disk has no room for, and more than facts->size (0: any size).
bool transfer_file(const TransferConfig *c, const char *url, int fd, const char *path, TransferFacts *facts,
                   Err *err);

#endif
