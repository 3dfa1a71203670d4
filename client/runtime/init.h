/*
 * Pid 1 of `run --init`: reaps whatever is left to it, passes signals on, and
 * ends with the status of the program.
 */
#ifndef BERTH_CLIENT_RUNTIME_INIT_H
#define BERTH_CLIENT_RUNTIME_INIT_H

#include <stdbool.h>

/*
 * Remember where the kernel keeps our command line and environment, before
 * anybody moves the words: pid 1 must not show the container what run was
 * called with.
 */
void init_keep_words(char **argv);
/*
 * Split in two: pid 1 stays in here, its child returns and executes the
 * program, in a process group of its own that has the terminal.
 * Inputs: channel is closed in pid 1, so that the exec closes the last one.
 */
void init_split(bool is_tty, int channel);

#endif
