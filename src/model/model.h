// A model file, opened, checked, packed for this CPU, and ready to compute steps.
//
// model_open maps the file, reads the hyper-parameters by the architecture table (arch.c), binds
// and validates every tensor, and repacks the weight matrices for the kernels of this CPU's rung,
// giving the file's pages back as it goes (or maps an image of them, see weights.h). model_context_new adds
// what computing needs: the KV memory and the scratch of a step.
//
// Thread: open on one thread; a ModelContext computes on the engine thread (with the workers).
#ifndef CLLM_MODEL_MODEL_H
#define CLLM_MODEL_MODEL_H

#include "base/err.h"
#include "base/workers.h"
#include "gguf/gguf.h"
#include "kernels/kv_block.h"
#include "model/batch.h"
#include "model/phases.h"

typedef struct Model Model;

// What became of the image of packed weights (pack_image.h).
typedef enum PackOutcome {
    PACK_OFF,      // no folder was named
    PACK_UNUSED,   // this CPU's kernels have no panels
    PACK_USED,     // mapped
    PACK_WRITTEN,  // there was none
    PACK_REPLACED, // the one there was refused
    PACK_FAILED,   // none could be used, and none written
} PackOutcome;

typedef struct PackReport {
    PackOutcome outcome;
    char why[512]; // one line; empty for PACK_OFF and PACK_USED
} PackReport;

typedef struct ModelInfo {
    char arch[32];         // "qwen3"
    char name[128];        // general.name, or the file's name
    char quantization[32]; // "Q4_K_M", by general.file_type
    int32_t n_vocab, n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, max_context;
    double rope_theta, rms_norm_eps;
    Pooling pooling;         // of embeddings
    size_t weight_bytes; // packed weights in memory
    size_t expert_bytes; // of them, what belongs to experts (models without: 0)
    double expert_share; // of the experts, those that a row goes to
    uint64_t n_params;
    uint64_t macs_per_row;   // multiply-adds of the blocks for one row (without attention)
    uint64_t macs_per_logit; // … of the output matrix for one row
    PackReport packed;
} ModelInfo;

// progress(fraction, user) is called from the opening thread; may be NULL.
typedef void (*ModelProgress)(double fraction, void *user);

// cache_folder: of images of packed weights; "": packs always. Fails in order when the workers are cancelled.
Model *model_open(const char *path, const char *cache_folder, Workers *workers, ModelProgress progress,
                  void *user, Err *err);
void model_close(Model *m); // NULL is allowed
const ModelInfo *model_info(const Model *m);
// Bytes of weights that a step of so many rows reads; of experts as many as are expected of an even choice.
double model_step_bytes(const ModelInfo *info, double rows);
size_t model_kv_bytes_per_token(const Model *m, KvType type);
const Gguf *model_gguf(const Model *m); // for the tokenizer and the template; lives as long as the model

// What a file says before it is loaded.
typedef struct ModelOutline {
    char name[128];              // as in ModelInfo
    size_t file_bytes;           // the packed weights take about as much
    size_t kv_bytes_per_token;
    int32_t max_context;
} ModelOutline;

bool model_read_outline(const char *path, KvType type, ModelOutline *out, Err *err);

typedef struct ModelContextConfig {
    int32_t n_blocks;   // KV blocks of KV_BLOCK_TOKENS tokens
    int32_t max_rows;   // rows of a step
    int32_t max_logits; // logits rows of a step
    KvType kv_type;
} ModelContextConfig;

typedef struct ModelContext ModelContext;

// KV memory is reserved here and becomes resident only as blocks are first written.
ModelContext *model_context_new(Model *m, const ModelContextConfig *config, Workers *workers, Err *err);
void model_context_free(ModelContext *c); // NULL is allowed
// Makes the KV memory of n blocks resident before it is needed; any thread, also while a step is computed.
void model_context_touch(const ModelContext *c, int32_t block, int32_t n);
StepModel model_step(ModelContext *c);                  // for the engine; borrows c
const ModelPhases *model_phases(const ModelContext *c); // lives as long as c; any thread may read it

#endif
