// The stages that the blocks of a layer are made of: norm and quantise, products, adding to the residual
// stream.
//
// Each is one parallel-for over tasks that write disjoint parts of a buffer. Quantising is cut by columns as
// well as by rows, since a decoding step has few rows.
//
// Thread: whoever computes the share.
#ifndef CLLM_MODEL_STAGES_H
#define CLLM_MODEL_STAGES_H

#include "kernels/packed.h"
#include "model/share.h"

static inline int n_tiles(int rows) {
    return (rows + ACT_TILE_ROWS - 1) / ACT_TILE_ROWS;
}

// Of a quantising task; the columns are a multiple of every act block.
enum { ACT_ROWS = 8, ACT_COLUMNS = 512 };

static inline int row_shares(int rows) {
    return (rows + ACT_ROWS - 1) / ACT_ROWS;
}

static inline int column_shares(int k) {
    return (k + ACT_COLUMNS - 1) / ACT_COLUMNS;
}

// What a quantising task covers: rows [first, last) of the share, columns [from, to).
typedef struct ActPart {
    int first, last, from, to;
} ActPart;

// Of row_shares(n_rows) * column_shares(k) tasks; in the order of the rows, for input that workers have made
// row by row …
ActPart act_part_by_rows(int task, int k, int n_rows);
// … and in the order of the columns, for input that they have made column by column.
ActPart act_part_by_columns(int task, int k, int n_rows);

// A part of the share's row i, whose k values stand in `row`.
static inline void act_part_write(const Share *s, ActFormat format, const float *row, int k,
                                  const ActPart *part, int i) {
    void *tile = s->acts[format] + (size_t)(i / ACT_TILE_ROWS) * act_tile_bytes(format, k);
    s->kernels->act_write[format](row, k, part->from, part->to, tile, i % ACT_TILE_ROWS);
}

static inline int panels_of(int n) { // weight rows
    return (n + PANEL_ROWS - 1) / PANEL_ROWS;
}

// Up to three matrices with a common input, as one stage. A task takes its slice of each, so that the
// same worker makes the same columns of gate and up.
typedef struct Product {
    const Share *s;
    const Mat *mats[3];
    float *out[3];
    size_t stride[3];
    int n_mats, m;
    bool add;
    bool fetch_kv; // attention comes next: fetch the keys and values that it will read
    int n_tasks;   // run_product sets it
} Product;

void run_product(Product *p);

// Adds a product and a bias (or NULL) to the residual stream, normalised first where there is a norm for it.
void add_product(const Share *s, const Mat *m, const float *bias, const float *norm);

// Rows of x, normalised and written in the act formats that the following products want.
typedef struct NormStage {
    const Share *s;
    const float *weight;
    const int32_t *rows; // which rows of x, or NULL for all of the share in order
    float scale;         // of what comes out
    float *keep;         // [rows][n_embd] gets it as floats too; NULL: not wanted
    bool wanted[N_ACT_FORMATS];
} NormStage;

// For products with these matrices.
void run_norm(NormStage n, const Mat *const *mats, int n_mats);

#endif
