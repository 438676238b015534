// The files of the page, embedded by the build: build/web/assets.def names them (web/build.js writes it).
//
// A build without npm has none, and web_asset finds nothing.
#ifndef CLLM_SERVER_WEB_ASSETS_H
#define CLLM_SERVER_WEB_ASSETS_H

#include "base/str.h"

typedef struct WebAsset {
    const char *name, *type; // "app.js"; its media type
    const char *etag;        // of the content; weak, since both forms have it
    Str plain, gzip;         // the same content; gzip is empty where it would save nothing
} WebAsset;

const WebAsset *web_asset(Str name); // NULL: there is no such file

#endif
