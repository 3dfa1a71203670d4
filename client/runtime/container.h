/*
 * Containers as the verbs and the monitor handle them: found by name, waited
 * for, ended, removed.
 */
#ifndef BERTH_CLIENT_RUNTIME_CONTAINER_H
#define BERTH_CLIENT_RUNTIME_CONTAINER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "client/runtime/container_state.h"
#include "client/runtime/spec.h"
#include "client/store/store.h"

/* Find by full id, name, or unambiguous beginning of the id. */
must_check int ct_find(struct istore *s, const char *text, char id[ISTORE_HEX],
                       struct err *e);
/* A pidfd of the running pid 1, checked against its start time. */
must_check int ct_pidfd(struct istore *s, const char *id, struct err *e);
/*
 * Wait until it is not running; at most timeout_ms (-1: for ever).
 * Inputs: *code, unless NULL, gets the exit code, 255 when it is unknown.
 * State:  an end that no monitor saw is recorded, where the kernel tells the
 *         status to whoever holds a pidfd (6.15 and later).
 */
bool ct_wait(struct istore *s, const char *id, int timeout_ms, int *code);
/*
 * The state for those who show it: as ct_state(), but the end that a monitor
 * is just writing down is waited for, so that it is never shown as unknown.
 */
void ct_look(struct istore *s, const char *id, struct ct_state *out);
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
/* The spec of a record; strings point into it or are kept until exit. */
must_check int ct_spec(struct istore *s, const char *id, const json_t *record,
                       struct rt_spec *out, struct err *e);

#endif
