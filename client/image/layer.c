#include "client/image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/num.h"
#include "client/image/child.h"
#include "client/image/confine.h"
#include "client/image/decode.h"
#include "client/image/unpack.h"

#define MOUNT_DATA_MAX 4095

/* What the child reports through its pipe. */
struct report {
    int rc;
    struct err err;
    char diff_id[ISTORE_HEX];
    char blob[ISTORE_HEX]; /* of the compressed stream */
    struct unpack_result unpacked;
};

/* What the child is to do. */
struct job {
    struct istore_scratch *sc;
    int blob;
    const char (*lower)[ISTORE_HEX]; /* bottom first */
    size_t n;                        /* of them */
    char folder[24];                 /* in the scratch folder */
    struct unpack_limits limits;
    struct report report;
};

void layer_chain(const char *below, const char *diff_id, char out[ISTORE_HEX])
{
    char text[2 * 72 + 2];
    unsigned char raw[HASH_MAX];
    if (below == NULL) {
        (void)snprintf(out, ISTORE_HEX, "%.64s", diff_id);
        return;
    }
    int n = snprintf(text, sizeof(text), "sha256:%.64s sha256:%.64s", below,
                     diff_id);
    /* A wrong name must never look right: stop instead of guessing. */
    int rc = hash_bytes(HASH_SHA256, text, (size_t)n, raw);
    berth_assert(rc == 0);
    num_hex(raw, 32, out);
}

/*
 * Open each lower layer and name it by descriptor, so that 127 layers fit
 * into the one page that mount(2) takes.  The descriptors live as long as
 * the child.
 */
static int overlay_data(struct istore *s, const char (*lower)[ISTORE_HEX],
                        size_t n, int upper, int work,
                        char data[MOUNT_DATA_MAX + 1], struct err *e)
{
    char path[PATH_MAX];
    size_t len = (size_t)snprintf(data, MOUNT_DATA_MAX,
                                  "userxattr,upperdir=/proc/self/fd/%d,"
                                  "workdir=/proc/self/fd/%d,lowerdir=",
                                  upper, work);
    for (size_t i = n; i-- > 0;) {
        if (istore_layer_path(s, lower[i], path, e) != 0)
            return -1;
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return err_sys(e, errno, "open layer %.12s", lower[i]);
        int m = snprintf(data + len, MOUNT_DATA_MAX - len, "%s/proc/self/fd/%d",
                         i + 1 < n ? ":" : "", fd);
        len += (size_t)m;
        if (len >= MOUNT_DATA_MAX)
            return err_set(e, ERR_TOO_LARGE, "too many layers");
    }
    return 0;
}

/* Show a folder at target, as the overlay would be: no device opens there. */
static int bind_folder(const char *from, const char *target, struct err *e)
{
    const unsigned long safe = MS_NODEV | MS_NOEXEC | MS_NOSUID;
    if (mount(from, target, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | safe, NULL) != 0)
        return err_sys(e, errno, "mount the folder of the layer");
    return 0;
}

/*
 * The root to unpack into: an overlay over the lower layers, or the folder.
 * Descriptors are opened anew after the unshare: overlay refuses those of
 * another mount namespace.
 */
static int open_root(const struct job *j, struct err *e)
{
    char data[MOUNT_DATA_MAX + 1], fs_path[PATH_MAX + 64],
        target[PATH_MAX + 64];
    const char *base = istore_scratch_path(j->sc);
    (void)snprintf(fs_path, sizeof(fs_path), "%s/%s/fs", base, j->folder);
    (void)snprintf(target, sizeof(target), "%s/work", base);
    scoped_fd fs = open(fs_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_fd work = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fs < 0 || work < 0)
        return err_sys(e, errno, "open the folders of the layer");
    (void)snprintf(target, sizeof(target), "%s/root", base);
    if (j->n == 0 && bind_folder(fs_path, target, e) != 0)
        return -1;
    if (j->n > 0 && overlay_data(istore_scratch_store(j->sc), j->lower, j->n,
                                 fs, work, data, e) != 0)
        return -1;
    if (j->n > 0 && mount("overlay", target, "overlay",
                          MS_NODEV | MS_NOEXEC | MS_NOSUID, data) != 0)
        return err_sys(e, errno, "mount the lower layers");
    int root = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root >= 0 ? root : err_sys(e, errno, "open %s", target);
}

/* out: where the report goes, which the cage must leave open. */
static int unpack_in_child(const struct job *j, int out, struct report *r)
{
    char jail[PATH_MAX + 64];
    struct decode *d;
    /* Before the cage, since hashing may read OpenSSL's configuration. */
    if (decode_open(j->blob, &d, &r->err) != 0)
        return -1;
    unpack_prepare();
    if (confine_begin(&r->err) != 0)
        return -1;
    int root = open_root(j, &r->err);
    if (root < 0)
        return -1;
    const int keep[] = {j->blob, root, out};
    (void)snprintf(jail, sizeof(jail), "%s/jail", istore_scratch_path(j->sc));
    if (confine_end(jail, root, keep, array_len(keep), &r->err) != 0)
        return -1;
    uint64_t bytes;
    int rc = unpack_tar(d, root, j->n > 0, &j->limits, &r->unpacked, &r->err);
    decode_diff_id(d, r->diff_id);
    decode_source(d, r->blob, &bytes);
    decode_free(d);
    return rc;
}

static void work(void *arg, int out)
{
    struct job *j = arg;
    struct err quiet;
    j->report.rc = unpack_in_child(j, out, &j->report);
    (void)!io_write_all(out, &j->report, sizeof(j->report), -1, &quiet);
}

static int on_report(void *arg, int in, struct err *e)
{
    struct job *j = arg;
    if (child_get(in, &j->report, sizeof(j->report), e) != 0)
        return -1;
    if (j->report.rc != 0)
        *e = j->report.err;
    return j->report.rc;
}

static int make_folders(int dir, const char *folder, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    (void)snprintf(rel, sizeof(rel), "%s/fs", folder);
    io_remove_tree(dir, "work");
    if (io_mkdir(dir, "work", 0700, e) != 0 ||
        io_mkdir(dir, "root", 0700, e) != 0 ||
        io_mkdir(dir, "jail", 0700, e) != 0 ||
        io_mkdir(dir, folder, 0700, e) != 0 || io_mkdir(dir, rel, 0755, e) != 0)
        return -1;
    int fs = openat(dir, rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fs < 0)
        return err_sys(e, errno, "open the layer's folder");
    if (fchmod(fs, 0755) != 0) {
        (void)close(fs);
        return err_sys(e, errno, "chmod the layer's folder");
    }
    return fs;
}

static int other_content(const char *got, const char *diff_id, struct err *e)
{
    return err_set(e, ERR_DIGEST,
                   "the layer's content is sha256:%.12s, the image's config "
                   "says sha256:%.12s",
                   got, diff_id);
}

/* What the layers below leave of the image's limits. */
static int set_limits(struct istore *s, struct job *j, struct err *e)
{
    struct unpack_limits *l = &j->limits;
    *l = (struct unpack_limits){UNPACK_IMAGE_BYTES, UNPACK_IMAGE_ENTRIES};
    for (size_t i = 0; i < j->n; i++) {
        struct istore_layer below;
        istore_layer_read(s, j->lower[i], &below);
        if (below.size > l->bytes || below.entries > l->entries)
            return err_set(e, ERR_TOO_LARGE,
                           "the image is over %llu bytes or %llu files",
                           UNPACK_IMAGE_BYTES, UNPACK_IMAGE_ENTRIES);
        l->bytes -= below.size;
        l->entries -= below.entries;
    }
    return 0;
}

int layer_add(struct istore_scratch *sc, int blob,
              const char (*lower)[ISTORE_HEX], size_t n_lower,
              const char *diff_id, struct layer_result *out, struct err *e)
{
    struct job j = {.sc = sc, .blob = blob, .lower = lower, .n = n_lower};
    struct report *r = &j.report;
    char name[17];
    struct istore *s = istore_scratch_store(sc);
    int dir = istore_scratch_dirfd(sc);
    if (geteuid() != 0)
        return err_set(e, ERR_DENIED,
                       "unpacking an image needs root: try with sudo");
    io_random_hex(name, 8);
    (void)snprintf(j.folder, sizeof(j.folder), "l-%s", name);
    if (set_limits(s, &j, e) != 0)
        return -1;
    scoped_fd fs = make_folders(dir, j.folder, e);
    if (fs < 0)
        return -1;
    if (n_lower > 0 &&
        istore_root_inherit(s, lower[n_lower - 1], fs, false, e) != 0)
        return -1;
    if (lseek(blob, 0, SEEK_SET) != 0)
        return err_sys(e, errno, "rewind the layer");
    if (child_run(work, on_report, &j, e) != 0)
        return -1;
    /* What the layer does not speak of stays as it was, times included. */
    if (n_lower > 0 && !r->unpacked.has_root &&
        istore_root_inherit(s, lower[n_lower - 1], fs, true, e) != 0)
        return -1;
    if (diff_id != NULL && strcmp(diff_id, r->diff_id) != 0)
        return other_content(r->diff_id, diff_id, e);
    struct istore_layer made = {.size = r->unpacked.bytes,
                                .entries = r->unpacked.entries};
    memcpy(made.diff_id, r->diff_id, ISTORE_HEX);
    memcpy(made.blob, r->blob, ISTORE_HEX);
    if (istore_layer_write(sc, j.folder, &made, e) != 0)
        return -1;
    if (syncfs(fs) != 0)
        return err_sys(e, errno, "sync the layer");
    memcpy(out->diff_id, r->diff_id, ISTORE_HEX);
    layer_chain(n_lower > 0 ? lower[n_lower - 1] : NULL, r->diff_id,
                out->chain);
    out->size = r->unpacked.bytes;
    out->skipped = r->unpacked.skipped;
    return istore_layer_add(sc, j.folder, out->chain, e);
}

/* ---- hashing a blob's content -------------------------------------------*/

struct check {
    const char *jail; /* an empty folder */
    int blob;
    struct {
        int rc;
        struct err err;
        char diff_id[ISTORE_HEX];
    } report;
};

static int check_in_child(struct check *c, int out)
{
    struct decode *d;
    struct err *e = &c->report.err;
    if (decode_open(c->blob, &d, e) != 0 || confine_begin(e) != 0)
        return -1;
    int jail = open(c->jail, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int keep[] = {c->blob, jail, out};
    if (jail < 0)
        return err_sys(e, errno, "open %s", c->jail);
    if (confine_end(c->jail, jail, keep, array_len(keep), e) != 0)
        return -1;
    int rc = decode_drain(d, e);
    decode_diff_id(d, c->report.diff_id);
    return rc;
}

static void work_check(void *arg, int out)
{
    struct check *c = arg;
    struct err quiet;
    c->report.rc = check_in_child(c, out);
    (void)!io_write_all(out, &c->report, sizeof(c->report), -1, &quiet);
}

static int on_check(void *arg, int in, struct err *e)
{
    struct check *c = arg;
    if (child_get(in, &c->report, sizeof(c->report), e) != 0)
        return -1;
    if (c->report.rc != 0)
        *e = c->report.err;
    return c->report.rc;
}

int layer_check(struct istore_scratch *sc, const char *chain,
                const char *blob_hex, const char *diff_id, struct err *e)
{
    struct istore *s = istore_scratch_store(sc);
    char jail[PATH_MAX + 64];
    struct istore_layer here;
    istore_layer_read(s, chain, &here);
    if (strcmp(here.blob, blob_hex) == 0)
        return 0;
    scoped_fd blob = istore_blob_open(s, blob_hex, e);
    if (blob < 0 || io_mkdir(istore_scratch_dirfd(sc), "jail", 0700, e) != 0)
        return -1;
    (void)snprintf(jail, sizeof(jail), "%s/jail", istore_scratch_path(sc));
    struct check c = {.jail = jail, .blob = blob};
    if (child_run(work_check, on_check, &c, e) != 0)
        return -1;
    return strcmp(c.report.diff_id, diff_id) == 0
               ? 0
               : other_content(c.report.diff_id, diff_id, e);
}
