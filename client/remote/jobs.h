/*
 * A few threads for many independent jobs.
 *
 * 1. work() runs on a thread of its own, done() on the caller, in the order
 *    in which jobs end: what must not run beside itself belongs there.
 * 2. The first error ends all: jobs that run are told by the flag, jobs that
 *    wait are never begun, and jobs_run() returns that error.
 */
#ifndef BERTH_CLIENT_REMOTE_JOBS_H
#define BERTH_CLIENT_REMOTE_JOBS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct jobs {
    size_t n;       /* jobs */
    unsigned width; /* threads at most */
    void *arg;
    /* Per thread: what its jobs share (a connection). */
    int (*open)(void *arg, void **mine, struct err *e);
    void (*close)(void *mine);
    int (*work)(void *arg, void *mine, size_t i, struct err *e);
    int (*done)(void *arg, size_t i, struct err *e); /* or NULL */
    void (*tick)(void *arg);                         /* ten times a second */
    atomic_bool *stop;         /* set by the first error */
    const atomic_bool *cancel; /* ERR_CANCELLED when it is set; or NULL */
};

must_check int jobs_run(struct jobs *j, struct err *e);

#endif
