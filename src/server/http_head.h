// The head of a request, judged as bytes before evhttp sees it.
//
// evhttp is generous where servers and proxies in a row must agree: it takes bare line feeds, folded lines,
// signs and blanks in lengths, several lengths, the body of a GET as the next request, any version. Whoever
// stands in front may read the same bytes another way, and a request hides in the difference. So only heads
// that can be read in one way are let through, and everything else is refused here, with its reason. What is
// let through evhttp reads as it stands here.
//
// A pure function of the bytes. Thread: any.
#ifndef CLLM_SERVER_HTTP_HEAD_H
#define CLLM_SERVER_HTTP_HEAD_H

#include "base/str.h"

#include <stdint.h>

enum { HEAD_MAX_FIELDS = 100 };

typedef enum HeadResult { HEAD_MORE, HEAD_GOOD, HEAD_BAD } HeadResult;

// Views into the bytes; empty: not sent.
typedef struct HttpHead {
    size_t size; // of the head with its empty line
    Str method;
    Str path; // without the query; of an absolute target what follows the host
    Str authorization, x_api_key, origin, expect;
    bool http_1_0, has_length, chunked;
    bool has_connection, closes; // Connection: any, close
    uint64_t length;             // of the body, when has_length
    int n_fields, n_hosts;
    int status;          // HEAD_BAD: the answer …
    const char *message; // … and why
} HttpHead;

// Why a request is not let in.
typedef struct HttpRefusal {
    int status;                 // 0: it is
    const char *code, *message; // code: NULL, or a word for programs
    int retry_after_s;
    Str path, origin; // of the request, as far as it was read
} HttpRefusal;

// HEAD_MORE: what is there is the beginning of a good head. max_bytes: of the whole head.
HeadResult http_head_read(Str bytes, size_t max_bytes, HttpHead *out);

#endif
