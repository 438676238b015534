#include "library/catalogue.h"

#include "base/nearest.h"

#include <stdint.h>

const CatalogueModel catalogue[] = {
#define MODEL(name_, parameters_, type_, gigabytes_, arch_, licence_, repo_)                                 \
    {.name = name_,                                                                                          \
     .parameters = parameters_,                                                                              \
     .type = type_,                                                                                          \
     .gigabytes = gigabytes_,                                                                                \
     .arch = arch_,                                                                                          \
     .licence = licence_,                                                                                    \
     .repo = repo_},
#include "library/catalogue.def"
};
const size_t n_catalogue = sizeof catalogue / sizeof catalogue[0];

const CatalogueModel *catalogue_find(Str name) {
    for (const CatalogueModel *m = catalogue; m < catalogue + n_catalogue; m++)
        if (str_eq(str_from(m->name), name)) return m;
    return NULL;
}

const CatalogueModel *catalogue_nearest(const char *name) {
    const CatalogueModel *best = NULL;
    Nearest near = nearest_to(name);
    for (const CatalogueModel *m = catalogue; m < catalogue + n_catalogue; m++)
        if (nearest_take(&near, m->name, 0)) best = m;
    return best;
}
