// Writing Prometheus' text format, version 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// A family is its head and then its samples, nothing else in between. Names are the caller's and must be
// valid; label values may be any bytes: they are made valid UTF-8 and escaped. `labels` of a sample is
// what prom_label has written, "" for none.
#ifndef CLLM_SERVER_PROM_H
#define CLLM_SERVER_PROM_H

#include "base/buf.h"
#include "base/histogram.h"

#define PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void prom_head(Buf *out, const char *name, const char *type,
               const char *help);                          // help: one line, no backslash
void prom_label(Buf *labels, const char *name, Str value); // appends one
void prom_sample(Buf *out, const char *name, const char *labels, double value);
// Buckets (cumulative, the last is +Inf), _sum and _count, in the scale's unit.
void prom_histogram(Buf *out, const char *name, const char *labels, const HistogramScale *scale,
                    const Histogram *h);

#endif
