#include "base/printable.h"

void make_printable(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        bool control = *p < 0x20 || *p == 0x7F;
        bool c1 = *p == 0xC2 && p[1] >= 0x80 && p[1] <= 0x9F;
        if (control || c1) *p = '?';
        if (c1) p[1] = '?';
    }
}
