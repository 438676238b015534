// Text from elsewhere that is to be shown: what could steer a terminal becomes a question mark.
#ifndef CLLM_BASE_PRINTABLE_H
#define CLLM_BASE_PRINTABLE_H

#include <stdbool.h>

// In place: control bytes, and U+0080 to U+009F in UTF-8, which some terminals obey.
void make_printable(char *text);

#endif
