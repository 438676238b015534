#include "constrain/json_format.h"

#define YEAR "(000[1-9]|00[1-9]\\d|0[1-9]\\d\\d|[1-9]\\d{3})"
#define LEAP_YEAR "(\\d\\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
#define DAY_OF_MONTH                                                                                         \
    "((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))"
#define DATE "(" YEAR "-" DAY_OF_MONTH "|" LEAP_YEAR "-02-29)"
#define HOUR_MINUTE "([01]\\d|2[0-3]):[0-5]\\d"
#define TIME HOUR_MINUTE ":[0-5]\\d(\\.\\d{1,9})?(Z|[+-]" HOUR_MINUTE ")"
#define BYTE "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define HOST "(" LABEL "\\.){0,4}[A-Za-z]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define ATOM "[A-Za-z0-9_+-]"
#define GROUP "[0-9a-fA-F]{1,4}"
#define UUID_OF(version) "[0-9a-f]{8}-[0-9a-f]{4}-" version "[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
#define EMAIL ATOM "{1,30}(\\." ATOM "{1,15}){0,2}@(" LABEL "\\.){1,3}[A-Za-z]{2,20}"
#define URL_CHAR "[A-Za-z0-9._~!$&'()*+,;=:@-]"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "T" TIME},
    {"duration", "P(\\d{1,4}W|\\d{1,4}D(T\\d{1,4}(H(\\d{1,4}M(\\d{1,4}S)?)?|M(\\d{1,4}S)?|S))?"
                 "|\\d{1,4}(Y(\\d{1,4}M(\\d{1,4}D)?)?|M(\\d{1,4}D)?)"
                 "|T\\d{1,4}(H(\\d{1,4}M(\\d{1,4}S)?)?|M(\\d{1,4}S)?|S))"},
    {"uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"},
    {"uuid1", UUID_OF("1")},
    {"uuid3", UUID_OF("3")},
    {"uuid4", UUID_OF("4")},
    {"uuid5", UUID_OF("5")},
    {"email", EMAIL},
    {"idn-email", EMAIL},
    {"json-pointer", "(/([A-Za-z0-9_.-]|~[01]){0,60}){0,20}"},
    {"hostname", HOST},
    {"ipv4", BYTE "(\\." BYTE "){3}"},
    {"ipv6",
     "(" GROUP ":){7}" GROUP "|(" GROUP ":){1,7}:|(" GROUP ":){1,6}:" GROUP "|(" GROUP ":){1,5}(:" GROUP
     "){1,2}|(" GROUP ":){1,4}(:" GROUP "){1,3}|(" GROUP ":){1,3}(:" GROUP "){1,4}|(" GROUP ":){1,2}(:" GROUP
     "){1,5}|" GROUP ":(:" GROUP "){1,6}|::(" GROUP "(:" GROUP "){0,6})?"},
    {"uri", "https?://" HOST "(:[1-9]\\d{0,3})?(/" URL_CHAR "{0,60}){0,20}(\\?" URL_CHAR
            "{0,200})?(#" URL_CHAR "{0,100})?"},
};

bool json_format(Rules *r, Str name, Regex *out) {
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (str_eq(name, str_from(formats[i].name))) {
            *out = regex_parse(r, str_from(formats[i].pattern), CHARS_IN_JSON, true);
            return true;
        }
    return false;
}

const char *json_format_names(void) {
    return "date, time, date-time, duration, uuid, uuid1, uuid3, uuid4, uuid5, email, idn-email, hostname, ipv4, ipv6, "
           "json-pointer and uri";
}
