#include "engine/queue.h"
#include "harness.h"

#include <pthread.h>
#include <sched.h>

static void test_first_in_first_out_up_to_capacity(void **state) {
    (void)state;
    Queue q;
    assert_true(queue_init(&q, sizeof(int), 5, NULL));
    assert_int_equal(queue_room(&q), 8);
    int v = 0, next = 0, got;
    for (int round = 0; round < 100; round++) {
        while (queue_put(&q, &v)) v++;
        assert_int_equal(queue_room(&q), 0);
        assert_true(queue_commit(&q));
        for (int i = 0; i < 1 + round % 8; i++) {
            assert_true(queue_take(&q, &got));
            assert_int_equal(got, next++);
        }
    }
    queue_destroy(&q);
}

static void test_nothing_is_seen_before_commit(void **state) {
    (void)state;
    Queue q;
    int v = 7, got;
    assert_true(queue_init(&q, sizeof v, 4, NULL));
    assert_false(queue_commit(&q));
    queue_put(&q, &v);
    queue_put(&q, &v);
    assert_false(queue_take(&q, &got));
    assert_true(queue_commit(&q));
    assert_int_equal(queue_n(&q), 2);
    assert_true(queue_take(&q, &got) && queue_take(&q, &got) && !queue_take(&q, &got));
    queue_destroy(&q);
}

enum { MANY = 200000 };

static void *produce(void *arg) {
    Queue *q = arg;
    for (uint64_t i = 0; i < MANY; i++) {
        while (!queue_put(q, &i)) sched_yield();
        if (i % 3 == 0 || queue_room(q) == 0) queue_commit(q);
    }
    queue_commit(q);
    return NULL;
}

static void test_two_threads(void **state) {
    (void)state;
    Queue q;
    pthread_t thread;
    assert_true(queue_init(&q, sizeof(uint64_t), 64, NULL));
    assert_int_equal(pthread_create(&thread, NULL, produce, &q), 0);
    for (uint64_t want = 0, got; want < MANY; want++) {
        while (!queue_take(&q, &got)) sched_yield();
        assert_true(got == want);
    }
    pthread_join(thread, NULL);
    queue_destroy(&q);
}

SUITE(queue, cmocka_unit_test(test_first_in_first_out_up_to_capacity),
      cmocka_unit_test(test_nothing_is_seen_before_commit), cmocka_unit_test(test_two_threads))
