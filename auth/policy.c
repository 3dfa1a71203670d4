#include "auth/policy.h"

#include "auth/pattern.h"

enum policy_answer policy_may(const struct policy *p, enum policy_action action,
                              struct slice repository)
{
    (void)repository;
    switch (action) {
    case POLICY_PING:
    case POLICY_PULL:
    case POLICY_CATALOG:
        return POLICY_YES;
    case POLICY_PUSH:
        return p->is_read_only ? POLICY_READ_ONLY : POLICY_YES;
    case POLICY_DELETE:
        if (p->is_read_only)
            return POLICY_READ_ONLY;
        return p->allows_delete ? POLICY_YES : POLICY_DISABLED;
    default:
        return POLICY_DISABLED;
    }
}

bool policy_is_sparse(const struct policy *p, struct slice repository)
{
    for (size_t i = 0; i < p->sparse_count; i++) {
        if (pattern_matches(slice_of(p->sparse[i]), repository))
            return true;
    }
    return false;
}
