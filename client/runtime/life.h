/*
 * Who looks after a container, and what to do with what the dead left.
 *
 * 1. RUN/<id>/ is made, and its `lock` flocked, before anything else of a
 *    container exists (record, cgroup, process), and goes after all of it.
 *    So RUN lists what lives or was left behind, and nothing else.
 * 2. The flock is the keeper's life sign: first the client that makes the
 *    container, then its monitor, or the command that removes it.
 * 3. A free lock and no living pid 1 mean that nobody will clean up: the next
 *    command that changes containers does.  A container that goes on without
 *    its monitor is left alone.
 * 4. `lock` names the store, since several may share one run folder.
 */
#ifndef BERTH_CLIENT_RUNTIME_LIFE_H
#define BERTH_CLIENT_RUNTIME_LIFE_H

#include "base/err.h"
#include "client/store/store.h"

/*
 * Become the keeper of a container, which need not exist yet.
 * Owns:   returns a descriptor; the last close of it, in whatever process it
 *         was inherited by, gives the container up.
 * Errors: ERR_BUSY when it has a keeper.
 */
must_check int life_take(struct istore *s, const char *id, struct err *e);
/*
 * The same for a container that is only being made, and so can have no keeper:
 * who holds its lock is a life_clean() that looks, and is waited for.
 */
must_check int life_take_new(struct istore *s, const char *id, struct err *e);
/* Remove the run folder; the caller is the keeper and has removed the rest. */
void life_end(const char *id);
/*
 * Finish what killed keepers began: cgroups, run folders, containers of
 * `run --rm`.  Costs three system calls per container that lives.
 */
void life_clean(struct istore *s);

#endif
