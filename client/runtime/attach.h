/* The user's terminal while it is joined with a container. */
#ifndef BERTH_CLIENT_RUNTIME_ATTACH_H
#define BERTH_CLIENT_RUNTIME_ATTACH_H

#include <sys/types.h>

/*
 * Join the own terminal with the master of a pty until pid ends.
 * Returns the exit status of pid, a child of the caller.
 */
int attach_tty(int master, pid_t pid);

#endif
