/*
 * The one question of access: may this caller do this to that repository?
 *
 * Every request is asked about in one place, the router, before a handler
 * runs; what is not allowed here is refused.  There are no users yet: every
 * caller is anonymous, and whether the server may listen beyond the loopback
 * at all is decided at start.
 */
#ifndef BERTH_AUTH_POLICY_H
#define BERTH_AUTH_POLICY_H

#include <stdbool.h>

#include "base/num.h"

enum policy_action {
    POLICY_PING,
    POLICY_PULL,
    POLICY_PUSH,
    POLICY_DELETE,
    POLICY_CATALOG,
};

enum policy_answer {
    POLICY_YES,
    POLICY_READ_ONLY, /* nobody may write: the server is read-only */
    POLICY_DISABLED,  /* nobody may: deletes are switched off */
};

struct policy {
    bool is_read_only;
    bool allows_delete;
    bool deletes_used;         /* also what a manifest refers to */
    const char *const *sparse; /* patterns; borrowed */
    size_t sparse_count;
};

/*
 * repository is empty for an action on the whole server, and asks about every
 * repository at once: no rule for a single one answers that with yes.
 * Thread: any.
 */
enum policy_answer policy_may(const struct policy *p, enum policy_action action,
                              struct slice repository);

/*
 * May a manifest of this repository name blobs and manifests that are not in
 * it?  Thread: any.
 */
bool policy_is_sparse(const struct policy *p, struct slice repository);

#endif
