// What to say of routes that clients look for and this server does not have: why, or what there is instead.
#ifndef CLLM_SERVER_MISSING_ROUTES_H
#define CLLM_SERVER_MISSING_ROUTES_H

#include "base/str.h"

const char *missing_route_hint(Str path); // never NULL

#endif
