// Completions for shells, made from the tables of commands and options; names of models and servers are asked
// for when they are completed (`cllm list --quiet`, `cllm ps --quiet`).
#ifndef CLLM_CLI_COMPLETION_H
#define CLLM_CLI_COMPLETION_H

#include "base/buf.h"

// Each appends a script for its shell; *out is the caller's.
void completion_put_bash(Buf *out);
void completion_put_zsh(Buf *out);
void completion_put_fish(Buf *out);

#endif
