/*
 * Small file helpers with the loops everybody forgets: EINTR, short counts,
 * bounds.  All paths are relative to a directory descriptor the caller holds.
 */
#ifndef BERTH_BASE_IO_H
#define BERTH_BASE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Write all len bytes at off (off < 0: at the file position). */
must_check int io_write_all(int fd, const void *data, size_t len, off_t off,
                            struct err *e);
/* Read exactly len bytes at off; a short file is ERR_RANGE. */
must_check int io_read_exact(int fd, void *data, size_t len, off_t off,
                             struct err *e);
/*
 * Read a whole regular file of at most max bytes.
 * Owns: *out is malloc'd and NUL-terminated (not counted in *len); the
 *       caller frees it.
 * Errors: ERR_NOT_FOUND, ERR_TOO_LARGE, ERR_INVALID when it is no regular
 *       file (a FIFO never blocks: it is opened O_NONBLOCK|O_NOFOLLOW).
 */
must_check int io_read_file(int dirfd, const char *path, size_t max, char **out,
                            size_t *len, struct err *e);
/*
 * Replace a small file so that it is either old or new after a crash:
 * temporary name, write, fdatasync, rename, fsync of the directory.
 * mode is the file's; path must not contain '/' beyond dirs that exist.
 */
must_check int io_replace_file(int dirfd, const char *path, const void *data,
                               size_t len, mode_t mode, struct err *e);
/* fsync a directory by descriptor (also one opened O_PATH is an error). */
must_check int io_sync_dir(int dirfd, struct err *e);
/* mkdir one component, existing directory is fine. */
must_check int io_mkdir(int dirfd, const char *name, mode_t mode,
                        struct err *e);
/*
 * See to it that a folder is its user's alone: below it lie files with the
 * owners and modes of somebody else's images.  Opens it up to nobody: a mode
 * that is too wide becomes 0700.
 * Errors: ERR_DENIED when it belongs to another user.
 */
must_check int io_close_dir(int dirfd, const char *name, struct err *e);
/* mkdir -p of an absolute or relative path; created parts get mode. */
must_check int io_mkdir_all(const char *path, mode_t mode, struct err *e);
/*
 * rm -r of one name below dirfd, however deep; links are not followed.  What
 * cannot be removed stays.
 */
void io_remove_tree(int dirfd, const char *name);
/* len random bytes from getrandom(2); never fails on Linux >= 3.17. */
void io_random(void *out, size_t len);
/* len (at most 32) random bytes as lower-case hex: 2 * len digits and NUL. */
void io_random_hex(char *out, size_t len);

#endif
