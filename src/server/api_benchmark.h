// POST /benchmark: a closed loop of `concurrency` requests inside the server, through the same
// queue, scheduler and sampler as everybody else's, measured by the clock. The loop goes on serving.
#ifndef CLLM_SERVER_API_BENCHMARK_H
#define CLLM_SERVER_API_BENCHMARK_H

#include "server/app.h"

void api_benchmark(App *app, HttpExchange *x, Str tail);

#endif
