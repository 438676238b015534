// Turns: one at a time, in the order of asking, and nobody starves who asks beside one that never stops
// asking.
#include "harness.h"

#include "base/turns.h"

#include <stdatomic.h>
#include <time.h>

enum { N_THREADS = 5, N_ROUNDS = 200 };

typedef struct Table {
    Turns turns;
    _Atomic int inside, most_inside, n_taken;
    int order[N_THREADS]; // who came when
} Table;

typedef struct Guest {
    Table *table;
    int number;
    pthread_t thread;
} Guest;

static uint64_t n_asked(Turns *t) {
    pthread_mutex_lock(&t->lock);
    uint64_t n = t->next;
    pthread_mutex_unlock(&t->lock);
    return n;
}

static void wait_for_asked(Turns *t, uint64_t n) {
    while (n_asked(t) < n) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static void *take_once(void *arg) {
    Guest *g = arg;
    turns_take(&g->table->turns);
    g->table->order[g->table->n_taken++] = g->number;
    turns_give(&g->table->turns);
    return NULL;
}

static void test_order_of_asking(void **state) {
    (void)state;
    Table table = {.turns = TURNS_INIT};
    Guest guests[N_THREADS];
    turns_take(&table.turns);
    for (int i = 0; i < N_THREADS; i++) {
        guests[i] = (Guest){.table = &table, .number = i};
        assert_int_equal(pthread_create(&guests[i].thread, NULL, take_once, &guests[i]), 0);
        wait_for_asked(&table.turns, (uint64_t)i + 2);
    }
    assert_int_equal(table.n_taken, 0);
    turns_give(&table.turns);
    for (int i = 0; i < N_THREADS; i++) pthread_join(guests[i].thread, NULL);
    for (int i = 0; i < N_THREADS; i++) assert_int_equal(table.order[i], i);
}

static void *take_often(void *arg) {
    Guest *g = arg;
    for (int i = 0; i < N_ROUNDS; i++) {
        turns_take(&g->table->turns);
        int inside = ++g->table->inside;
        if (inside > g->table->most_inside) g->table->most_inside = inside;
        g->table->n_taken++;
        g->table->inside--;
        turns_give(&g->table->turns);
    }
    return NULL;
}

static void test_one_at_a_time(void **state) {
    (void)state;
    Table table = {.turns = TURNS_INIT};
    Guest guests[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        guests[i] = (Guest){.table = &table, .number = i};
        assert_int_equal(pthread_create(&guests[i].thread, NULL, take_often, &guests[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) pthread_join(guests[i].thread, NULL);
    assert_int_equal(table.most_inside, 1);
    assert_int_equal(table.n_taken, N_THREADS * N_ROUNDS);
}

// Who gives a turn back and asks again at once stands behind the one that has waited meanwhile.
static void test_no_starvation(void **state) {
    (void)state;
    Table table = {.turns = TURNS_INIT};
    Guest guest = {.table = &table, .number = 7};
    turns_take(&table.turns);
    assert_int_equal(pthread_create(&guest.thread, NULL, take_once, &guest), 0);
    wait_for_asked(&table.turns, 2);
    turns_give(&table.turns);
    turns_take(&table.turns);
    assert_int_equal(table.n_taken, 1);
    turns_give(&table.turns);
    pthread_join(guest.thread, NULL);
    assert_int_equal(table.order[0], 7);
}

SUITE(turns, cmocka_unit_test(test_order_of_asking), cmocka_unit_test(test_one_at_a_time),
      cmocka_unit_test(test_no_starvation))
