// What libevent is told before it is used: its memory comes from base/reserve.h, and its warnings go to the
// log. Call it once, before anything else of libevent.
#ifndef CLLM_SERVER_EVENT_SETUP_H
#define CLLM_SERVER_EVENT_SETUP_H

void event_setup(void);

#endif
