// What can be asked without generating: the list of routes or the page, health, the model.
#ifndef CLLM_SERVER_API_INFO_H
#define CLLM_SERVER_API_INFO_H

#include "server/app.h"

void api_root(App *app, HttpExchange *x, Str tail);
void api_health(App *app, HttpExchange *x, Str tail);
void api_model_info(App *app, HttpExchange *x, Str tail);
void api_models(App *app, HttpExchange *x, Str tail);
void api_model(App *app, HttpExchange *x, Str tail); // tail: the id

extern const char web_page_html[]; // web_page.c

#endif
