#include "server/prom.h"

#include "base/utf8.h"

void prom_head(Buf *out, const char *name, const char *type, const char *help) {
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void prom_label(Buf *labels, const char *name, Str value) {
    Buf clean = {0};
    utf8_sanitize(value, &clean);
    buf_printf(labels, "%s%s=\"", labels->len ? "," : "", name);
    for (size_t i = 0; i < clean.len; i++) {
        char c = clean.ptr[i];
        if (c == '\\' || c == '"') buf_putc(labels, '\\');
        if (c == '\n')
            buf_puts(labels, "\\n");
        else
            buf_putc(labels, c);
    }
    buf_putc(labels, '"');
    labels->failed |= clean.failed;
    buf_free(&clean);
}

// suffix: "_bucket" and the like. 15 digits: a count is exact up to there, and 0.1 stays 0.1.
static void put_sample(Buf *out, const char *name, const char *suffix, const char *labels, double value) {
    const char *open = labels[0] ? "{" : "", *close = labels[0] ? "}" : "";
    buf_printf(out, "%s%s%s%s%s %.15g\n", name, suffix, open, labels, close, value);
}

void prom_sample(Buf *out, const char *name, const char *labels, double value) {
    put_sample(out, name, "", labels, value);
}

void prom_histogram(Buf *out, const char *name, const char *labels, const HistogramScale *scale,
                    const Histogram *h) {
    uint64_t below = 0;
    const char *comma = labels[0] ? "," : "";
    for (int i = 0; i < scale->n_bounds; i++) {
        below += h->counts[i];
        buf_printf(out, "%s_bucket{%s%sle=\"%.10g\"} %.15g\n", name, labels, comma,
                   (double)scale->bounds[i] * scale->unit, (double)below);
    }
    double count = (double)histogram_count(h);
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %.15g\n", name, labels, comma, count);
    put_sample(out, name, "_sum", labels, (double)h->sum * scale->unit);
    put_sample(out, name, "_count", labels, count);
}
