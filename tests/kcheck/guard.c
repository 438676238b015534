// Buffers that catch a kernel one byte past either end.
//
// Each buffer lies at the end of its own pages, between two unmapped ones. A touch behind it faults
// at once. In front of it, up to the page's beginning, lie known bytes that must survive.
#define _GNU_SOURCE
#include "kcheck.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_GUARDS = 128, FRONT = 0xC5, GARBAGE = 0xFB };

typedef struct Guard {
    uint8_t *map, *data;
    size_t map_bytes, bytes;
} Guard;

static Guard guards[MAX_GUARDS];
static int n_guards;

static size_t page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

// Garbage is 0xFB everywhere: a large negative float and half, -5 as int8; nothing a kernel may use.
void *guard_new(Case *c, size_t bytes) {
    (void)c;
    CHECK(n_guards < MAX_GUARDS);
    size_t page = page_bytes(), body = (bytes + page - 1) / page * page;
    Guard *g = &guards[n_guards];
    g->map_bytes = body + 2 * page;
    g->map = mmap(NULL, g->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(g->map != MAP_FAILED);
    if (body > 0) CHECK(mprotect(g->map + page, body, PROT_READ | PROT_WRITE) == 0);
    g->bytes = bytes;
    g->data = g->map + page + body - bytes;
    memset(g->map + page, FRONT, body - bytes);
    memset(g->data, GARBAGE, bytes);
    n_guards++;
    return g->data;
}

void guard_freeze(const void *p) {
    for (int i = 0; i < n_guards; i++) {
        if (guards[i].data != p) continue;
        size_t page = page_bytes();
        CHECK(mprotect(guards[i].map + page, guards[i].map_bytes - 2 * page, PROT_READ) == 0);
        return;
    }
    CHECK(!"not a guarded buffer");
}

void guard_release(Case *c) {
    size_t page = page_bytes();
    for (int i = 0; i < n_guards; i++) {
        const Guard *g = &guards[i];
        for (const uint8_t *p = g->map + page; p < g->data; p++) {
            if (*p == FRONT) continue;
            case_fail(c, "wrote %td bytes in front of a buffer of %zu", g->data - p, g->bytes);
            break;
        }
        munmap(g->map, g->map_bytes);
    }
    n_guards = 0;
}
