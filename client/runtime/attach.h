/* The user's terminal while it is joined with a container. */
#ifndef BERTH_CLIENT_RUNTIME_ATTACH_H
#define BERTH_CLIENT_RUNTIME_ATTACH_H

#include <sys/types.h>

/*
 * Join the own terminal with the master of a pty until pid ends.
 * Returns the exit status of pid, a child of the caller.
 */
int attach_tty(int master, pid_t pid);

/*
 * Join our standard streams with pipes of pid, a child of the caller; nothing
 * of ours is ever given to a process of a container, since it could reopen it
 * through /proc/self/fd, write to a terminal or read from it.
 * Inputs: in, the end to write to, or -1; out[2] the ends to read from.
 * Owns:   closes them.  Returns the exit status of pid.
 */
int attach_pipes(int in, const int out[2], pid_t pid);

#endif
