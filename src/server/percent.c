#include "server/percent.h"

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void percent_decode(Str s, bool is_query, Buf *out) {
    for (size_t i = 0; i < s.len; i++) {
        int high = s.ptr[i] == '%' && i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.ptr[i + 2]) : -1;
        char plain = is_query && s.ptr[i] == '+' ? ' ' : s.ptr[i];
        buf_putc(out, low >= 0 ? (char)(high << 4 | low) : plain);
        if (low >= 0) i += 2;
    }
}
