// The tensor directory: shapes, and where the data lies.
//
// Two passes: the directory has to be read to its end before the data section's start is known,
// only then can a tensor's place be checked. In between `data` is NULL and the offset is kept aside.
#include "gguf/gguf_parse.h"
#include "base/num.h"

#include <stdlib.h>

static bool bad(Err *err, ErrCode code, const GgufTensor *t, const char *what) {
    char shown[GGUF_SHOWN_BYTES];
    return err_set(err, code, "tensor '%s' %s", gguf_show(t->name, shown), what);
}

static bool ends_inside(const GgufTensor *t, Err *err) {
    return bad(err, ERR_INVALID, t, "is cut off, the file ends inside its description: " GGUF_FETCH_AGAIN);
}

static bool take_dims(GgufCursor *c, GgufTensor *t, Err *err) {
    char shown[GGUF_SHOWN_BYTES];
    if (!gguf_take_u32(c, &t->n_dims)) return ends_inside(t, err);
    if (t->n_dims < 1 || t->n_dims > 4)
        return err_set(err, ERR_INVALID, "tensor '%s' has %u dimensions; 1 to 4 are allowed",
                       gguf_show(t->name, shown), t->n_dims);
    for (uint32_t i = 0; i < 4; i++) {
        t->dims[i] = 1;
        if (i >= t->n_dims) continue;
        if (!gguf_take_u64(c, &t->dims[i])) return ends_inside(t, err);
        if (t->dims[i] == 0)
            return err_set(err, ERR_INVALID, "tensor '%s' has a dimension of size 0",
                           gguf_show(t->name, shown));
    }
    return true;
}

static bool take_type(GgufCursor *c, GgufTensor *t, Err *err) {
    uint32_t type;
    if (!gguf_take_u32(c, &type)) return ends_inside(t, err);
    t->type = (GgufType)type;
    if (gguf_type_info(t->type)) return true;
    char shown[GGUF_SHOWN_BYTES];
    char names[160];
    return err_set(err, ERR_UNSUPPORTED,
                   "tensor '%s' has the element type %u, which is not supported (these are: %s)",
                   gguf_show(t->name, shown), type, gguf_type_names(names, sizeof names));
}

static bool size_tensor(GgufTensor *t, Err *err) {
    const GgufTypeInfo *info = gguf_type_info(t->type);
    char shown[GGUF_SHOWN_BYTES];
    if (t->dims[0] % info->block_elems)
        return err_set(
            err, ERR_INVALID, "tensor '%s' has rows of %llu elements, not a multiple of %s's block of %u",
            gguf_show(t->name, shown), (unsigned long long)t->dims[0], info->name, info->block_elems);
    // The product of elements must not wrap either: callers multiply dimensions without a second thought.
    size_t elems = 1;
    bool ok = true;
    for (int i = 0; i < 4; i++)
        ok = ok && t->dims[i] <= SIZE_MAX / 8 && num_mul(elems, (size_t)t->dims[i], &elems);
    ok = ok && elems <= SIZE_MAX / 8 &&
         num_mul((size_t)t->dims[0] / info->block_elems, info->block_bytes, &t->row_bytes) &&
         num_mul(elems / (size_t)t->dims[0], t->row_bytes, &t->n_bytes);
    return ok || bad(err, ERR_INVALID, t, "has a shape whose size overflows");
}

static bool take_tensor(Gguf *g, GgufCursor *c, uint32_t i, uint64_t *offset, Err *err) {
    GgufTensor *t = &g->tensors[i];
    if (!gguf_take_name(c, "tensor", i, &t->name, err) || !take_dims(c, t, err) || !take_type(c, t, err))
        return false;
    if (!gguf_take_u64(c, offset)) return ends_inside(t, err);
    if (!size_tensor(t, err)) return false;
    if (!gguf_index_add(&g->tensor_index, g->tensors, sizeof *g->tensors, i))
        return bad(err, ERR_INVALID, t, "occurs twice");
    return true;
}

static bool place_tensor(const Gguf *g, size_t data_start, uint64_t offset, GgufTensor *t, Err *err) {
    char shown[GGUF_SHOWN_BYTES];
    if (offset % g->alignment)
        return err_set(err, ERR_INVALID,
                       "tensor '%s' lies at offset %llu, not a multiple of the alignment %u",
                       gguf_show(t->name, shown), (unsigned long long)offset, g->alignment);
    size_t start;
    size_t end;
    bool inside = offset <= SIZE_MAX && num_add(data_start, (size_t)offset, &start) &&
                  num_add(start, t->n_bytes, &end) && end <= g->size;
    if (!inside)
        return err_set(
            err, ERR_INVALID,
            "the %zu bytes of tensor '%s' at offset %llu pass the file's end (%zu bytes): " GGUF_FETCH_AGAIN,
            t->n_bytes, gguf_show(t->name, shown), (unsigned long long)offset, g->size);
    t->data = g->base + start;
    return true;
}

static bool place_tensors(Gguf *g, size_t directory_end, const uint64_t *offsets, Err *err) {
    size_t data_start;
    if (!num_align(directory_end, g->alignment, &data_start))
        return err_set(err, ERR_LIMIT, "the tensor directory is too large");
    for (uint32_t i = 0; i < g->n_tensors; i++)
        if (!place_tensor(g, data_start, offsets[i], &g->tensors[i], err)) return false;
    return true;
}

bool gguf_parse_tensors(Gguf *g, GgufCursor *c, uint64_t n, Err *err) {
    // Again, with what the keys left over: this bounds the allocation.
    if (!gguf_check_count(c, "tensor", n, GGUF_MIN_TENSOR_BYTES, err)) return false;
    if (!gguf_index_init(&g->tensor_index, (uint32_t)n, err)) return false;
    g->tensors = calloc(n ? n : 1, sizeof *g->tensors);
    uint64_t *offsets = calloc(n ? n : 1, sizeof *offsets);
    bool ok = g->tensors && offsets;
    if (!ok) err_set(err, ERR_NOMEM, "out of memory for the tensor directory");
    while (ok && g->n_tensors < n) {
        ok = take_tensor(g, c, g->n_tensors, &offsets[g->n_tensors], err);
        g->n_tensors += ok;
    }
    ok = ok && place_tensors(g, c->at, offsets, err);
    free(offsets);
    return ok;
}

uint64_t gguf_n_tensors(const Gguf *g) {
    return g->n_tensors;
}

const GgufTensor *gguf_tensor(const Gguf *g, uint64_t i) {
    CHECK(i < g->n_tensors);
    return &g->tensors[i];
}

const GgufTensor *gguf_find_tensor(const Gguf *g, const char *name) {
    uint32_t i;
    bool there = gguf_index_find(&g->tensor_index, g->tensors, sizeof *g->tensors, str_from(name), &i);
    return there ? &g->tensors[i] : NULL;
}
