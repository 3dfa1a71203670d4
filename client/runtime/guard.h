/*
 * What a monitor gives up: it needs no more than to wait, to write a log and
 * to take down what it made, and it lives as long as its container.
 *
 * 1. Descriptors first, before the container exists: nothing that the caller
 *    of berth had open stays open in the background.
 * 2. The rest after the start, since the container would inherit it.
 */
#ifndef BERTH_CLIENT_RUNTIME_GUARD_H
#define BERTH_CLIENT_RUNTIME_GUARD_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define GUARD_INSNS_MAX 128

/* Close all descriptors above 2 but these; sorts keep[]. */
must_check int guard_descriptors(int *keep, size_t n, struct err *e);
/*
 * Leave: KILL (pid 1 may be anybody's), DAC_OVERRIDE (folders of the store
 * below somebody's), and FOWNER when the container's files are removed at the
 * end.  No new privileges, no new programs, processes, mounts or sockets; a
 * lower chance to be the kernel's choice when memory is out.
 * Errors: what could not be given up; the caller may go on.
 */
must_check int guard_privileges(bool removes_files, struct err *e);
/* The filter of guard_privileges(); returns the number of instructions. */
size_t guard_filter(struct sock_filter out[GUARD_INSNS_MAX]);

#endif
