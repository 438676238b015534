// Text from elsewhere that is to be shown, or to stand in JSON, as one line: what could steer a terminal, and
// what is no UTF-8, becomes question marks, and line ends and tabs become spaces.
#ifndef CLLM_BASE_PRINTABLE_H
#define CLLM_BASE_PRINTABLE_H

#include <stdbool.h>

// In place, a mark for each byte. What steers are the control characters, with U+0080 to U+009F, which some
// terminals obey.
void make_printable(char *text);

#endif
