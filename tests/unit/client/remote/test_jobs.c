/* Jobs on threads: order, width, the first error, cancelling. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "client/remote/fetch.h"
#include "client/remote/jobs.h"
#include "client/remote/upload.h"

#define N 200

struct kit {
    atomic_int opened, closed, running, most, worked;
    atomic_int times[N]; /* how often each ran */
    int done[N];
    int n_done;
    size_t bad;      /* job that fails, or N */
    size_t bad_done; /* job whose done() fails, or N */
    bool has_no_open;
    atomic_bool stop, cancel;
    int cancel_after; /* ticks; -1: never */
};

static int on_open(void *arg, void **mine, struct err *e)
{
    struct kit *k = arg;
    if (k->has_no_open)
        return err_set(e, ERR_NO_MEMORY, "no worker");
    (void)atomic_fetch_add(&k->opened, 1);
    *mine = k;
    return 0;
}

static void on_close(void *mine)
{
    (void)atomic_fetch_add(&((struct kit *)mine)->closed, 1);
}

static int on_work(void *arg, void *mine, size_t i, struct err *e)
{
    const struct timespec pause = {0, 200000};
    struct kit *k = arg;
    int now = atomic_fetch_add(&k->running, 1) + 1;
    assert_ptr_equal(mine, k);
    for (int most = atomic_load(&k->most);
         now > most && !atomic_compare_exchange_weak(&k->most, &most, now);)
        ;
    (void)nanosleep(&pause, NULL);
    (void)atomic_fetch_add(&k->times[i], 1);
    (void)atomic_fetch_add(&k->worked, 1);
    (void)atomic_fetch_sub(&k->running, 1);
    return i == k->bad ? err_set(e, ERR_IO, "job %zu", i) : 0;
}

static int on_done(void *arg, size_t i, struct err *e)
{
    struct kit *k = arg;
    k->done[i]++;
    k->n_done++;
    return i == k->bad_done ? err_set(e, ERR_DIGEST, "done %zu", i) : 0;
}

static void on_tick(void *arg)
{
    struct kit *k = arg;
    if (k->cancel_after >= 0 && k->cancel_after-- == 0)
        atomic_store(&k->cancel, true);
}

static int run(struct kit *k, size_t n, unsigned width, struct err *e)
{
    struct jobs j = {.n = n,
                     .width = width,
                     .arg = k,
                     .open = on_open,
                     .close = on_close,
                     .work = on_work,
                     .done = on_done,
                     .tick = on_tick,
                     .stop = &k->stop,
                     .cancel = &k->cancel};
    return jobs_run(&j, e);
}

static void test_all_run_once(void **state)
{
    struct kit k = {.bad = N, .bad_done = N, .cancel_after = -1};
    struct err e;
    (void)state;
    assert_int_equal(run(&k, N, 3, &e), 0);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(k.times[i], 1);
        assert_int_equal(k.done[i], 1);
    }
    assert_int_equal(k.opened, 3);
    assert_int_equal(k.closed, 3);
    assert_true(k.most <= 3);
}

static void test_few_and_none(void **state)
{
    struct kit k = {.bad = N, .bad_done = N, .cancel_after = -1};
    struct err e;
    (void)state;
    assert_int_equal(run(&k, 0, 3, &e), 0);
    assert_int_equal(k.opened, 0);
    assert_int_equal(run(&k, 1, 3, &e), 0);
    assert_int_equal(k.opened, 1);
}

static void test_first_error_ends_all(void **state)
{
    struct kit k = {.bad = 20, .bad_done = N, .cancel_after = -1};
    struct err e;
    (void)state;
    assert_int_equal(run(&k, N, 3, &e), -1);
    assert_string_equal(e.msg, "job 20");
    assert_true(k.stop);
    assert_true(k.worked < N);
    assert_int_equal(k.done[20], 0);
    assert_int_equal(k.opened, k.closed);
}

static void test_error_of_done(void **state)
{
    struct kit k = {.bad = N, .bad_done = 5, .cancel_after = -1};
    struct err e;
    (void)state;
    assert_int_equal(run(&k, N, 3, &e), -1);
    assert_int_equal(e.code, ERR_DIGEST);
    assert_string_equal(e.msg, "done 5");
    assert_true(k.n_done < N);
}

static void test_no_worker(void **state)
{
    struct kit k = {
        .bad = N, .bad_done = N, .cancel_after = -1, .has_no_open = true};
    struct err e;
    (void)state;
    assert_int_equal(run(&k, N, 3, &e), -1);
    assert_string_equal(e.msg, "no worker");
    assert_int_equal(k.worked, 0);
}

static void test_cancelled(void **state)
{
    struct kit k = {.bad = N, .bad_done = N, .cancel_after = 3};
    struct err e;
    (void)state;
    assert_int_equal(run(&k, N, 2, &e), -1);
    assert_int_equal(e.code, ERR_CANCELLED);
    assert_true(k.worked < N);
}

/* ---- what answers say about parts ----------------------------------------*/

static void test_rest_of_a_blob(void **state)
{
    static const char *const bad[] = {"",
                                      "bytes 5-9/11",
                                      "bytes 4-9/10",
                                      "bytes 5-8/10",
                                      "bytes 5-9/*",
                                      "bytes */10",
                                      "Bytes 5-9/10",
                                      "bytes  5-9/10",
                                      "bytes 5-9/10 ",
                                      "bytes 05-9/10",
                                      "5-9/10"};
    (void)state;
    assert_true(fetch_is_rest("bytes 5-9/10", 5, 10));
    assert_true(fetch_is_rest("bytes 1-9223372036854775806/"
                              "9223372036854775807",
                              1, INT64_MAX));
    for (size_t i = 0; i < array_len(bad); i++) {
        if (fetch_is_rest(bad[i], 5, 10))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_range_of_an_upload(void **state)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "0-",
                                      "-5",
                                      "1-5",
                                      "0-5-6",
                                      "0--5",
                                      "0-+5",
                                      "0-5 ",
                                      " 0-5",
                                      "bytes=0-5",
                                      "0-9223372036854775807",
                                      "0-99999999999999999999"};
    uint64_t have;
    (void)state;
    assert_true(upload_parse_range("0-1023", &have));
    assert_int_equal(have, 1024);
    assert_true(upload_parse_range("0-0", &have));
    assert_int_equal(have, 0);
    assert_true(upload_parse_range("0-1", &have));
    assert_int_equal(have, 2);
    for (size_t i = 0; i < array_len(bad); i++) {
        if (upload_parse_range(bad[i], &have))
            fail_msg("accepted: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_run_once),
        cmocka_unit_test(test_few_and_none),
        cmocka_unit_test(test_first_error_ends_all),
        cmocka_unit_test(test_error_of_done),
        cmocka_unit_test(test_no_worker),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_rest_of_a_blob),
        cmocka_unit_test(test_range_of_an_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
