/*
 * The user's side of a container or of an exec: streams, terminal, signals.
 *
 * 1. Signals are held from before the start, so that none is lost or kills
 *    the client while the container begins.
 * 2. The container never has a descriptor of ours, only pipes or a terminal
 *    of its own: what it does to them cannot reach our files.
 * 3. Writing to the container never blocks: output is read meanwhile.
 * 4. When nobody reads our output any more, the container is told as a
 *    program in a pipe is: its next write fails.
 */
#ifndef BERTH_CLIENT_RUNTIME_ATTACH_H
#define BERTH_CLIENT_RUNTIME_ATTACH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* Hold every signal that makes sense to forward; a descriptor of them. */
int attach_signals(void);

struct attach_exec {
    int sigs;     /* of attach_signals() */
    int in;       /* our ends, -1 when there is none; with a terminal */
    int out, err; /* in and out are its master and err is -1 */
    bool is_tty, has_in;
};
/* Pipes for a process: its ends in stdio[], ours in *x; has_in: stdin too. */
must_check int attach_pipes(bool has_in, int stdio[3], struct attach_exec *x,
                            struct err *e);
/*
 * Join our streams with a process until it ends.
 * Inputs: pid, a child of the caller.
 * Owns:   closes the ends in *x.
 * Returns the exit status for the shell.
 */
int attach_run(struct attach_exec *x, pid_t pid);

#endif
