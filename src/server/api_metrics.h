// GET /metrics: the figures in Prometheus' text format.
//
// Every family is one entry of a table; docs/api.md lists the same names. With the option metrics_aliases
// the names that autoscalers of other servers know (vllm:*, llamacpp:*) are served as well, from the same
// figures. Nothing asks the engine thread: its figures are as old as its last step.
#ifndef CLLM_SERVER_API_METRICS_H
#define CLLM_SERVER_API_METRICS_H

#include "server/app.h"

void api_metrics(App *app, HttpExchange *x, Str tail);

#endif
