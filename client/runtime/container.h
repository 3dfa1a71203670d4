/*
 * Containers on disk and their state: what ps, stop, rm and the monitor
 * agree on.
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
#ifndef BERTH_CLIENT_RUNTIME_CONTAINER_H
#define BERTH_CLIENT_RUNTIME_CONTAINER_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
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
    int64_t started, finished; /* seconds since 1970, 0: never */
    char error[240];           /* why it did not start, or "": then it is
                                  CT_CREATED, exit_code is what run told */
};

/* Absolute path of a container's folder / of its run folder. */
void ct_dir(struct istore *s, const char *id, char out[PATH_MAX]);
void ct_run_dir(const char *id, char out[PATH_MAX]);
/* Find by full id, name, or unambiguous beginning of the id. */
must_check int ct_find(struct istore *s, const char *text, char id[ISTORE_HEX],
                       struct err *e);
void ct_state(struct istore *s, const char *id, struct ct_state *out);
/*
 * "It runs from now on": state.json and an exit.json that says unknown, the
 * latter not with --rm, whose end nobody asks for later.
 */
must_check int ct_state_write(struct istore *s, const struct rt_spec *spec,
                              pid_t pid, pid_t monitor, struct err *e);
must_check int ct_exit_write(struct istore *s, const char *id, int code,
                             bool is_oom, const char *error, struct err *e);
/* A pidfd of the running pid 1, checked against its start time. */
must_check int ct_pidfd(struct istore *s, const char *id, struct err *e);
/*
 * Wait until it is not running; at most timeout_ms (-1: for ever).
 * Inputs: *code, unless NULL, gets the exit code, 255 when it is unknown.
 * State:  an end that no monitor saw is recorded, where the kernel tells the
 *         status to whoever holds a pidfd (6.15 and later).
 */
bool ct_wait(struct istore *s, const char *id, int timeout_ms, int *code);
/* SIGKILL and wait. */
void ct_kill(struct istore *s, const char *id);
/*
 * Cgroups, record, volumes, run folder: all that is left.
 * State: the caller is its keeper (life.h); it does not run.
 */
must_check int ct_remove(struct istore *s, const char *id, struct err *e);
/* As ct_remove(), but leaves the files: see istore_container_drop(). */
must_check int ct_drop(struct istore *s, const char *id,
                       char trash[ISTORE_FILE_MAX], struct err *e);
/*
 * The spec of a record; strings point into it or are kept until exit.
 */
must_check int ct_spec(struct istore *s, const char *id, const json_t *record,
                       struct rt_spec *out, struct err *e);
/* Start time of a process (field 22 of stat), 0 when it is gone. */
unsigned long long ct_start_time(pid_t pid);
/* The boot id of the running kernel, or "". */
void ct_boot_id(char out[64]);
/* "KILL", "SIGKILL" or "9" -> 9; -1 when unknown. */
int ct_signal(const char *name);

#endif
