// The parts of the translation of JSON schemas that call each other: one for each kind of value.
//
// Each gives the texts of the values of its kind that fit, or SCHEMA_NOTHING if there are none; a failure is
// recorded in s->r. Schemas given to the kinds have neither $ref nor combinations of schemas any more.
// Thread: belongs to one translation.
#ifndef CLLM_CONSTRAIN_SCHEMA_EMIT_H
#define CLLM_CONSTRAIN_SCHEMA_EMIT_H

#include "constrain/schema_parts.h"

RxId schema_rx(Schemas *s, const json_t *schema); // json_schema.c: any schema
RxId schema_string_rx(Schemas *s, const json_t *schema);
RxId schema_array_rx(Schemas *s, const json_t *schema);
RxId schema_object_rx(Schemas *s, const json_t *schema);

#endif
