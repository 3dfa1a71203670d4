/*
 * The state of a container on disk: what ps, stop, rm and the monitor agree on.
 *
 * 1. The record (store) says what the container is; state.json in the run
 *    folder names the living process by pid, start time and boot; exit.json
 *    beside the record says how it ended.
 * 2. Running is decided by pid and start time alone, so that it is right
 *    after the monitor was killed.
 * 3. Both are written before the process may go: a process that runs is
 *    always known, and exit.json says "unknown" until somebody saw the end,
 *    also over a restart of the machine.
 */
#ifndef BERTH_CLIENT_RUNTIME_CONTAINER_STATE_H
#define BERTH_CLIENT_RUNTIME_CONTAINER_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "client/runtime/spec.h"
#include "client/store/store.h"

#define CT_UNKNOWN 255 /* exit code of an end that nobody saw */

enum ct_status { CT_CREATED, CT_RUNNING, CT_EXITED };

struct ct_state {
    enum ct_status status;
    pid_t pid;     /* running: pid 1 of the container, else 0 */
    pid_t monitor; /* 0 when it is gone */
    int exit_code; /* CT_UNKNOWN when nobody saw it */
    bool is_known; /* the exit code was seen */
    bool is_oom;
    int64_t started, finished;       /* seconds since 1970, 0: never */
    int64_t started_ns, finished_ns; /* beyond these seconds */
    char error[240];                 /* why it did not start, or "": then it is
                                        CT_CREATED, exit_code is what run told */
};

/* Absolute path of a container's folder / of its run folder. */
void ct_dir(struct istore *s, const char *id, char out[PATH_MAX]);
void ct_run_dir(const char *id, char out[PATH_MAX]);
void ct_state(struct istore *s, const char *id, struct ct_state *out);
/*
 * "It runs from now on": state.json and an exit.json that says unknown, the
 * latter not with --rm, whose end nobody asks for later.
 */
must_check int ct_state_write(struct istore *s, const struct rt_spec *spec,
                              pid_t pid, pid_t monitor, struct err *e);
must_check int ct_exit_write(struct istore *s, const char *id, int code,
                             bool is_oom, const char *error, struct err *e);
/* Start time of a process (field 22 of stat), 0 when it is gone. */
unsigned long long ct_start_time(pid_t pid);
/* The boot id of the running kernel, or "". */
void ct_boot_id(char out[64]);
/* Has it ended and was not reaped yet?  Then what waitpid() will tell. */
bool ct_zombie(pid_t pid, int *wait_status);

#endif
