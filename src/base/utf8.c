#include "base/utf8.h"

#include "base/err.h"

// How a sequence goes on after its first byte: how many more bytes, and what the second one may be
// (the others are always 80 … BF). The narrowed second byte is what excludes overlong forms
// (E0, F0), surrogates (ED) and code points above U+10FFFF (F4).
typedef struct Utf8Lead {
    uint8_t more, low, high;
} Utf8Lead;

static Utf8Lead lead_of(uint8_t b) {
    if (b >= 0xC2 && b <= 0xDF) return (Utf8Lead){1, 0x80, 0xBF};
    if (b == 0xE0) return (Utf8Lead){2, 0xA0, 0xBF};
    if (b == 0xED) return (Utf8Lead){2, 0x80, 0x9F};
    if (b >= 0xE1 && b <= 0xEF) return (Utf8Lead){2, 0x80, 0xBF};
    if (b == 0xF0) return (Utf8Lead){3, 0x90, 0xBF};
    if (b >= 0xF1 && b <= 0xF3) return (Utf8Lead){3, 0x80, 0xBF};
    if (b == 0xF4) return (Utf8Lead){3, 0x80, 0x8F};
    return (Utf8Lead){0, 0, 0};
}

Utf8Step utf8_step(Str s) {
    CHECK(s.len > 0);
    const uint8_t *p = (const uint8_t *)s.ptr;
    if (p[0] < 0x80) return (Utf8Step){UTF8_OK, p[0], 1};
    Utf8Lead lead = lead_of(p[0]);
    if (lead.more == 0) return (Utf8Step){UTF8_BAD, 0, 1};
    uint32_t cp = p[0] & (0x3Fu >> lead.more);
    for (size_t i = 1; i <= lead.more; i++) {
        if (i >= s.len) return (Utf8Step){UTF8_INCOMPLETE, 0, i};
        uint8_t low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
        if (p[i] < low || p[i] > high) return (Utf8Step){UTF8_BAD, 0, i};
        cp = cp << 6 | (p[i] & 0x3F);
    }
    return (Utf8Step){UTF8_OK, cp, 1 + (size_t)lead.more};
}

size_t utf8_ascii_prefix(Str s) {
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        uint64_t word;
        memcpy(&word, s.ptr + i, 8);
        if (word & 0x8080808080808080u) break;
    }
    while (i < s.len && (uint8_t)s.ptr[i] < 0x80) i++;
    return i;
}

size_t utf8_valid_prefix(Str s) {
    size_t i = 0;
    while (i < s.len) {
        if ((uint8_t)s.ptr[i] < 0x80) {
            i += utf8_ascii_prefix(str_skip(s, i));
            continue;
        }
        Utf8Step step = utf8_step(str_skip(s, i));
        if (step.kind != UTF8_OK) break;
        i += step.n;
    }
    return i;
}

bool utf8_valid(Str s) {
    return utf8_valid_prefix(s) == s.len;
}

// Only the last three bytes can hold an incomplete sequence, so the scan starts there: at the last
// byte that is not a continuation.
size_t utf8_complete_prefix(Str s) {
    size_t back = s.len < 3 ? s.len : 3;
    for (size_t k = 1; k <= back; k++) {
        uint8_t b = (uint8_t)s.ptr[s.len - k];
        if ((b & 0xC0) == 0x80) continue;
        Utf8Step step = utf8_step((Str){s.ptr + s.len - k, k});
        bool open = step.kind == UTF8_INCOMPLETE && step.n == k;
        return open ? s.len - k : s.len;
    }
    return s.len;
}

void utf8_sanitize(Str s, Buf *out) {
    while (s.len > 0) {
        size_t good = utf8_valid_prefix(s);
        if (good > 0) buf_put(out, (Str){s.ptr, good});
        s = str_skip(s, good);
        if (s.len == 0) break;
        buf_put(out, STR("\xEF\xBF\xBD"));
        s = str_skip(s, utf8_step(s).n);
    }
}

size_t utf8_n_chars(Str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}
