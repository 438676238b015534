// `cllm list`: the models of the library, or those that can be fetched by name.
#include "cli/commands.h"

#include "api/pool_size.h"
#include "base/printable.h"
#include "cli/fetch.h"
#include "cli/runnable.h"
#include "gguf/quantization.h"
#include "model/arch.h"

#include <jansson.h>
#include <stdlib.h>

// What a model file says of itself.
typedef struct Facts {
    char type[24], arch[32];
    const char *state; // "" when it can be run
} Facts;

static Facts read_facts(const Library *l, const LibraryModel *m) {
    char path[LIBRARY_PATH_MAX];
    Facts f = {.type = "?", .arch = "?", .state = "damaged"};
    Str arch;
    if (m->unfinished) return (Facts){.type = "-", .arch = "-", .state = "unfinished"};
    library_path(l, m->name, ".gguf", path);
    Gguf *g = gguf_open(path, NULL);
    if (!g) return f;
    snprintf(f.type, sizeof f.type, "%s", quantization_name(g));
    if (gguf_get_str(g, "general.architecture", &arch) && arch.len < sizeof f.arch)
        snprintf(f.arch, sizeof f.arch, "%.*s", (int)arch.len, arch.ptr);
    make_printable(f.arch);
    f.state = gguf_is_runnable(g, NULL) ? "" : "cannot be run";
    gguf_close(g);
    return f;
}

// ---- the library ----

static int name_width(const LibraryModel *models, size_t n) {
    size_t width = 4;
    for (size_t i = 0; i < n; i++)
        if (strlen(models[i].name) > width) width = strlen(models[i].name);
    return (int)width;
}

static void print_models(const Library *l, const LibraryModel *models, size_t n) {
    int width = name_width(models, n);
    printf("%-*s  %8s  %-8s  %-12s  %-12s  %-10s\n", width, "NAME", "SIZE", "TYPE", "ARCHITECTURE", "LICENCE",
           "FETCHED");
    for (size_t i = 0; i < n; i++) {
        char size[24];
        const ModelRecord *r = &models[i].record;
        Facts f = read_facts(l, &models[i]);
        format_bytes(models[i].bytes, size);
        printf("%-*s  %8s  %-8s  %-12s  %-12s  %-10.10s%s%s\n", width, models[i].name, size, f.type, f.arch,
               r->licence[0] ? r->licence : "-", r->fetched[0] ? r->fetched : "-", f.state[0] ? "  " : "",
               f.state);
    }
}

static json_t *json_model(const Library *l, const LibraryModel *m) {
    char path[LIBRARY_PATH_MAX];
    Facts f = read_facts(l, m);
    library_path(l, m->name, m->unfinished ? ".part" : ".gguf", path);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:b, s:b, s:s, s:s, s:s, s:s}", "name", m->name, "path", path,
                     "bytes", (json_int_t)m->bytes, "type", f.type, "architecture", f.arch, "runnable",
                     !f.state[0], "unfinished", m->unfinished, "source", m->record.source, "licence",
                     m->record.licence, "sha256", m->record.sha256, "fetched", m->record.fetched);
}

// ---- the catalogue ----

// Whether the weights alone are more than the machine's memory.
static bool is_too_large(const CatalogueModel *m) {
    Memory memory;
    return memory_read(&memory) && m->gigabytes * 1e9 > (double)memory.total;
}

static const char *catalogue_state(const Library *l, const CatalogueModel *m) {
    LibraryModel there;
    if (library_find(l, m->name, &there)) return "in the library";
    return is_too_large(m) ? "too large here" : "";
}

// No wider than a terminal; --json has the rest.
static void print_catalogue(const Library *l) {
    printf("%-19s  %10s  %8s  %-7s  %-10s  %s\n", "NAME", "PARAMETERS", "SIZE", "TYPE", "LICENCE", "STATE");
    for (const CatalogueModel *m = catalogue; m < catalogue + n_catalogue; m++)
        printf("%-19s  %10s  %5.1f GB  %-7s  %-10s  %s\n", m->name, m->parameters, m->gigabytes, m->type,
               m->licence, catalogue_state(l, m));
}

static json_t *json_catalogue_model(const Library *l, const CatalogueModel *m) {
    LibraryModel there;
    return json_pack("{s:s, s:s, s:f, s:s, s:s, s:s, s:s+, s:b}", "name", m->name, "parameters",
                     m->parameters, "gigabytes", m->gigabytes, "type", m->type, "architecture", m->arch,
                     "licence", m->licence, "source", "hf:", m->repo, "in_library",
                     library_find(l, m->name, &there));
}

// ---- the command ----

// Takes the array over.
static bool print_json(json_t *list, bool complete, Err *err) {
    bool ok = list && complete && json_dumpf(list, stdout, JSON_INDENT(2)) == 0;
    if (ok) putchar('\n');
    json_decref(list);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

static bool list_catalogue(const Options *o, const Library *l, Err *err) {
    for (size_t i = 0; o->quiet && i < n_catalogue; i++) puts(catalogue[i].name);
    if (o->quiet) return true;
    if (!o->json) {
        print_catalogue(l);
        return true;
    }
    json_t *list = json_array();
    bool ok = true;
    for (size_t i = 0; ok && i < n_catalogue; i++)
        ok = json_array_append_new(list, json_catalogue_model(l, &catalogue[i])) == 0;
    return print_json(list, ok, err);
}

static bool list_models(const Options *o, const Library *l, Err *err) {
    LibraryModel *models;
    size_t n;
    bool ok = library_list(l, &models, &n, err);
    for (size_t i = 0; ok && o->quiet && i < n; i++)
        if (!models[i].unfinished) puts(models[i].name);
    if (o->quiet) {
        free(models);
        return ok;
    }
    if (ok && o->json) {
        json_t *list = json_array();
        bool complete = true;
        for (size_t i = 0; complete && i < n; i++)
            complete = json_array_append_new(list, json_model(l, &models[i])) == 0;
        ok = print_json(list, complete, err);
    } else if (ok && n) {
        print_models(l, models, n);
    } else if (ok) {
        fprintf(stderr, "The library (%s) is empty; `cllm list --catalogue` shows what `cllm pull` knows.\n",
                l->folder);
    }
    free(models);
    return ok;
}

static bool list(Options *o, int *code, Err *err) {
    (void)code;
    Library l;
    if (!library_open(o->models, &l, err)) return false;
    return o->catalogue ? list_catalogue(o, &l, err) : list_models(o, &l, err);
}

int cmd_list(int argc, char **argv) {
    return command_main(COMMAND_LIST, argc, argv, list);
}
