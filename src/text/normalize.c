#include "text/normalize.h"

#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <utf8proc.h>

// Ranges without combining marks, characters that compose with one before them, or characters that
// NFC replaces. A text made of these alone is in NFC; others are left to utf8proc.
static bool is_inert(uint32_t cp) {
    if (cp < 0x300) return true;
    if (cp >= 0x4E00 && cp <= 0x9FFF) return true;                           // CJK ideographs
    if (cp >= 0xAC00 && cp <= 0xD7A3) return true;                           // Hangul syllables
    if (cp >= 0x3041 && cp <= 0x3096) return true;                           // Hiragana
    if (cp >= 0x30A1 && cp <= 0x30FA) return true;                           // Katakana
    if (cp >= 0x0400 && cp <= 0x0482) return true;                           // Cyrillic
    if (cp >= 0x0620 && cp <= 0x064A) return true;                           // Arabic letters
    if (cp >= 0x3001 && cp <= 0x3020) return true;                           // CJK punctuation
    return (cp >= 0x2002 && cp <= 0x2063) || (cp >= 0xFF01 && cp <= 0xFF60); // dashes, quotes; full width
}

static bool surely_nfc(Str s) {
    while (s.len > 0) {
        s = str_skip(s, utf8_ascii_prefix(s));
        if (s.len == 0) break;
        Utf8Step step = utf8_step(s);
        if (!is_inert(step.cp)) return false;
        s = str_skip(s, step.n);
    }
    return true;
}

bool normalize_nfc(Str text, Buf *store, Str *out) {
    *out = text;
    if (surely_nfc(text)) return true;
    utf8proc_uint8_t *made = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text.ptr, (utf8proc_ssize_t)text.len, &made,
                                      (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (n < 0) return false;
    buf_clear(store);
    buf_put(store, (Str){(const char *)made, (size_t)n});
    free(made);
    *out = buf_str(store);
    return !store->failed;
}
