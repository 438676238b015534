#include "server/web_assets.h"

// The assembler reads the files, so their bytes never pass through the compiler. Their paths are relative to
// the folder of assets.def, which the Makefile names.
#define EMBED(symbol, file)                                                                                  \
    __asm__(".pushsection .rodata\n" symbol ":\n.incbin \"" file "\"\n.byte 0\n.popsection\n");

#define WEB_ASSET(n, file, media_type, tag, n_plain, n_gzip)                                                 \
    EMBED("web_plain_" #n, file)                                                                             \
    EMBED("web_gzip_" #n, file ".gz")                                                                        \
    extern const char web_plain_##n[], web_gzip_##n[];
#include <assets.def>
#undef WEB_ASSET

#define WEB_ASSET(n, file, media_type, tag, n_plain, n_gzip)                                                 \
    {file, media_type, "W/\"" tag "\"", {web_plain_##n, n_plain}, {web_gzip_##n, n_gzip}},
static const WebAsset assets[] = {
#include <assets.def>
    {0}, // a build without npm has no other
};

const WebAsset *web_asset(Str name) {
    for (const WebAsset *a = assets; a->name; a++)
        if (str_eq(name, str_from(a->name))) return a;
    return NULL;
}
