#include "server/event_setup.h"

#include "base/log.h"
#include "base/reserve.h"

#include <event2/event.h>

static void *take(size_t n) {
    return reserve_malloc(n, NULL);
}

static void on_words(int severity, const char *words) {
    if (severity != EVENT_LOG_DEBUG)
        log_event(severity == EVENT_LOG_ERR ? LOG_ERROR : LOG_WARN, "libevent", "what", words, NULL);
}

void event_setup(void) {
    event_set_mem_functions(take, reserve_realloc, reserve_free);
    event_set_log_callback(on_words);
}
