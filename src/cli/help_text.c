#include "cli/help_text.h"

#include "base/utf8.h"

#include <string.h>

static void put_line_break(Buf *out, size_t indent) {
    buf_putc(out, '\n');
    for (size_t i = 0; i < indent; i++) buf_putc(out, ' ');
}

void help_put_words(Buf *out, const char *text, size_t column, size_t indent) {
    size_t start = column;
    for (const char *p = text + strspn(text, " "); *p; p += strspn(p, " ")) {
        Str word = {p, strcspn(p, " ")};
        size_t width = utf8_n_chars(word), blank = column > start;
        if (blank && column + blank + width > HELP_COLUMNS) {
            put_line_break(out, indent);
            start = column = indent;
            blank = 0;
        }
        if (blank) buf_putc(out, ' ');
        buf_put(out, word);
        column += blank + width;
        p += word.len;
    }
    buf_putc(out, '\n');
}
