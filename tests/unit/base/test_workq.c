#include "base/workq.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int running, most, done_count;
static bool is_open;

struct item {
    struct work work;
    int ran;
};

/* Counts itself in, and stays until the gate opens. */
static void run_gated(struct work *w, void *ctx)
{
    struct item *item = (struct item *)w;

    (void)ctx;
    pthread_mutex_lock(&lock);
    item->ran++;
    running++;
    if (running > most)
        most = running;
    pthread_cond_broadcast(&changed);
    while (!is_open)
        pthread_cond_wait(&changed, &lock);
    running--;
    done_count++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void run_free(struct work *w, void *ctx)
{
    struct item *item = (struct item *)w;

    (void)ctx;
    pthread_mutex_lock(&lock);
    item->ran++;
    done_count++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_until(const int *what, int value)
{
    pthread_mutex_lock(&lock);
    while (*what < value)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* A full class keeps no other class waiting, and never passes its limit. */
static void test_classes(void **state)
{
    struct workq_opts opts = {.limit = {2, 1, 1}};
    struct item bodies[20] = {0}, reads[20] = {0};
    struct workq *q = NULL;
    struct err e;

    (void)state;
    running = most = done_count = 0;
    is_open = false;
    assert_int_equal(workq_new(&opts, &q, &e), 0);
    for (int i = 0; i < 20; i++) {
        bodies[i].work.run = run_gated;
        workq_submit(q, WORK_BODY, &bodies[i].work);
    }
    wait_until(&running, 2);
    for (int i = 0; i < 20; i++) {
        reads[i].work.run = run_free;
        workq_submit(q, WORK_READ, &reads[i].work);
    }
    wait_until(&done_count, 20);
    pthread_mutex_lock(&lock);
    assert_int_equal(most, 2);
    is_open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    workq_free(q); /* runs the bodies that still wait */
    assert_int_equal(done_count, 40);
    assert_int_equal(most, 2);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(bodies[i].ran, 1);
        assert_int_equal(reads[i].ran, 1);
    }
}

static atomic_int contexts;

static int make_context(void *arg, void **ctx, struct err *e)
{
    (void)e;
    atomic_fetch_add(&contexts, 1);
    *ctx = arg;
    return 0;
}

/* The third of them cannot be made. */
static int make_two(void *arg, void **ctx, struct err *e)
{
    if (atomic_fetch_add(&contexts, 1) == 2) {
        atomic_fetch_sub(&contexts, 1);
        return err_set(e, ERR_IO, "no third");
    }
    *ctx = arg;
    return 0;
}

static void drop_context(void *ctx)
{
    if (ctx == &contexts)
        atomic_fetch_sub(&contexts, 1);
}

static void run_context(struct work *w, void *ctx)
{
    ((struct item *)w)->ran = ctx == &contexts;
}

static void test_contexts(void **state)
{
    struct workq_opts opts = {.limit = {1, 1, 1},
                              .init = make_context,
                              .fini = drop_context,
                              .arg = &contexts};
    struct item item = {.work.run = run_context};
    struct workq *q = NULL;
    struct err e;

    (void)state;
    assert_int_equal(workq_new(&opts, &q, &e), 0);
    workq_submit(q, WORK_SLOW, &item.work);
    workq_free(q);
    assert_int_equal(item.ran, 1);
    assert_int_equal(atomic_load(&contexts), 0);
    workq_free(NULL);
}

static void test_failing_context(void **state)
{
    struct workq_opts opts = {.limit = {1, 1, 1},
                              .init = make_two,
                              .fini = drop_context,
                              .arg = &contexts};
    struct workq *q = NULL;
    struct err e;

    (void)state;
    assert_int_equal(workq_new(&opts, &q, &e), -1);
    assert_null(q);
    assert_int_equal(e.code, ERR_IO);
    assert_string_equal(e.msg, "start worker thread: no third");
    assert_int_equal(atomic_load(&contexts), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_failing_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
