// Help as a terminal shows it: lines of at most 80 characters, broken between words.
//
// Thread: any; everything is the caller's.
#ifndef CLLM_CLI_HELP_TEXT_H
#define CLLM_CLI_HELP_TEXT_H

#include "base/buf.h"

enum { HELP_COLUMNS = 80 };

// Appends text (valid UTF-8) word by word and ends the line. The first word stands at `column`, where out is
// by now; each further line begins with `indent` blanks. A word that is longer than a line has one to itself.
void help_put_words(Buf *out, const char *text, size_t column, size_t indent);

#endif
