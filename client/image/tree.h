/*
 * The root that a layer is unpacked into: its folders, found as in the running
 * container, what this layer wrote there, and the whiteouts that hide what
 * lower layers did.
 *
 * 1. A path is resolved by openat2(RESOLVE_IN_ROOT) only; the name at its end
 *    is never followed.
 * 2. What cannot be hidden or removed is an error.
 */
#ifndef BERTH_CLIENT_IMAGE_TREE_H
#define BERTH_CLIENT_IMAGE_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TREE_WHITEOUT  ".wh."
#define TREE_MAX_DEPTH 128 /* folders of one name */

struct tree {
    int root;       /* the caller's */
    bool has_lower; /* root shows lower layers too */
    uint64_t entries, max_entries;
    int depth;       /* of folders, while it hides */
    size_t root_len; /* of the root's own path, see canonical() */
    void *written;   /* tsearch tree of paths that this layer wrote */
};

/* A name of the tar, split. */
struct tree_name {
    char parent[PATH_MAX];   /* "" for the root */
    char leaf[NAME_MAX + 1]; /* "" for the root itself */
};

/* Begin with root, has_lower and max_entries set. */
must_check int tree_begin(struct tree *t, struct err *e);
void tree_end(struct tree *t);
/* Set "bad name in the layer: ...: why". */
int tree_bad_name(const char *text, const char *why, struct err *e);
/*
 * The next part of a path, with its length; *p moves behind it.  Empty parts
 * and "." are passed over; NULL at the end.
 */
const char *tree_part(const char **p, size_t *len);
/*
 * Split and normalise; "./a//b/" becomes "a" and "b".
 * Errors: ERR_INVALID for "..", and for what is too long or too deep.
 */
must_check int tree_split(const char *text, struct tree_name *out,
                          struct err *e);
/* openat2(2) in the root, O_CLOEXEC; -1 with errno. */
must_check int tree_open(const struct tree *t, const char *path, int flags);
/*
 * The folder `path`, made (0755) where it is absent, also where a link leads
 * to: `var/run -> /run` may stand before `run` in an archive.
 */
must_check int tree_open_parent(struct tree *t, const char *path,
                                struct err *e);
/*
 * Count an entry, or a folder that none speaks of.
 * Errors: ERR_TOO_LARGE; now and then it looks for space: ERR_NO_SPACE.
 */
must_check int tree_count(struct tree *t, struct err *e);
/* Make way for a new entry: only a folder for a folder stays. */
must_check int tree_make_way(int parent, const char *leaf, bool for_dir,
                             struct err *e);
/* Remember that this layer wrote a path and so the folders above it. */
must_check int tree_remember(struct tree *t, int parent, const char *leaf,
                             struct err *e);
/* Do what an entry says whose leaf begins with TREE_WHITEOUT. */
must_check int tree_whiteout(struct tree *t, const struct tree_name *name,
                             struct err *e);

#endif
