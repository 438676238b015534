#include "server/api_openapi.h"

// The assembler reads the file, see web_assets.c; the Makefile names its folder.
__asm__(".pushsection .rodata\nopenapi_json:\n.incbin \"openapi.json\"\nopenapi_json_end:\n.popsection\n");
extern const char openapi_json[], openapi_json_end[];

void api_openapi(App *app, HttpExchange *x, Str tail) {
    (void)app, (void)tail;
    http_reply(x, 200, "application/json", (Str){openapi_json, (size_t)(openapi_json_end - openapi_json)});
}
