/*
 * Ctrl-C while something long runs: the first signal asks, and what runs
 * cleans up; the second one kills.
 */
#ifndef BERTH_CLIENT_REMOTE_CANCEL_H
#define BERTH_CLIENT_REMOTE_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>

/* From now on INT, TERM and HUP only set the flag, once. */
void cancel_catch(void);
/* Back to what signals usually do; a flag that is set stays set. */
void cancel_release(void);
const atomic_bool *cancel_flag(void);
/* Wait until fd can be read; false when the flag came first. */
bool cancel_poll(int fd);
/* When the flag is set: end as the signal would have ended us. */
void cancel_die(void);

#endif
