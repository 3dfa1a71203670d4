/*
 * A child process that does what is risky and tells what came out through a
 * pipe.  confine.h is its cage; this is its birth and its end.
 */
#ifndef BERTH_CLIENT_IMAGE_CHILD_H
#define BERTH_CLIENT_IMAGE_CHILD_H

#include <stddef.h>

#include "base/err.h"

/* In the child, whose end follows: do it, and write the report to out. */
typedef void child_work(void *arg, int out);
/* In the parent meanwhile: read the report. */
typedef int child_read(void *arg, int in, struct err *e);

/*
 * Fork, work there, read here, and wait for the end of the child.  It dies
 * with its parent.
 * Errors: of on_report; ERR_IO when the child died instead of reporting.
 */
must_check int child_run(child_work *work, child_read *on_report, void *arg,
                         struct err *e);
/* Exactly n bytes of a report; ERR_PROTOCOL when it ends before. */
must_check int child_get(int in, void *data, size_t n, struct err *e);

#endif
