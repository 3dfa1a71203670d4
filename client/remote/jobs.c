#include "client/remote/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define TICK_MS     100
#define THREADS_MAX 16

struct crew {
    struct jobs *j;
    pthread_mutex_t mutex;
    pthread_cond_t news;
    size_t next;    /* the first job that nobody took */
    unsigned alive; /* threads */
    size_t *ended;  /* jobs for done(), in order */
    size_t n_ended;
    bool has_failed;
    struct err err; /* the first */
};

static void fail(struct crew *c, const struct err *e)
{
    (void)pthread_mutex_lock(&c->mutex);
    if (!c->has_failed)
        c->err = *e;
    c->has_failed = true;
    atomic_store(c->j->stop, true);
    (void)pthread_mutex_unlock(&c->mutex);
}

static bool take(struct crew *c, size_t *i)
{
    (void)pthread_mutex_lock(&c->mutex);
    bool is_there = !c->has_failed && c->next < c->j->n;
    if (is_there)
        *i = c->next++;
    (void)pthread_mutex_unlock(&c->mutex);
    return is_there;
}

static void *run(void *arg)
{
    struct crew *c = arg;
    struct jobs *j = c->j;
    void *mine = NULL;
    struct err e;
    size_t i;
    if (j->open(j->arg, &mine, &e) != 0) {
        fail(c, &e);
    } else {
        while (take(c, &i)) {
            if (j->work(j->arg, mine, i, &e) != 0) {
                fail(c, &e);
                break;
            }
            (void)pthread_mutex_lock(&c->mutex);
            c->ended[c->n_ended++] = i;
            (void)pthread_cond_signal(&c->news);
            (void)pthread_mutex_unlock(&c->mutex);
        }
        j->close(mine);
    }
    (void)pthread_mutex_lock(&c->mutex);
    c->alive--;
    (void)pthread_cond_signal(&c->news);
    (void)pthread_mutex_unlock(&c->mutex);
    return NULL;
}

/* One job that ended, or a tick without news; false when all is over. */
static bool next_news(struct crew *c, size_t *seen, size_t *i, bool *is_job)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    (void)pthread_mutex_lock(&c->mutex);
    if (*seen == c->n_ended && c->alive > 0)
        (void)pthread_cond_timedwait(&c->news, &c->mutex, &until);
    *is_job = *seen < c->n_ended && !c->has_failed;
    bool is_over = c->alive == 0 && !*is_job;
    if (*is_job)
        *i = c->ended[(*seen)++];
    (void)pthread_mutex_unlock(&c->mutex);
    return !is_over;
}

static void watch(struct crew *c)
{
    struct jobs *j = c->j;
    size_t seen = 0, i = 0;
    bool is_job;
    while (next_news(c, &seen, &i, &is_job)) {
        struct err e;
        if (j->cancel != NULL && atomic_load(j->cancel)) {
            (void)err_set(&e, ERR_CANCELLED, "interrupted");
            fail(c, &e);
        }
        if (is_job && j->done != NULL && j->done(j->arg, i, &e) != 0)
            fail(c, &e);
        j->tick(j->arg);
    }
}

static int start(struct crew *c, pthread_t *threads, unsigned *n, struct err *e)
{
    unsigned want = c->j->n < c->j->width ? (unsigned)c->j->n : c->j->width;
    sigset_t all, old;
    int rc = 0;
    /* Signals are for the caller, who sleeps where they wake it. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    for (*n = 0; *n < want && *n < THREADS_MAX && rc == 0; (*n)++) {
        (void)pthread_mutex_lock(&c->mutex);
        c->alive++;
        (void)pthread_mutex_unlock(&c->mutex);
        int sys = pthread_create(&threads[*n], NULL, run, c);
        if (sys != 0) {
            (void)pthread_mutex_lock(&c->mutex);
            c->alive--;
            (void)pthread_mutex_unlock(&c->mutex);
            rc = err_sys(e, sys, "start a thread");
            fail(c, e);
            break;
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int jobs_run(struct jobs *j, struct err *e)
{
    struct crew c = {.j = j};
    pthread_t threads[THREADS_MAX];
    pthread_condattr_t attr;
    unsigned n;
    if (j->n == 0)
        return 0;
    c.ended = calloc(j->n, sizeof(*c.ended));
    if (c.ended == NULL)
        return err_set(e, ERR_NO_MEMORY, "jobs: out of memory");
    (void)pthread_mutex_init(&c.mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c.news, &attr);
    int rc = start(&c, threads, &n, e);
    watch(&c);
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    if (rc == 0 && c.has_failed) {
        *e = c.err;
        rc = -1;
    }
    (void)pthread_cond_destroy(&c.news);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_mutex_destroy(&c.mutex);
    free(c.ended);
    return rc;
}
