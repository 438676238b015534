// What can be asked without generating: health, the model.
#ifndef CLLM_SERVER_API_INFO_H
#define CLLM_SERVER_API_INFO_H

#include "server/app.h"

// The model that `?model=` names, or the first. NULL: x has been answered.
HostedModel *api_queried_model(App *app, HttpExchange *x, Dialect dialect);

void api_health(App *app, HttpExchange *x, Str tail);
void api_model_info(App *app, HttpExchange *x, Str tail);
void api_models(App *app, HttpExchange *x, Str tail);
void api_model(App *app, HttpExchange *x, Str tail); // tail: the id

#endif
