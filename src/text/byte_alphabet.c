#include "text/byte_alphabet.h"

#include "base/utf8.h"

static bool stands_for_itself(uint32_t b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
}

// The bytes that do not stand for themselves are 00–20, 7F–A0 and AD, numbered in this order.
static int byte_of(uint32_t cp) {
    if (cp < 0x100) return stands_for_itself(cp) ? (int)cp : -1;
    uint32_t i = cp - 0x100;
    if (i <= 0x20) return (int)i;
    if (i <= 0x42) return (int)(0x7F + (i - 0x21));
    return i == 0x43 ? 0xAD : -1;
}

void byte_alphabet_put(uint8_t byte, Buf *out) {
    uint32_t cp = byte;
    if (byte <= 0x20)
        cp = 0x100u + byte;
    else if (byte >= 0x7F && byte <= 0xA0)
        cp = 0x121u + (byte - 0x7Fu);
    else if (byte == 0xAD)
        cp = 0x143;
    buf_put_utf8(out, cp);
}

bool byte_alphabet_decode(Str text, Buf *out) {
    size_t before = out->len;
    while (text.len > 0) {
        Utf8Step step = utf8_step(text);
        int byte = step.kind == UTF8_OK ? byte_of(step.cp) : -1;
        if (byte < 0) {
            out->len = before;
            return false;
        }
        buf_putc(out, (char)byte);
        text = str_skip(text, step.n);
    }
    return true;
}
