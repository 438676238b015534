// Lines typed in a terminal, with editing, history and completion (libedit).
//
// What is pasted arrives as one line with newlines in it, wherever the terminal says what is pasted
// (bracketed paste): it waits for Enter like anything typed. Ctrl-C comes through interrupts.h, which must be
// open. Everything is UTF-8, whatever the locale. Thread: one.
#ifndef CLLM_CLI_LINE_EDITOR_H
#define CLLM_CLI_LINE_EDITOR_H

#include "base/buf.h"
#include "base/err.h"

#include <stdio.h>

typedef struct LineEditor LineEditor;

typedef enum LineInput { LINE_READ, LINE_INTERRUPT, LINE_END } LineInput;

// out: the terminal. words, ended by NULL: what Tab completes at the beginning of a line; borrowed.
// history_size: entries that are remembered.
LineEditor *line_editor_new(FILE *out, const char *const *words, size_t history_size, bool colour, Err *err);
void line_editor_free(LineEditor *e); // NULL is allowed

// prompt: ASCII. *line is replaced by what was typed, without the newline that ended it.
LineInput line_editor_read(LineEditor *e, const char *prompt, Buf *line);

// Makes a text the newest that the arrow keys bring back.
void line_editor_remember(LineEditor *e, const char *text);

#endif
