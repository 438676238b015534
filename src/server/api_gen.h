// Reading what all generating routes share: sampling, limits, stops.
#ifndef CLLM_SERVER_API_GEN_H
#define CLLM_SERVER_API_GEN_H

#include "server/parse.h"
#include "server/request.h"

// The defaults of a dialect.
GenParams gen_params_default(Dialect dialect, const ServerConfig *config);

// The server's own defaults, all below 0 where it has none; and one of them, or the API's where it is below
// 0.
const SamplingDefaults *gen_sampling_defaults(const ServerConfig *config);
double gen_default(double servers, double apis);

// Reads temperature, top_p, top_k, min_p, the penalties, logit_bias, seed, stop, max_tokens, stream,
// min_tokens, stop_token_ids, timeout_ms, cache_salt and ignore_eos over the defaults in *p. Failures stick
// in f.
void gen_params_read(Fields *f, Dialect dialect, int32_t n_vocab, GenParams *p);

// Of them how long the request may take, the dialects' common field: 0 when it does not say.
void gen_read_timeout(Fields *f, int64_t *ms);

// Those of them that have nothing to do with generating: timeout_ms and priority.
void gen_params_read_limits(Fields *f, GenParams *p);

#endif
