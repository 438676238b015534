// `cllm eval`: the model by itself, without engine or server. Perplexity of a text, greedy
// continuations, raw logits and raw tensors; what the truth tests compare with other programs.
#include "cli/commands.h"

#include "base/file.h"
#include "cli/fetch.h"
#include "cli/runtime_options.h"
#include "kernels/formats.h"
#include "model/model.h"
#include "model/weights.h"
#include "text/tokenizer.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Eval {
    const Options *o;
    Workers *workers;
    Model *model;
    ModelContext *context;
    Tokenizer *tokenizer;
    int32_t *blocks; // one sequence owns the whole pool, in order
    StepModel step;
} Eval;

// Called for each row of logits, in order; false stops.
typedef bool (*RowFn)(void *user, int32_t position, const float *logits);

static bool parse_tokens(const char *text, int32_t n_vocab, TokenList *out, Err *err) {
    for (const char *at = text; *at;) {
        char *end;
        long id = strtol(at, &end, 10);
        if (end == at || id < 0 || id >= n_vocab)
            return err_set(err, ERR_INVALID, "'%.20s' is not a token id below %d", at, n_vocab);
        if (!token_list_push(out, (int32_t)id))
            return err_set(err, ERR_NOMEM, "out of memory for the tokens");
        for (at = end; *at == ',' || *at == ' ' || *at == '\n' || *at == '\r'; at++) {
        }
    }
    return true;
}

// ---- computing ----

static bool open_eval(Eval *e, int *code, Err *err) {
    Runtime r = {0};
    bool ok = runtime_open_log(e->o, err) && runtime_check_model(e->o->model, err) &&
              runtime_open_foreground(&r, e->o, runtime_open_model, code, err);
    e->workers = r.workers;
    e->model = r.model;
    return ok;
}

// Room for one sequence of n_tokens, computed prefill_chunk rows at a time.
static bool open_context(Eval *e, size_t n_tokens, Err *err) {
    int32_t context = model_info(e->model)->max_context;
    if (n_tokens > (size_t)context)
        return err_set(err, ERR_LIMIT, "%zu tokens are more than the model's context of %d", n_tokens,
                       context);
    int32_t rows = (int32_t)e->o->prefill_chunk, n_blocks = (int32_t)(n_tokens / KV_BLOCK_TOKENS) + 1;
    ModelContextConfig config = {
        .n_blocks = n_blocks, .max_rows = rows, .max_logits = rows, .kv_type = runtime_kv_type(e->o)};
    e->blocks = malloc((size_t)n_blocks * sizeof *e->blocks);
    if (!e->blocks) return err_set(err, ERR_NOMEM, "out of memory");
    for (int32_t i = 0; i < n_blocks; i++) e->blocks[i] = i;
    if (!(e->context = model_context_new(e->model, &config, e->workers, err))) return false;
    e->step = model_step(e->context);
    return true;
}

static void close_context(Eval *e) {
    model_context_free(e->context);
    free(e->blocks);
    e->context = NULL;
    e->blocks = NULL;
}

static void close_eval(Eval *e) {
    close_context(e);
    tokenizer_free(e->tokenizer);
    model_close(e->model);
    workers_free(e->workers);
}

static bool open_tokenizer(Eval *e, Err *err) {
    if (!e->tokenizer) e->tokenizer = tokenizer_open(model_gguf(e->model), err);
    return e->tokenizer && runtime_check_vocabulary(e->model, e->tokenizer, err);
}

// One run of rows; all of them give logits, or only the last.
static const LogitsRow *compute(Eval *e, const int32_t *tokens, int32_t start, int32_t n_rows, bool all) {
    BatchSeq seq = {.blocks = e->blocks, .start = start, .n_rows = n_rows, .n_logits = all ? n_rows : 1};
    Batch b = {.tokens = tokens, .n_rows = n_rows, .seqs = &seq, .n_seqs = 1, .n_logits = seq.n_logits};
    return e->step.forward(e->step.self, &b);
}

static bool for_each_row(Eval *e, const TokenList *tokens, RowFn fn, void *user) {
    for (size_t at = 0; at < tokens->n;) {
        size_t left = tokens->n - at, n = left < (size_t)e->step.max_rows ? left : (size_t)e->step.max_rows;
        const LogitsRow *rows = compute(e, tokens->ids + at, (int32_t)at, (int32_t)n, true);
        for (size_t i = 0; i < n; i++)
            if (!fn(user, (int32_t)(at + i), rows[i].all)) return false;
        at += n;
    }
    return true;
}

// ---- logits ----

typedef struct LogitsSink {
    FILE *file;
    size_t n_vocab;
} LogitsSink;

static bool write_logits(void *user, int32_t position, const float *logits) {
    LogitsSink *s = user;
    (void)position;
    return fwrite(logits, sizeof *logits, s->n_vocab, s->file) == s->n_vocab;
}

static bool eval_logits(Eval *e, const TokenList *tokens, Err *err) {
    if (!open_context(e, tokens->n, err)) return false;
    LogitsSink sink = {fopen(e->o->logits, "wb"), (size_t)e->step.n_vocab};
    bool ok = sink.file && for_each_row(e, tokens, write_logits, &sink);
    if (sink.file) ok = fclose(sink.file) == 0 && ok;
    return ok || err_set(err, ERR_IO, "cannot write %s: %s", e->o->logits, strerror(errno));
}

// ---- embedding ----

static bool eval_embedding(Eval *e, const TokenList *tokens, Err *err) {
    if (!open_context(e, tokens->n, err)) return false;
    Pooling pooling = model_info(e->model)->pooling;
    size_t n = (size_t)e->step.n_embd, rows = (size_t)e->step.max_rows;
    double *pooled = malloc(n * sizeof *pooled);
    FILE *f = fopen(e->o->embedding, "wb");
    for (size_t at = 0; pooled && at < tokens->n; at += rows) {
        int32_t left = (int32_t)(tokens->n - at < rows ? tokens->n - at : rows);
        BatchSeq seq = {
            .blocks = e->blocks, .start = (int32_t)at, .n_rows = left, .pooling = pooling, .pooled = pooled};
        Batch b = {.tokens = tokens->ids + at, .n_rows = left, .seqs = &seq, .n_seqs = 1};
        e->step.forward(e->step.self, &b);
    }
    for (size_t i = 0; pooled && pooling == POOLING_MEAN && i < n; i++) pooled[i] /= (double)tokens->n;
    bool ok = pooled && f && fwrite(pooled, sizeof *pooled, n, f) == n;
    if (f) ok = fclose(f) == 0 && ok;
    free(pooled);
    return ok || err_set(err, ERR_IO, "cannot write %s: %s", e->o->embedding, strerror(errno));
}

// ---- perplexity ----

typedef struct Perplexity {
    const TokenList *tokens;
    int32_t n_vocab;
    double sum;
} Perplexity;

static bool add_log_prob(void *user, int32_t position, const float *logits) {
    Perplexity *p = user;
    if ((size_t)position + 1 >= p->tokens->n) return true;
    double max = -INFINITY, sum = 0;
    for (int32_t i = 0; i < p->n_vocab; i++) max = fmax(max, (double)logits[i]);
    for (int32_t i = 0; i < p->n_vocab; i++) sum += exp((double)logits[i] - max);
    p->sum += (double)logits[p->tokens->ids[position + 1]] - max - log(sum);
    return true;
}

static bool eval_perplexity(Eval *e, const TokenList *tokens, Err *err) {
    if (tokens->n < 2) return err_set(err, ERR_INVALID, "a perplexity needs at least two tokens");
    if (!open_context(e, tokens->n, err)) return false;
    Perplexity p = {tokens, e->step.n_vocab, 0};
    for_each_row(e, tokens, add_log_prob, &p);
    double value = exp(-p.sum / (double)(tokens->n - 1));
    printf(e->o->json ? "{\"tokens\": %zu, \"perplexity\": %.6f}\n" : "tokens %zu, perplexity %.4f\n",
           tokens->n, value);
    return true;
}

// ---- greedy continuations ----

static int32_t likeliest(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static bool continue_tokens(Eval *e, TokenList *all, Err *err) {
    size_t n_prompt = all->n, done = 0;
    while (all->n - n_prompt < (size_t)e->o->greedy) {
        const float *logits = NULL;
        while (done < all->n) {
            size_t left = all->n - done,
                   n = left < (size_t)e->step.max_rows ? left : (size_t)e->step.max_rows;
            logits = compute(e, all->ids + done, (int32_t)done, (int32_t)n, false)->all;
            done += n;
        }
        int32_t token = likeliest(logits, e->step.n_vocab);
        if (tokenizer_is_end(e->tokenizer, token)) return true;
        if (!token_list_push(all, token)) return err_set(err, ERR_NOMEM, "out of memory for the tokens");
    }
    return true;
}

static json_t *ids_json(const int32_t *ids, size_t n) {
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(a, json_integer(ids[i]));
    return a;
}

static void print_continuation(const Eval *e, const TokenList *all, size_t n_prompt) {
    if (e->o->json) {
        json_t *line = json_pack("{s:o, s:o}", "prompt_tokens", ids_json(all->ids, n_prompt), "tokens",
                                 ids_json(all->ids + n_prompt, all->n - n_prompt));
        json_dumpf(line, stdout, JSON_COMPACT);
        json_decref(line);
    } else {
        Buf text = {0};
        tokenizer_decode(e->tokenizer, all->ids + n_prompt, all->n - n_prompt, false, &text);
        fwrite(text.ptr, 1, text.len, stdout);
        buf_free(&text);
    }
    putchar('\n');
}

static bool eval_prompt(Eval *e, Str prompt, Err *err) {
    TokenList all = {0};
    EncodeOptions options = {.special = true, .bos_eos = true};
    bool ok = tokenizer_encode(e->tokenizer, prompt, options, &all, err);
    size_t n_prompt = all.n;
    ok = ok && (n_prompt > 0 || err_set(err, ERR_INVALID, "an empty prompt"));
    ok = ok && open_context(e, n_prompt + (size_t)e->o->greedy, err) && continue_tokens(e, &all, err);
    if (ok) print_continuation(e, &all, n_prompt);
    close_context(e);
    token_list_free(&all);
    return ok;
}

static bool eval_prompts(Eval *e, Err *err) {
    Buf text = {0};
    bool ok = open_tokenizer(e, err) && file_read(e->o->prompt_file, 0, &text, err);
    for (Str left = buf_str(&text); ok && left.len;) {
        const char *end = memchr(left.ptr, '\n', left.len);
        size_t n = end ? (size_t)(end - left.ptr) : left.len;
        ok = eval_prompt(e, str_sub(left, 0, n), err);
        left = str_skip(left, n + 1);
    }
    buf_free(&text);
    return ok;
}

// ---- tensors ----

static bool dump_tensor(const Options *o, Err *err) {
    Gguf *g = gguf_open(o->model, err);
    if (!g) return false;
    const GgufTensor *t = gguf_find_tensor(g, o->dump_tensor);
    FILE *f = t ? fopen(o->out, "wb") : NULL;
    bool ok = f || (t ? err_set(err, ERR_IO, "cannot write '%s': %s", o->out, strerror(errno))
                      : err_set(err, ERR_NOT_FOUND, "%s has no tensor %s", o->model, o->dump_tensor));
    float *row = ok ? malloc(t->dims[0] * sizeof *row) : NULL;
    if (ok && !row) ok = err_set(err, ERR_NOMEM, "out of memory for a row");
    for (size_t at = 0; ok && at < t->n_bytes; at += t->row_bytes) {
        weight_dequantize_row(weight_type_of(t->type), t->data + at, (int)t->dims[0], row);
        if (fwrite(row, sizeof *row, t->dims[0], f) != t->dims[0])
            ok = err_set(err, ERR_IO, "cannot write %s", o->out);
    }
    free(row);
    if (f && fclose(f) != 0 && ok) ok = err_set(err, ERR_IO, "cannot write %s", o->out);
    gguf_close(g);
    return ok;
}

// ---- the command ----

static bool read_tokens(Eval *e, TokenList *out, Err *err) {
    const Options *o = e->o;
    if (o->tokens[0]) return parse_tokens(o->tokens, model_info(e->model)->n_vocab, out, err);
    Buf text = {0};
    bool ok = file_read(o->tokens_file[0] ? o->tokens_file : o->text_file, 0, &text, err);
    if (ok && o->tokens_file[0])
        ok = parse_tokens(text.ptr ? text.ptr : "", model_info(e->model)->n_vocab, out, err);
    else if (ok)
        ok = open_tokenizer(e, err) &&
             tokenizer_encode(e->tokenizer, buf_str(&text), (EncodeOptions){.bos_eos = true}, out, err);
    buf_free(&text);
    if (ok && out->n == 0) ok = err_set(err, ERR_INVALID, "there are no tokens to evaluate");
    return ok;
}

static bool run(Eval *e, int *code, Err *err) {
    const Options *o = e->o;
    if (o->dump_tensor[0]) return dump_tensor(o, err);
    if (!open_eval(e, code, err)) return false;
    if (o->prompt_file[0]) return eval_prompts(e, err);
    if (!o->tokens[0] && !o->tokens_file[0] && !o->text_file[0])
        return err_set(err, ERR_INVALID,
                       "nothing to evaluate: give --text-file, --tokens, --tokens-file or --prompt-file");
    TokenList tokens = {0};
    bool ok = read_tokens(e, &tokens, err);
    if (ok && o->embedding[0])
        ok = eval_embedding(e, &tokens, err);
    else if (ok)
        ok = o->logits[0] ? eval_logits(e, &tokens, err) : eval_perplexity(e, &tokens, err);
    token_list_free(&tokens);
    return ok;
}

static bool eval(Options *o, int *code, Err *err) {
    Eval e = {.o = o};
    options_quieten(o);
    bool ok = model_name_resolve(o, code, err) && run(&e, code, err);
    close_eval(&e);
    return ok;
}

int cmd_eval(int argc, char **argv) {
    return command_main(COMMAND_EVAL, argc, argv, eval);
}
