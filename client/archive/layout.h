/*
 * Files of an archive on their way out: as a tar, or into a folder.
 *
 * 1. The same files in the same order give the same bytes: no time, owner or
 *    name of this machine is in them.
 * 2. What has a digest is hashed while it goes out; a wrong one is an error.
 */
#ifndef BERTH_CLIENT_ARCHIVE_LAYOUT_H
#define BERTH_CLIENT_ARCHIVE_LAYOUT_H

#include <stddef.h>

#include "base/err.h"

struct layout;

/* Owns: borrows the descriptor (a file or pipe; an empty folder). */
must_check int layout_to_tar(int fd, struct layout **out, struct err *e);
must_check int layout_to_dir(int dir, struct layout **out, struct err *e);
/* Folders come before what is in them; names are relative. */
must_check int layout_folder(struct layout *l, const char *name, struct err *e);
must_check int layout_bytes(struct layout *l, const char *name,
                            const void *data, size_t n, struct err *e);
/*
 * The whole file fd, from its start, whose digest is hex.
 * Errors: ERR_DIGEST when it is another.
 */
must_check int layout_file(struct layout *l, const char *name, const char *hex,
                           int fd, struct err *e);
/* Write the end. */
must_check int layout_finish(struct layout *l, struct err *e);
void layout_free(struct layout *l); /* NULL is fine */

#endif
