// The models of `cllm serve`: which they are, and their loading and unloading.
//
// One thread loads and unloads, one model at a time, as the server asks (ModelHost in server.h). When a model has
// been loaded, a thread of its own makes ready what its first requests would wait for.
//
// Thread: all functions on the main one.
#ifndef CLLM_CLI_MODEL_HOST_H
#define CLLM_CLI_MODEL_HOST_H

#include "api/runtime.h"
#include "cli/options.h"
#include "server/server.h"

typedef struct ModelHosting ModelHosting;

// Finds the models that *o names, fetching those that are not there, and, of several, reads what their files say.
// *o is borrowed. NULL: *err tells, and *code if Ctrl-C ended it.
ModelHosting *model_hosting_new(const Options *o, int *code, Err *err);
void model_hosting_config(const ModelHosting *h, ServerConfig *config); // its models, host and bounds

// Begins to load the first model for `server`, which is borrowed until model_hosting_stop. on_first: told on another
// thread when it is there.
typedef void (*ModelHostingReady)(void *user, const Runtime *first);
bool model_hosting_start(ModelHosting *h, Server *server, ModelHostingReady on_first, void *user, Err *err);
// After server_run: unloads all. A model that is being loaded is given up.
void model_hosting_stop(ModelHosting *h);
void model_hosting_free(ModelHosting *h); // after server_free; NULL is allowed

// What people call the models, for `cllm ps`.
const char *model_hosting_summary(const ModelHosting *h);

#endif
