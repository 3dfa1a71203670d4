/*
 * The tar of an archive, read by a child in a cage (confine.h) that can only
 * write files into the spool's folder.  What it reports is as foreign as the
 * tar itself and checked again here.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "client/archive/spool_int.h"
#include "client/image/child.h"
#include "client/image/confine.h"
#include "client/image/decode.h"
#include "client/image/unpack.h"

struct tar {
    struct spool *sp; /* in the child: its own copy */
    int fd;           /* of the archive */
    int dir;          /* of the spool's folder */
    struct decode *decode;
    struct archive *a;
    struct err read_error;
    uint64_t bytes;
};

/* ---- in the child --------------------------------------------------------*/

static int copy_data(struct tar *t, struct spool_writer *w, int64_t size,
                     struct err *e)
{
    const void *data;
    size_t n;
    la_int64_t off;
    int rc;
    while ((rc = archive_read_data_block(t->a, &data, &n, &off)) ==
           ARCHIVE_OK) {
        /* A sparse file may claim terabytes that no byte backs. */
        if (off < 0 || (uint64_t)off != w->size)
            return err_set(e, ERR_UNSUPPORTED, "a sparse file");
        if (n > SPOOL_MAX_BYTES - t->bytes)
            return err_set(e, ERR_TOO_LARGE, "the archive is over %llu bytes",
                           SPOOL_MAX_BYTES);
        t->bytes += n;
        if (spool_writer_put(w, data, n, e) != 0)
            return -1;
    }
    if (rc != ARCHIVE_EOF)
        return err_set(e, ERR_INVALID, "bad tar: %.150s",
                       archive_error_string(t->a));
    if (size < 0 || (uint64_t)size != w->size)
        return err_set(e, ERR_INVALID, "not of the size that it says");
    return 0;
}

static int put_file(struct tar *t, const char *name, int64_t size,
                    struct err *e)
{
    struct spool_writer w;
    const struct spool_entry *x = spool_add(t->sp, name, NULL, e);
    if (x == NULL || spool_writer_open(&w, t->dir, x, e) != 0)
        return -1;
    int rc = copy_data(t, &w, size, e);
    scope_close(&w.fd);
    return rc == 0 ? 0 : err_prefix(e, "%.100s", name);
}

/* A link whose target leaves the archive stays without one. */
static int put_link(struct tar *t, const char *name, const char *from,
                    const char *target, struct err *e)
{
    char to[PATH_MAX];
    if (!spool_join(from, target, to))
        to[0] = '\0';
    return spool_add(t->sp, name, to, e) != NULL ? 0 : -1;
}

static int put_entry(struct tar *t, struct archive_entry *entry, struct err *e)
{
    char name[PATH_MAX];
    const char *text = archive_entry_pathname(entry);
    const char *hard = archive_entry_hardlink(entry);
    const char *soft = archive_entry_symlink(entry);
    mode_t type = archive_entry_filetype(entry);
    if (text == NULL)
        return err_set(e, ERR_INVALID, "an entry of the archive has no name");
    if (spool_clean(text, name, e) != 0)
        return -1;
    if (hard == NULL && type == S_IFDIR)
        return 0;
    if (name[0] != '\0' && hard != NULL)
        return put_link(t, name, NULL, hard, e);
    if (name[0] != '\0' && type == S_IFLNK && soft != NULL)
        return put_link(t, name, name, soft, e);
    if (name[0] == '\0' || type != S_IFREG)
        return err_set(e, ERR_INVALID, "\"%.100s\" is no file", text);
    return put_file(t, name, archive_entry_size(entry), e);
}

static la_ssize_t on_read(struct archive *a, void *arg, const void **data)
{
    struct tar *t = arg;
    size_t n;
    if (decode_read(t->decode, data, &n, &t->read_error) != 0) {
        archive_set_error(a, EIO, "%s", t->read_error.msg);
        return ARCHIVE_FATAL;
    }
    return (la_ssize_t)n;
}

static int read_entries(struct tar *t, struct err *e)
{
    struct archive_entry *entry;
    t->a = archive_read_new();
    if (t->a == NULL || archive_read_support_format_tar(t->a) != ARCHIVE_OK)
        return err_set(e, ERR_INTERNAL, "libarchive has no tar reader");
    int rc = archive_read_open(t->a, t, NULL, on_read, NULL), mine = 0;
    while (rc == ARCHIVE_OK && mine == 0) {
        rc = archive_read_next_header(t->a, &entry);
        if (rc == ARCHIVE_OK)
            mine = put_entry(t, entry, e);
    }
    if (t->read_error.code != ERR_NONE) {
        *e = t->read_error;
        return -1;
    }
    if (mine != 0)
        return -1;
    /* A warning is a header that was not understood whole. */
    if (rc != ARCHIVE_EOF)
        return err_set(e, ERR_INVALID, "bad tar: %.180s",
                       archive_error_string(t->a));
    return decode_drain(t->decode, e);
}

static int read_in_cage(struct tar *t, int out, struct err *e)
{
    char path[PATH_MAX + 64];
    const char *base = istore_scratch_path(t->sp->sc);
    /* Before the cage: what the libraries read from the system. */
    if (decode_open(t->fd, &t->decode, e) != 0)
        return -1;
    unpack_prepare();
    if (confine_begin(e) != 0)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/" SPOOL_FOLDER, base);
    t->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (t->dir < 0)
        return err_sys(e, errno, "open %s", path);
    const int keep[] = {t->fd, t->dir, out};
    (void)snprintf(path, sizeof(path), "%s/jail", base);
    if (confine_end(path, t->dir, keep, array_len(keep), e) != 0)
        return -1;
    return read_entries(t, e);
}

static int send_entry(int out, const struct spool_entry *x, struct err *e)
{
    struct spool_record r = {.number = x->number,
                             .name_len = (uint32_t)strlen(x->name),
                             .is_link = x->link != NULL};
    if (x->link != NULL)
        r.link_len = (uint32_t)strlen(x->link);
    if (io_write_all(out, &r, sizeof(r), -1, e) != 0 ||
        io_write_all(out, x->name, r.name_len, -1, e) != 0)
        return -1;
    return r.is_link ? io_write_all(out, x->link, r.link_len, -1, e) : 0;
}

static void work(void *arg, int out)
{
    struct tar *t = arg;
    struct spool_report r = {.rc = -1};
    struct err quiet;
    r.rc = read_in_cage(t, out, &r.err);
    r.n = r.rc == 0 ? (uint32_t)t->sp->n : 0;
    int rc = io_write_all(out, &r, sizeof(r), -1, &quiet);
    for (size_t i = 0; i < r.n && rc == 0; i++)
        rc = send_entry(out, &t->sp->list[i], &quiet);
}

/* ---- here ----------------------------------------------------------------*/

static int bad_report(struct err *e)
{
    return err_set(e, ERR_INTERNAL, "the report of the archive is damaged");
}

/* A text of len bytes that is a clean name. */
static int get_name(int in, uint32_t len, char out[PATH_MAX], struct err *e)
{
    char clean[PATH_MAX];
    if (len >= PATH_MAX)
        return bad_report(e);
    if (child_get(in, out, len, e) != 0)
        return -1;
    out[len] = '\0';
    if (strlen(out) != len || !spool_join(NULL, out, clean) ||
        strcmp(clean, out) != 0)
        return bad_report(e);
    return 0;
}

static int get_entry(struct spool *sp, int in, struct err *e)
{
    char name[PATH_MAX], link[PATH_MAX];
    struct spool_record r;
    if (child_get(in, &r, sizeof(r), e) != 0 ||
        get_name(in, r.name_len, name, e) != 0)
        return -1;
    if (name[0] == '\0' || r.number != sp->n)
        return bad_report(e);
    if (r.is_link && get_name(in, r.link_len, link, e) != 0)
        return -1;
    return spool_add(sp, name, r.is_link ? link : NULL, e) != NULL ? 0 : -1;
}

static int on_report(void *arg, int in, struct err *e)
{
    struct tar *t = arg;
    struct spool_report r;
    if (child_get(in, &r, sizeof(r), e) != 0)
        return -1;
    r.err.msg[sizeof(r.err.msg) - 1] = '\0';
    if (r.rc != 0) {
        *e = r.err;
        return -1;
    }
    for (uint32_t i = 0; i < r.n; i++) {
        if (get_entry(t->sp, in, e) != 0)
            return -1;
    }
    return 0;
}

static int fill(struct spool *sp, int fd, struct err *e)
{
    struct tar t = {.sp = sp, .fd = fd, .dir = -1};
    if (io_mkdir(istore_scratch_dirfd(sp->sc), "jail", 0700, e) != 0)
        return -1;
    return child_run(work, on_report, &t, e);
}

int spool_read_tar(struct istore_scratch *sc, int fd, struct spool **out,
                   struct err *e)
{
    struct spool *sp = spool_new(sc, e);
    if (sp == NULL)
        return -1;
    if (fill(sp, fd, e) != 0 || spool_settle(sp, e) != 0) {
        spool_free(sp);
        return -1;
    }
    *out = sp;
    return 0;
}
