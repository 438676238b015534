// GET /stats: the figures as JSON, and the live requests one by one.
#ifndef CLLM_SERVER_API_STATS_H
#define CLLM_SERVER_API_STATS_H

#include "server/app.h"

void api_stats(App *app, HttpExchange *x, Str tail);

#endif
