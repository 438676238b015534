#include "chat/reasoning.h"

// The first whose opening or closing mark stands in the template.
static const ReasoningMarks known[] = {
    {"channels",
     {STR("<|channel|>analysis<|message|>"), STR("<|start|>assistant<|channel|>analysis<|message|>")},
     STR("<|end|>"),
     true},
    {"seed", {STR("<seed:think>")}, STR("</seed:think>"), false},
    {"brackets", {STR("[THINK]")}, STR("[/THINK]"), false},
    {"command", {STR("<|START_THINKING|>")}, STR("<|END_THINKING|>"), false},
    {"granite", {STR("Here is my thought process:")}, STR("Here is my response:"), false},
    {"think", {STR("<think>")}, STR("</think>"), false},
};

const ReasoningMarks *reasoning_detect(Str source) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        Str close = known[i].again ? STR("<|channel|>analysis") : known[i].close; // <|end|> is no sign
        if (str_contains(source, known[i].open[0]) || str_contains(source, close)) return &known[i];
    }
    return NULL;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool reasoning_is_open(const ReasoningMarks *m, Str prompt_end) {
    while (prompt_end.len && is_space(prompt_end.ptr[prompt_end.len - 1])) prompt_end.len--;
    Str open = m->open[0];
    return prompt_end.len >= open.len && str_eq(open, str_skip(prompt_end, prompt_end.len - open.len));
}

void reasoning_init(ReasoningSplitter *s, const ReasoningMarks *m, bool open, ReasoningSink *sink,
                    void *user) {
    *s = (ReasoningSplitter){
        .marks = m, .sink = sink, .user = user, .state = open ? REASONING_OPENED : REASONING_BEFORE};
}

void reasoning_free(ReasoningSplitter *s) {
    buf_free(&s->held);
    buf_free(&s->out);
}

bool reasoning_is_inside(const ReasoningSplitter *s) {
    return s->state == REASONING_OPENED || s->state == REASONING_INSIDE;
}

static void flush(ReasoningSplitter *s) {
    if (s->out.len && !s->out.failed) s->sink(s->user, reasoning_is_inside(s), buf_str(&s->out));
    s->out.len = 0; // a failure sticks
}

static void enter(ReasoningSplitter *s, int state) {
    flush(s);
    s->state = state;
}

static void release(ReasoningSplitter *s, size_t n) {
    buf_put(&s->out, str_sub(buf_str(&s->held), 0, n));
    buf_drop_front(&s->held, n);
    s->mark = 0;
}

static bool may_be(const ReasoningSplitter *s, Str mark, bool *whole) {
    const ReasoningMarks *m = s->marks;
    const Str wanted[2] = {s->state == REASONING_INSIDE ? m->close : m->open[0],
                           s->state == REASONING_INSIDE ? (Str){0} : m->open[1]};
    for (int i = 0; i < 2; i++) {
        if (!str_starts_with(wanted[i], mark)) continue;
        *whole = wanted[i].len == mark.len;
        return true;
    }
    return false;
}

static void take_mark(ReasoningSplitter *s) {
    int after = s->marks->again ? REASONING_BEFORE : REASONING_AFTER;
    s->held.len = s->mark = 0;
    enter(s, s->state == REASONING_INSIDE ? after : REASONING_OPENED);
}

static void feed(ReasoningSplitter *s, char c);

// What is held is no mark.
static void refuse_mark(ReasoningSplitter *s, char c) {
    if (s->state == REASONING_BEFORE) {
        enter(s, REASONING_TEXT);
        release(s, s->held.len);
    } else if (s->state == REASONING_OPENED) { // nor the white space after one part of the thinking
        buf_drop_front(&s->held, s->mark);
        enter(s, REASONING_INSIDE);
        Buf rest = s->held;
        s->held = (Buf){0};
        s->mark = 0;
        for (size_t i = 0; i < rest.len; i++) feed(s, rest.ptr[i]);
        buf_free(&rest);
    } else if (s->held.len - s->mark > 1) { // the last byte may begin something
        s->held.len--;
        release(s, s->held.len);
        feed(s, c);
    } else {
        release(s, s->held.len);
    }
}

static void feed_mark(ReasoningSplitter *s, char c) {
    bool whole = false;
    buf_putc(&s->held, c);
    if (s->held.failed) return;
    Str mark = str_skip(buf_str(&s->held), s->mark);
    if (mark.len == 1 && is_space(c))
        s->mark++;
    else if (!may_be(s, mark, &whole))
        refuse_mark(s, c);
    else if (whole)
        take_mark(s);
}

static void feed(ReasoningSplitter *s, char c) {
    if (s->state == REASONING_AFTER && !is_space(c)) enter(s, REASONING_TEXT);
    if (s->state == REASONING_TEXT)
        buf_putc(&s->out, c);
    else if (s->state != REASONING_AFTER)
        feed_mark(s, c);
}

bool reasoning_push(ReasoningSplitter *s, Str text) {
    for (size_t i = 0; i < text.len; i++) feed(s, text.ptr[i]);
    flush(s);
    return !s->held.failed && !s->out.failed;
}

bool reasoning_finish(ReasoningSplitter *s) {
    if (!reasoning_is_inside(s) || s->held.len > s->mark) release(s, s->held.len);
    flush(s);
    return !s->held.failed && !s->out.failed;
}

static void ignore(void *user, bool is_reasoning, Str text) {
    (void)user, (void)is_reasoning, (void)text;
}

bool reasoning_is_unfinished(const ReasoningMarks *m, Str text) {
    ReasoningSplitter s;
    reasoning_init(&s, m, false, ignore, NULL);
    bool inside = reasoning_push(&s, text) && reasoning_is_inside(&s);
    reasoning_free(&s);
    return inside;
}
