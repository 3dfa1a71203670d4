#include "client/archive/layout.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/num.h"

#define COPY_BYTES (256U << 10)
#define TAR_RECORD 512

struct layout {
    int fd;            /* of the tar's file, or of the folder */
    struct archive *a; /* NULL: into a folder */
    int file;          /* the file that is being written, or -1 */
    struct err write_error;
    char buf[COPY_BYTES];
};

/*
 * Never fails for libarchive, which would not free its buffers then: the first
 * error is kept, what comes after it goes nowhere, and each step looks.
 */
static la_ssize_t on_write(struct archive *a, void *arg, const void *data,
                           size_t n)
{
    struct layout *l = arg;
    (void)a;
    if (l->write_error.code == ERR_NONE)
        (void)!io_write_all(l->fd, data, n, -1, &l->write_error);
    return (la_ssize_t)n;
}

/* The end of a step: what libarchive says, or what a write below it said. */
static int ended(struct layout *l, bool is_done, struct err *e)
{
    if (l->write_error.code != ERR_NONE) {
        *e = l->write_error;
        return -1;
    }
    if (is_done)
        return 0;
    const char *text = archive_error_string(l->a);
    return err_set(e, ERR_IO, "write the archive: %.150s",
                   text != NULL ? text : "failed");
}

static struct layout *layout_new(int fd, struct err *e)
{
    struct layout *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        (void)err_set(e, ERR_NO_MEMORY, "archive: out of memory");
        return NULL;
    }
    l->fd = fd;
    l->file = -1;
    return l;
}

int layout_to_tar(int fd, struct layout **out, struct err *e)
{
    struct layout *l = layout_new(fd, e);
    if (l == NULL)
        return -1;
    l->a = archive_write_new();
    /* Restricted pax is plain ustar but for what that cannot say. */
    if (l->a == NULL ||
        archive_write_set_format_pax_restricted(l->a) != ARCHIVE_OK ||
        archive_write_add_filter_none(l->a) != ARCHIVE_OK ||
        archive_write_set_bytes_per_block(l->a, COPY_BYTES) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(l->a, TAR_RECORD) != ARCHIVE_OK ||
        archive_write_open(l->a, l, NULL, on_write, NULL) != ARCHIVE_OK) {
        (void)err_set(e, ERR_NO_MEMORY, "archive: out of memory");
        layout_free(l);
        return -1;
    }
    *out = l;
    return 0;
}

int layout_to_dir(int dir, struct layout **out, struct err *e)
{
    struct layout *l = layout_new(dir, e);
    if (l == NULL)
        return -1;
    *out = l;
    return 0;
}

/* ---- one file ------------------------------------------------------------*/

static int header(struct layout *l, const char *name, mode_t type, mode_t mode,
                  size_t size, struct err *e)
{
    struct archive_entry *x = archive_entry_new();
    if (x == NULL)
        return err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    archive_entry_set_pathname(x, name);
    archive_entry_set_filetype(x, type);
    archive_entry_set_perm(x, mode);
    archive_entry_set_mtime(x, 0, 0);
    archive_entry_set_size(x, (la_int64_t)size);
    int rc = archive_write_header(l->a, x);
    archive_entry_free(x);
    return ended(l, rc == ARCHIVE_OK, e);
}

static int begin(struct layout *l, const char *name, size_t size, struct err *e)
{
    if (l->a != NULL)
        return header(l, name, S_IFREG, 0644, size, e);
    l->file =
        openat(l->fd, name,
               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return l->file >= 0 ? 0 : err_sys(e, errno, "make %s", name);
}

static int put(struct layout *l, const void *data, size_t n, struct err *e)
{
    if (l->a == NULL)
        return io_write_all(l->file, data, n, -1, e);
    return ended(l, archive_write_data(l->a, data, n) == (la_ssize_t)n, e);
}

static void end(struct layout *l)
{
    scope_close(&l->file);
    l->file = -1;
}

int layout_folder(struct layout *l, const char *name, struct err *e)
{
    if (l->a != NULL)
        return header(l, name, S_IFDIR, 0755, 0, e);
    return io_mkdir(l->fd, name, 0755, e);
}

int layout_bytes(struct layout *l, const char *name, const void *data, size_t n,
                 struct err *e)
{
    int rc = begin(l, name, n, e);
    if (rc == 0)
        rc = put(l, data, n, e);
    end(l);
    return rc;
}

static int copy(struct layout *l, int fd, size_t size, struct hash *h,
                struct err *e)
{
    for (size_t off = 0; off < size;) {
        size_t n = size - off < COPY_BYTES ? size - off : COPY_BYTES;
        if (io_read_exact(fd, l->buf, n, (off_t)off, e) != 0)
            return -1;
        hash_update(h, l->buf, n);
        if (put(l, l->buf, n, e) != 0)
            return -1;
        off += n;
    }
    return 0;
}

static int copy_checked(struct layout *l, int fd, size_t size, const char *hex,
                        struct err *e)
{
    unsigned char raw[HASH_MAX];
    char got[65];
    struct hash *h = hash_new(HASH_SHA256);
    if (h == NULL)
        return err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    int rc = copy(l, fd, size, h, e);
    if (rc == 0 && hash_peek(h, raw) != 0)
        rc = err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    hash_free(h);
    if (rc != 0)
        return rc;
    num_hex(raw, 32, got);
    if (strcmp(got, hex) != 0)
        rc = err_set(e, ERR_DIGEST,
                     "blob sha256:%.12s is damaged: its bytes are "
                     "sha256:%.12s",
                     hex, got);
    return rc;
}

int layout_file(struct layout *l, const char *name, const char *hex, int fd,
                struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(e, errno, "%s", name);
    int rc = begin(l, name, (size_t)st.st_size, e);
    if (rc == 0)
        rc = copy_checked(l, fd, (size_t)st.st_size, hex, e);
    end(l);
    return rc;
}

int layout_finish(struct layout *l, struct err *e)
{
    return l->a == NULL ? 0
                        : ended(l, archive_write_close(l->a) == ARCHIVE_OK, e);
}

void layout_free(struct layout *l)
{
    if (l == NULL)
        return;
    /* What was not finished must not get the end of a whole archive. */
    if (l->write_error.code == ERR_NONE)
        (void)err_set(&l->write_error, ERR_CANCELLED, "archive: not finished");
    (void)archive_write_free(l->a); /* NULL is fine */
    end(l);
    free(l);
}
