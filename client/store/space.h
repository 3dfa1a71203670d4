/*
 * Room on the store's disk.
 *
 * Some of it stays free: a disk that an image filled to the last byte stops
 * more than the pull that did it.  Removing needs no room (store_sweep.c).
 */
#ifndef BERTH_CLIENT_STORE_SPACE_H
#define BERTH_CLIENT_STORE_SPACE_H

#include <stdint.h>

#include "base/err.h"

/* What stays free: this part of the disk, but not more than so many bytes. */
#define SPACE_KEEP_PART  20
#define SPACE_KEEP_BYTES (1ULL << 30)
/* Who writes on and on looks again after so many bytes. */
#define SPACE_STEP_BYTES (1ULL << 20)

/* a + b, or as much as there can be: sizes come from strangers. */
static inline uint64_t space_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}
/*
 * Is there room for `need` bytes on the file system of fd, and a free inode?
 * Errors: ERR_NO_SPACE, with what is needed and what there is.
 */
must_check int space_check(int fd, uint64_t need, struct err *e);

#endif
