/* Lanes: order, the right thread, and nothing lost at the stop. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/lane.h"

#define PER_SENDER 2000
#define SENDERS    4

struct note {
    struct lane_msg msg; /* first, so that a cast leads back */
    int sender, number;
};

static struct lane *lane;
static struct note notes[SENDERS][PER_SENDER];
static int last[SENDERS];
static int seen;
static bool is_ok = true;

static void on_note(struct lane_msg *m)
{
    struct note *n = (struct note *)m;

    if (!lane_is_here(lane) || last[n->sender] != n->number - 1)
        is_ok = false;
    last[n->sender] = n->number;
    seen++;
}

static void *sender(void *arg)
{
    struct note *mine = arg;

    for (int i = 0; i < PER_SENDER; i++)
        lane_post(lane, &mine[i].msg);
    return NULL;
}

static void test_order(void **state)
{
    pthread_t threads[SENDERS];
    struct err e;

    (void)state;
    assert_int_equal(lane_start("test", &lane, &e), 0);
    assert_false(lane_is_here(lane));
    for (int s = 0; s < SENDERS; s++) {
        last[s] = -1;
        for (int i = 0; i < PER_SENDER; i++)
            notes[s][i] = (struct note){{NULL, on_note}, s, i};
        pthread_create(&threads[s], NULL, sender, notes[s]);
    }
    for (int s = 0; s < SENDERS; s++)
        pthread_join(threads[s], NULL);
    lane_stop(lane);
    assert_true(is_ok);
    assert_int_equal(seen, SENDERS * PER_SENDER);
}

static struct note again;

/* A message may post itself again; the stop still waits for it. */
static void on_again(struct lane_msg *m)
{
    struct note *n = (struct note *)m;

    if (++n->number < 100)
        lane_post(lane, m);
}

static void test_repost(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(lane_start("a name that is too long", &lane, &e), 0);
    again = (struct note){{NULL, on_again}, 0, 0};
    lane_post(lane, &again.msg);
    lane_stop(lane);
    assert_int_equal(again.number, 100);
    lane_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_repost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
