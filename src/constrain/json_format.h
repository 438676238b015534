// Texts of the formats that JSON schemas name, as rules inside a string of JSON.
//
// Each is a subset of what the format's own definition allows (RFC 3339 for dates and times, with real
// days of months and without leap seconds; RFC 4122, 2673, 4291, 1123, 5321, 3986, ISO 8601): whatever is
// written so is valid.
// Thread: as Rules.
#ifndef CLLM_CONSTRAIN_JSON_FORMAT_H
#define CLLM_CONSTRAIN_JSON_FORMAT_H

#include "constrain/regex.h"

// The text between the quotes. false: there is no such format here.
bool json_format(Rules *r, Str name, Regex *out);
const char *json_format_names(void); // for messages

#endif
