/*
 * A lane: one thread that runs one libevent loop, and its mailbox.
 *
 * Why: an object of the server (a connection, an exchange) belongs to exactly
 * one lane and is touched by no other thread, so it needs no lock.  Other
 * threads (workers, the index writer) hand results over with lane_post().
 *
 * A worker's run() ends with lane_post(lane, &msg) of a message embedded
 * beside its struct work; an exchange stays alive meanwhile by http_hold().
 *
 * 1. Messages of one sender run in the order they were posted.
 * 2. A message runs on the lane's thread, never inside lane_post().
 * 3. A message posted before lane_stop() is run before lane_stop() returns.
 */
#ifndef BERTH_BASE_LANE_H
#define BERTH_BASE_LANE_H

#include <stdbool.h>

#include "base/err.h"

struct event_base;
struct lane;

/*
 * One message.  Embedded in the sender's object, so posting cannot fail.
 * run() may free the object that holds it.
 */
struct lane_msg {
    struct lane_msg *next;
    void (*run)(struct lane_msg *m);
};

/*
 * Start a lane.  name (at most 15 bytes) shows in ps -L and in a debugger.
 * Errors: ERR_NO_MEMORY, ERR_IO.
 * Thread: any.  All signals are blocked in the lane's thread.
 */
must_check int lane_start(const char *name, struct lane **out, struct err *e);

/*
 * Post a message: m->run(m) is called once on the lane's thread.
 * Owns:   borrows m until run() is called; m must be in no other mailbox.
 * Thread: any, also the lane itself (then it runs from the loop, later).
 */
void lane_post(struct lane *l, struct lane_msg *m);

/* Is the calling thread this lane's? */
bool lane_is_here(const struct lane *l);

/* The loop, for events.  Add and delete events only on the lane itself. */
struct event_base *lane_base(struct lane *l);

/*
 * Run what is posted, end the loop, join the thread and free the lane.
 * NULL is fine.  Whoever made events on it has deleted them before.
 * Thread: not the lane itself.
 */
void lane_stop(struct lane *l);

#endif
