/*
 * Containers on disk and their state: what ps, stop, rm and the monitor
 * agree on.
 *
 * 1. The record (store) says what the container is; state.json in the run
 *    folder names the living process by pid, start time and boot; exit.json
 *    beside the record says how it ended.
 * 2. Running is decided by pid and start time alone, so that it is right
 *    after the monitor was killed.
 */
#ifndef BERTH_CLIENT_RUNTIME_CONTAINER_H
#define BERTH_CLIENT_RUNTIME_CONTAINER_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "client/image/store.h"
#include "client/runtime/spec.h"

enum ct_status { CT_CREATED, CT_RUNNING, CT_EXITED };

struct ct_state {
    enum ct_status status;
    pid_t pid;     /* running: pid 1 of the container, else 0 */
    pid_t monitor; /* 0 when it is gone */
    int exit_code; /* 255 when nobody saw it */
    bool is_known; /* the exit code was seen */
    bool is_oom;
    int64_t started, finished; /* seconds since 1970, 0: never */
    char error[240];           /* why it did not start, or "" */
};

/* Absolute path of a container's folder / of its run folder. */
void ct_dir(struct istore *s, const char *id, char out[PATH_MAX]);
void ct_run_dir(const char *id, char out[PATH_MAX]);
/* Find by full id, name, or unambiguous beginning of the id. */
must_check int ct_find(struct istore *s, const char *text, char id[ISTORE_HEX],
                       struct err *e);
void ct_state(struct istore *s, const char *id, struct ct_state *out);
must_check int ct_state_write(const char *id, pid_t pid, pid_t monitor,
                              struct err *e);
must_check int ct_exit_write(struct istore *s, const char *id, int code,
                             bool is_oom, const char *error, struct err *e);
/* A pidfd of the running pid 1, checked against its start time. */
must_check int ct_pidfd(struct istore *s, const char *id, struct err *e);
/* Wait until it is not running; at most timeout_ms (-1: for ever). */
bool ct_wait(struct istore *s, const char *id, int timeout_ms);
/* SIGKILL and wait. */
void ct_kill(struct istore *s, const char *id);
/* Cgroups, run folder, record, volumes: all that is left. */
must_check int ct_remove(struct istore *s, const char *id, struct err *e);
/*
 * The spec of a record; strings point into it or are kept until exit.
 */
must_check int ct_spec(struct istore *s, const char *id, const json_t *record,
                       struct rt_spec *out, struct err *e);
/* Start time of a process (field 22 of stat), 0 when it is gone. */
unsigned long long ct_start_time(pid_t pid);
/* "KILL", "SIGKILL" or "9" -> 9; -1 when unknown. */
int ct_signal(const char *name);

#endif
