/*
 * Users and groups by the container's own /etc/passwd and /etc/group, which
 * the image controls: regular files only, bounded, never by libc's NSS.
 */
#ifndef BERTH_CLIENT_RUNTIME_USER_H
#define BERTH_CLIENT_RUNTIME_USER_H

#include <limits.h>
#include <sys/types.h>

#include "base/err.h"
#include "client/runtime/spec.h"

#define USER_FILE_MAX (1024 * 1024)

struct user {
    uid_t uid;
    gid_t gid;
    gid_t groups[RT_GROUPS_MAX]; /* the primary group is always among them */
    size_t n_groups;
    char home[PATH_MAX];
};

/*
 * Resolve "name|uid[:group|gid]" ("" is root) and further groups, from the
 * text of passwd and group (NULL: there is none).  Supplementary groups of
 * a user come from the group file unless a group was named.
 * Errors: ERR_NOT_FOUND for unknown names, ERR_RANGE for numbers that are no
 *         ids.  All digits are always a number.
 */
must_check int user_resolve(const char *spec, const char *const *extra,
                            size_t n_extra, const char *passwd,
                            const char *group, struct user *out, struct err *e);
/* The same with the files below rootfd. */
must_check int user_resolve_in(int rootfd, const char *spec,
                               const char *const *extra, size_t n_extra,
                               struct user *out, struct err *e);

#endif
