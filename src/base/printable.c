#include "base/printable.h"

#include "base/utf8.h"

static bool is_blank(uint32_t cp) {
    return cp == '\n' || cp == '\t' || cp == '\r';
}

void make_printable(char *text) {
    for (Str left = str_from(text); left.len;) {
        Utf8Step step = utf8_step(left);
        bool control = step.cp < 0x20 || (step.cp >= 0x7F && step.cp <= 0x9F);
        if (step.kind != UTF8_OK || control) memset(text, is_blank(step.cp) ? ' ' : '?', step.n);
        text += step.n;
        left = str_skip(left, step.n);
    }
}
