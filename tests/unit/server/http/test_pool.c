#include "server/http/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void test_quota(void **state)
{
    struct quota q = {.max = 100};

    (void)state;
    assert_true(quota_take(&q, 60));
    assert_false(quota_take(&q, 41));
    assert_true(quota_take(&q, 40));
    assert_false(quota_take(&q, 1));
    assert_false(quota_take(&q, SIZE_MAX));
    assert_true(quota_take(&q, 0));
    quota_give(&q, 40);
    assert_true(quota_take(&q, 1));
    quota_give(&q, 61);
    assert_int_equal(atomic_load(&q.used), 0);
}

struct asker {
    struct quota *q;
    atomic_bool is_over;
};

/* Asks for more than there is, again and again. */
static void *ask_too_much(void *arg)
{
    struct asker *a = arg;

    while (!atomic_load(&a->is_over)) {
        if (quota_take(a->q, a->q->max + 1))
            return a;
    }
    return NULL;
}

/* Who is refused takes nothing away from the others, not for a moment. */
static void test_refused_meanwhile(void **state)
{
    struct quota q = {.max = 100};
    struct asker a = {.q = &q};
    pthread_t thread;
    void *taken;
    int refused = 0;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, ask_too_much, &a), 0);
    for (int i = 0; i < 2000000; i++) {
        size_t n = (size_t)i % 2 * 100;

        if (quota_take(&q, n))
            quota_give(&q, n);
        else
            refused++;
    }
    atomic_store(&a.is_over, true);
    pthread_join(thread, &taken);
    assert_null(taken);
    assert_int_equal(refused, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quota),
        cmocka_unit_test(test_refused_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
