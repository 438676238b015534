#include "constrain/json_text.h"

enum { MAX_INDENT = 40, MAX_TABS = 10, MAX_FRACTION = 17, MAX_EXPONENT = 2 };

static const CodeRange digits[] = {{'0', '9'}};
static const CodeRange not_zero[] = {{'1', '9'}};
static const CodeRange hex[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};

static RxId one_of(Rules *r, const char *chars) {
    CodeRange ranges[16];
    int32_t n = 0;
    for (; chars[n]; n++) ranges[n] = (CodeRange){(uint8_t)chars[n], (uint8_t)chars[n]};
    return rx_class(r, ranges, n);
}

// \u with any code point but a surrogate, or with a pair of surrogates.
static RxId unicode_escape(Rules *r) {
    static const CodeRange not_d[] = {{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}};
    static const CodeRange high[] = {{'8', '9'}, {'A', 'B'}, {'a', 'b'}}, low[] = {{'C', 'F'}, {'c', 'f'}};
    RxId digit = rx_class(r, hex, 3), two = rx_repeat(r, digit, 2, 2), d = one_of(r, "dD"),
         u = rx_text(r, "\\u");
    RxId plain = RX_SEQ_OF(r, rx_class(r, not_d, 5), rx_repeat(r, digit, 3, 3));
    RxId below = RX_SEQ_OF(r, d, rx_class(r, &(CodeRange){'0', '7'}, 1), two);
    RxId pair = RX_SEQ_OF(r, d, rx_class(r, high, 3), two, u, d, rx_class(r, low, 2), two);
    return RX_SEQ_OF(r, u, RX_ALT_OF(r, plain, below, pair));
}

static RxId character(Rules *r) {
    static const CodeRange special[] = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
    RxId escape = RX_SEQ_OF(r, rx_text(r, "\\"), one_of(r, "\"\\/bfnrt"));
    return RX_ALT_OF(r, rx_not_class(r, special, 3), escape, unicode_escape(r));
}

static RxId space(Rules *r) {
    RxId indent = RX_ALT_OF(r, rx_repeat(r, rx_text(r, " "), 0, MAX_INDENT),
                            rx_repeat(r, rx_text(r, "\t"), 1, MAX_TABS));
    return rx_optional(r, RX_ALT_OF(r, rx_text(r, " "), RX_SEQ_OF(r, rx_text(r, "\n"), indent)));
}

JsonText json_text_of(Rules *r) {
    return (JsonText){
        .r = r,
        .space = space(r),
        .colon = RX_SEQ_OF(r, rx_text(r, ":"), rx_optional(r, rx_text(r, " "))),
        .character = character(r),
    };
}

RxId json_text_string(JsonText *t, int32_t min, int32_t max) {
    RxId quote = rx_text(t->r, "\"");
    return RX_SEQ_OF(t->r, quote, rx_repeat(t->r, t->character, min, max), quote);
}

static RxId whole_part(Rules *r) {
    RxId more = rx_repeat(r, rx_class(r, digits, 1), 0, JSON_MAX_DIGITS - 1);
    return RX_SEQ_OF(r, rx_optional(r, rx_text(r, "-")),
                     RX_ALT_OF(r, rx_text(r, "0"), RX_SEQ_OF(r, rx_class(r, not_zero, 1), more)));
}

RxId json_text_integer(JsonText *t) {
    return whole_part(t->r);
}

RxId json_text_number(JsonText *t) {
    Rules *r = t->r;
    RxId digit = rx_class(r, digits, 1);
    RxId fraction = RX_SEQ_OF(r, rx_text(r, "."), rx_repeat(r, digit, 1, MAX_FRACTION));
    RxId exponent =
        RX_SEQ_OF(r, one_of(r, "eE"), rx_optional(r, one_of(r, "+-")), rx_repeat(r, digit, 1, MAX_EXPONENT));
    return RX_SEQ_OF(r, whole_part(r), rx_optional(r, fraction), rx_optional(r, exponent));
}

RxId json_text_brackets(JsonText *t, const char *open, RxId inside, const char *close, bool optional) {
    Rules *r = t->r;
    RxId full = inside == RX_NOTHING_LEFT ? RX_NOTHING_LEFT : RX_SEQ_OF(r, inside, t->space);
    return RX_SEQ_OF(r, rx_text(r, open), t->space, optional ? rx_optional(r, full) : full,
                     rx_text(r, close));
}

RxId json_text_comma(JsonText *t) {
    return RX_SEQ_OF(t->r, rx_text(t->r, ","), t->space);
}

RxId json_text_member(JsonText *t, RxId name, RxId value) {
    return RX_SEQ_OF(t->r, name, t->colon, value);
}

// One or more, with commas.
static RxId list_of(JsonText *t, RxId one) {
    RxId more = RX_SEQ_OF(t->r, json_text_comma(t), one);
    return RX_SEQ_OF(t->r, one, rx_repeat(t->r, more, 0, RX_ENDLESS));
}

RxId json_text_object(JsonText *t) {
    if (t->r->failed) return RX_NOTHING_LEFT; // no rule would be made, and the two ask each other
    if (t->object) return rx_rule(t->r, t->object);
    t->object = rules_add(t->r, STR("object"));
    RxId member = json_text_member(t, json_text_string(t, 0, RX_ENDLESS), json_text_any(t));
    rules_define(t->r, t->object, json_text_brackets(t, "{", list_of(t, member), "}", true));
    return rx_rule(t->r, t->object);
}

RxId json_text_any(JsonText *t) {
    if (t->r->failed) return RX_NOTHING_LEFT;
    if (t->any) return rx_rule(t->r, t->any);
    t->any = rules_add(t->r, STR("value"));
    RxId array = json_text_brackets(t, "[", list_of(t, rx_rule(t->r, t->any)), "]", true);
    rules_define(t->r, t->any,
                 RX_ALT_OF(t->r, json_text_object(t), array, json_text_string(t, 0, RX_ENDLESS),
                           json_text_number(t), rx_text(t->r, "true"), rx_text(t->r, "false"),
                           rx_text(t->r, "null")));
    return rx_rule(t->r, t->any);
}
