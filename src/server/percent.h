// Percent-encoding of URLs (RFC 3986, section 2.1; in queries also of HTML's forms, where + is a blank).
//
// Thread: any.
#ifndef CLLM_SERVER_PERCENT_H
#define CLLM_SERVER_PERCENT_H

#include "base/buf.h"

// What is no escape stays as it is.
void percent_decode(Str s, bool is_query, Buf *out);

#endif
