// Runs the suites whose names contain the first argument (all of them without one).
#include "harness.h"

#include <stdio.h>
#include <string.h>

static Suite *suites;

void suite_register(Suite *suite) {
    Suite **at = &suites;
    while (*at && strcmp((*at)->name, suite->name) < 0) at = &(*at)->next;
    suite->next = *at;
    *at = suite;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (Suite *s = suites; s; s = s->next)
        if (argc < 2 || strstr(s->name, argv[1])) failed += s->run();
    return failed ? 1 : 0;
}
