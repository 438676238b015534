// The models that can be fetched by name: a table that is part of the program (catalogue.def).
//
// Thread: any; everything is constant.
#ifndef CLLM_LIBRARY_CATALOGUE_H
#define CLLM_LIBRARY_CATALOGUE_H

#include "base/str.h"

typedef struct CatalogueModel {
    const char *name, *parameters;
    const char *type; // the quantisation that the name alone means
    double gigabytes; // about
    const char *arch, *licence, *repo;
} CatalogueModel;

extern const CatalogueModel catalogue[];
extern const size_t n_catalogue;

const CatalogueModel *catalogue_find(Str name);            // NULL: it has none of that name
const CatalogueModel *catalogue_nearest(const char *name); // the one that may be meant; NULL: none

#endif
