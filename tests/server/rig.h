// A whole server in the test's process: the real loop and engine over a fake model, a vocabulary of
// bytes, a free port; and a blocking client.
#ifndef CLLM_TESTS_SERVER_RIG_H
#define CLLM_TESTS_SERVER_RIG_H

#include "engine/fake_model.h"
#include "server/server.h"
#include "text/tiny_vocab.h"

#include <pthread.h>

enum { RIG_SCRIPTS = 4 };

typedef struct Rig {
    ServerConfig config;
    EngineConfig limits;
    int32_t context;
    bool fills_in;               // the vocabulary has tokens to fill in the middle by
    const char *template_source; // NULL: the model has no chat template
    const char *control_token;   // one more in the vocabulary; NULL: none
    ChatTemplate *chat_template;
    GrammarStore *grammars;
    TinyVocab vocab;
    FakeModel *model;
    TokenList tokens[RIG_SCRIPTS]; // of the scripts, all of which live as long as the engine
    FakeScript scripts[RIG_SCRIPTS];
    int n_scripts;
    Workers *workers;
    Engine *engine;
    Server *server;
    pthread_t thread;
    bool ok; // what server_run returned
    Err err;
} Rig;

void rig_defaults(Rig *r);
void rig_listen(Rig *r); // starts the loop; the model is still loading
void rig_attach(Rig *r); // ready
void rig_join(Rig *r);   // stops twice and joins: engines may be freed, and then the server
void rig_close(Rig *r);  // the same, checks that nothing is left and frees it

// From now on the model's answers to prompts that end in <|im_start|> are this text. RIG_SCRIPTS times at
// most.
void rig_say(Rig *r, const char *text);

int rig_connect(const Rig *r, int receive_buffer);
int rig_send(const Rig *r, const char *method, const char *path, const char *body); // a socket, nothing read
void rig_read(int fd, Buf *out);                                                    // until closed; closes
void rig_leave(int fd);                                                             // closes at once
char *rig_padded(const char *fields, size_t n); // the fields of an object, and blanks up to n bytes; malloc
// The whole answer to one request; returns its status.
int rig_ask(const Rig *r, const char *method, const char *path, const char *body, Buf *answer);
void rig_wait(const Rig *r, int32_t running, int32_t waiting); // until the engine has these

#endif
