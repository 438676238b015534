// Numbers of JSON within bounds, as rules over their digits.
//
// Whole numbers: exact for any bounds. Other numbers: without exponent, at most nine digits behind the
// point, and exact for bounds of as many digits; next to an excluded bound so large that a double no longer
// tells such neighbours apart there are only whole numbers.
// Thread: as Rules.
#ifndef CLLM_CONSTRAIN_JSON_NUMBER_H
#define CLLM_CONSTRAIN_JSON_NUMBER_H

#include "constrain/json_text.h"

typedef struct NumberBounds {
    bool has_min, has_max;
    int64_t min, max;
} NumberBounds;

enum { JSON_NO_NUMBER = -1, JSON_MAX_FRACTION = 9, JSON_MAX_MULTIPLE = 100, JSON_MAX_LISTED = 1000 };

typedef struct Decimal {
    bool given, negative;
    bool excluded; // as a bound: the number itself is out
    uint64_t whole;
    char fraction[JSON_MAX_FRACTION + 1]; // digits behind the point, without zeros at the end
} Decimal;

typedef struct DecimalBounds {
    Decimal min, max;
} DecimalBounds;

// The shortest decimal number that is read as `v`. false: it has too many digits.
bool decimal_of(double v, Decimal *out);

// JSON_NO_NUMBER: there is none.
RxId json_number_whole(Rules *r, const NumberBounds *b);
RxId json_number_within(Rules *r, const DecimalBounds *b);
// Multiples of m >= 1 within bounds, which must leave at most JSON_MAX_LISTED of them, or be absent or 0
// below with m at most JSON_MAX_MULTIPLE. Anything else: *unsupported.
RxId json_number_multiples(Rules *r, int64_t m, const NumberBounds *b, bool *unsupported);

#endif
