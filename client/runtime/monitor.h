/*
 * One process per container that outlives the command: keeps the log, waits,
 * writes the exit code, cleans up.
 *
 * Two SOCK_SEQPACKET pairs join it with the attached client; a frame is one
 * letter and its payload.  `data` from the monitor: 'S' started, 'E' failed
 * (int status, text), '1' and '2' output, 'X' ended (int status); to it: 'i'
 * input, 'e' end of input.  `ctl` to the monitor: 's' a signal (int), 'w' a
 * window size, 'c' and '1' or '2': nobody reads that output any more.  Signals
 * have a pair of their own so that a container which does not read its input
 * can still be stopped.
 */
#ifndef BERTH_CLIENT_RUNTIME_MONITOR_H
#define BERTH_CLIENT_RUNTIME_MONITOR_H

#include <stdbool.h>

#include "base/err.h"
#include "client/store/store.h"

#define MON_FRAME_MAX 32768

struct mon_client {
    int data, ctl;
    int sigs; /* attach_signals(), from before the start; -1 when detached */
};

/*
 * Fork the monitor of a container whose record exists; it starts it.
 * Owns:   life, the descriptor of life_take(), becomes the monitor's; it is
 *         closed here in any case.
 * Errors: only of the fork; what went wrong later comes as 'E'.
 */
must_check int mon_start(struct istore *s, const char *id, int life,
                         bool is_detached, bool is_removed,
                         struct mon_client *out, struct err *e);
/* Be the attached client until the end; the exit status for the shell. */
int mon_attach(struct mon_client *c, bool has_stdin, bool is_tty);
/* Wait for 'S' or 'E': 0, or the exit status with the message printed. */
int mon_await_start(struct mon_client *c);

#endif
