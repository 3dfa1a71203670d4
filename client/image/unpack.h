/*
 * One layer's tar, written into a root folder.
 *
 * libarchive reads, we write: every path is resolved by
 * openat2(RESOLVE_IN_ROOT), so that `lib -> usr/lib` of a lower layer is
 * followed as in the running container and nothing leaves the root.
 *
 * 1. No symlink is followed outside the root, none at a leaf.
 * 2. A name with "..", over-long or over-deep is an error, not a guess.
 * 3. Whiteouts act on what lay there before this layer only.
 * 4. Device nodes outside a short list, sockets and pipes are skipped and
 *    counted; overlay's own xattrs and 0:0 nodes are never taken from a tar.
 */
#ifndef BERTH_CLIENT_IMAGE_UNPACK_H
#define BERTH_CLIENT_IMAGE_UNPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "client/image/decode.h"

/* What an image may take, all its layers together. */
#define UNPACK_IMAGE_BYTES   (64ULL << 30)
#define UNPACK_IMAGE_ENTRIES 1000000ULL

/* What a layer may take: what those below it left of the above. */
struct unpack_limits {
    uint64_t bytes; /* of files, as long as they say they are */
    uint64_t entries;
};

struct unpack_result {
    uint64_t bytes; /* of regular files */
    uint64_t entries;
    uint64_t skipped; /* rule 4 */
    bool has_root;    /* there was an entry for the root itself */
};

/* Read what libarchive needs from the system: before the root changes. */
void unpack_prepare(void);
/*
 * Unpack the whole of d below root, a folder descriptor.
 * Inputs: has_lower: root shows lower layers too, so whiteouts matter.
 *         limits, or NULL for those of a whole image.
 * Errors: ERR_INVALID (bad tar or name), ERR_TOO_LARGE, ERR_NO_SPACE (also
 *         when space.h wants the rest), ERR_IO...; what was written stays, the
 *         caller throws the folder away.
 * State:  changes the working folder of the process meanwhile.
 */
must_check int unpack_tar(struct decode *d, int root, bool has_lower,
                          const struct unpack_limits *limits,
                          struct unpack_result *out, struct err *e);

#endif
