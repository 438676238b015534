// The stages that the blocks of a layer are made of: norm and quantise, products, adding to the residual
// stream.
//
// Each is one parallel-for over tasks that write disjoint parts of a buffer. Quantising is cut by columns as
// well as by tiles of rows, since a decoding step has few tiles.
//
// Thread: whoever computes the share.
#ifndef CLLM_MODEL_STAGES_H
#define CLLM_MODEL_STAGES_H

#include "kernels/packed.h"
#include "model/share.h"

static inline int n_tiles(int rows) {
    return (rows + ACT_TILE_ROWS - 1) / ACT_TILE_ROWS;
}

enum { ACT_COLUMNS = 512 }; // columns of a quantising task; a multiple of every act block

static inline int column_shares(int k) {
    return (k + ACT_COLUMNS - 1) / ACT_COLUMNS;
}

// What a quantising task covers: rows [first, last) of one tile, columns [from, to).
typedef struct ActPart {
    int tile, first, last, from, to;
} ActPart;

// Of n_tiles(n_rows) * column_shares(k) tasks; in the order of the rows, for input that workers have made row
// by row …
ActPart act_part_by_rows(int task, int k, int n_rows);
// … and in the order of the columns, for input that they have made column by column.
ActPart act_part_by_columns(int task, int k, int n_rows);

// A tile of the share's rows.
static inline void *act_tile(const Share *s, ActFormat format, int k, int tile) {
    return s->acts[format] + (size_t)tile * act_tile_bytes(format, k);
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
