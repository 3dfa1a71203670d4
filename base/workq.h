/*
 * A pool of threads that may block, with a queue for each class of work.
 *
 * Why classes: a flood of body writes must not keep an index read waiting, so
 * each class has a limit on how many threads it may occupy at once.
 *
 * Invariants: 1. an item runs exactly once, on one worker; 2. the pool never
 * touches an item after its run() was called, so run() may free it or hand it
 * to another thread; 3. workq_free runs everything that was queued.
 */
#ifndef BERTH_BASE_WORKQ_H
#define BERTH_BASE_WORKQ_H

#include "base/err.h"

enum work_class { WORK_BODY, WORK_READ, WORK_SLOW, WORK_CLASSES };

struct work {
    struct work *next;
    /* ctx is what the pool's init made for this thread. */
    void (*run)(struct work *w, void *ctx);
};

struct workq_opts {
    int limit[WORK_CLASSES]; /* threads a class may occupy; the pool has the
                                sum of them */
    /* Both per thread, on it, and both may be NULL; fini only after an init
     * that succeeded. */
    int (*init)(void *arg, void **ctx, struct err *e);
    void (*fini)(void *ctx);
    void *arg;
};

struct workq;

/*
 * Start the threads and wait until each has its context.
 * Errors: that of the first init that failed; then no thread is left.
 */
must_check int workq_new(const struct workq_opts *opts, struct workq **out,
                         struct err *e);
/* Runs what is queued, then ends the threads. */
void workq_free(struct workq *q);
/* Thread: any. Never blocks. */
void workq_submit(struct workq *q, enum work_class class, struct work *w);

#endif
