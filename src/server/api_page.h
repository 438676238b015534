// GET / and the files that the page at / consists of.
#ifndef CLLM_SERVER_API_PAGE_H
#define CLLM_SERVER_API_PAGE_H

#include "server/app.h"

void api_root(App *app, HttpExchange *x, Str tail);  // the page for browsers, the list of routes for others
void api_asset(App *app, HttpExchange *x, Str tail); // tail: the file's name

#endif
