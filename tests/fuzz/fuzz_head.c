// Fuzz target: the head of a request as bytes. What is found good ends where it says, holds nothing that
// could be read in another way, and was the beginning of a good head at each byte; what is found bad stays
// bad whatever follows.
#include "base/err.h"
#include "server/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { LIMIT = 600 };

static void check_view(Str whole, Str view) {
    if (view.len == 0 || str_eq(view, STR("/"))) return; // the path of a target without one is a constant
    CHECK(view.ptr >= whole.ptr && view.ptr + view.len <= whole.ptr + whole.len);
}

static void check_good(Str bytes, const HttpHead *h) {
    HttpHead again;
    Str head = str_sub(bytes, 0, h->size);
    CHECK(h->size <= bytes.len && h->size <= LIMIT);
    CHECK(h->size >= 4 && memcmp(head.ptr + h->size - 4, "\r\n\r\n", 4) == 0);
    for (size_t i = 0; i < head.len; i++) {
        bool ends = i > 0 && head.ptr[i] == '\n' && head.ptr[i - 1] == '\r';
        CHECK(head.ptr[i] && (head.ptr[i] != '\n' || ends) &&
              (head.ptr[i] != '\r' || head.ptr[i + 1] == '\n'));
    }
    check_view(head, h->method);
    check_view(head, h->path);
    check_view(head, h->authorization);
    check_view(head, h->x_api_key);
    check_view(head, h->origin);
    CHECK(h->path.len > 0 && !(h->chunked && h->has_length));
    CHECK(http_head_read(head, LIMIT, &again) == HEAD_GOOD && again.length == h->length);
    for (size_t i = 0; i < h->size; i++)
        CHECK(http_head_read(str_sub(head, 0, i), LIMIT, &again) == HEAD_MORE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    HttpHead h, before;
    Str bytes = {(const char *)data, n};
    HeadResult result = http_head_read(bytes, LIMIT, &h);
    if (result == HEAD_GOOD) check_good(bytes, &h);
    if (result == HEAD_BAD) CHECK(h.status >= 400 && h.status < 600 && h.message);
    if (n && http_head_read(str_sub(bytes, 0, n - 1), LIMIT, &before) == HEAD_BAD) CHECK(result == HEAD_BAD);
    return 0;
}
