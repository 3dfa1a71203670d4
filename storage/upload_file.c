/*
 * The bytes of an upload session: written, hashed, synced, given their name.
 *
 * Invariants: 1. durable <= bytes on disk, and only durable is ever
 * acknowledged; 2. when hashed == offset the digest streams cover exactly the
 * file's first offset bytes, otherwise the prefix is hashed again before the
 * next use; 3. a file that has a blob's name is never written or cut again.
 * What breaks between the name and the commit leaves such a session: it goes
 * on with a copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "storage/store_int.h"

enum { FLUSH_BYTES = 8 << 20, REHASH_BYTES = 256 << 10 };

int upload_check_space(struct store *s, struct err *e)
{
    return store_check_space(s, 0, e);
}

/* Hash the first n bytes of the file into the given streams. */
static int hash_prefix(int fd, int64_t n, struct hash *a, struct hash *b,
                       struct err *e)
{
    scoped_free char *buf = malloc(REHASH_BYTES);
    int64_t at = 0;

    if (!buf)
        return err_set(e, ERR_NO_MEMORY, "hash upload: out of memory");
    while (at < n) {
        size_t want = n - at < REHASH_BYTES ? (size_t)(n - at) : REHASH_BYTES;

        if (io_read_exact(fd, buf, want, at, e) < 0)
            return err_prefix(e, "hash upload");
        hash_update(a, buf, want);
        if (b)
            hash_update(b, buf, want);
        at += (int64_t)want;
    }
    return 0;
}

/* Does the session's file have a blob's name as well?  Sets is_shared. */
static int look_at_names(struct upload *u, int64_t *size, struct err *e)
{
    struct stat st;

    if (fstat(u->fd, &st) < 0)
        return err_sys(e, errno, "stat upload file");
    u->is_shared = st.st_nlink > 1;
    *size = st.st_size;
    return 0;
}

static int copy_prefix(int from, int to, int64_t n, struct err *e)
{
    scoped_free char *buf = malloc(REHASH_BYTES);
    int64_t at = 0;

    if (!buf)
        return err_set(e, ERR_NO_MEMORY, "copy upload: out of memory");
    while (at < n) {
        size_t want = n - at < REHASH_BYTES ? (size_t)(n - at) : REHASH_BYTES;

        if (io_read_exact(from, buf, want, at, e) < 0 ||
            io_write_all(to, buf, want, at, e) < 0)
            return err_prefix(e, "copy upload");
        at += (int64_t)want;
    }
    return 0;
}

/*
 * Leave the file to the blob: the session goes on with a copy of its bytes,
 * durable before it takes the session's name.
 */
static int separate(struct store *s, struct upload *u, struct err *e)
{
    char name[UPLOAD_ID_LEN + 8];
    scoped_fd fd = -1;
    int rc;

    if (store_check_space(s, u->offset, e) < 0)
        return -1;
    snprintf(name, sizeof(name), "%s.copy", u->id); /* a start sweeps it */
    unlinkat(s->uploads_fd, name, 0);
    fd = openat(s->uploads_fd, name,
                O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(e, errno, "copy upload");
    rc = copy_prefix(u->fd, fd, u->offset, e);
    if (rc == 0 && fdatasync(fd) < 0)
        rc = err_sys(e, errno, "sync upload");
    if (rc == 0 && renameat(s->uploads_fd, name, s->uploads_fd, u->id) < 0)
        rc = err_sys(e, errno, "rename upload");
    if (rc == 0)
        rc = io_sync_dir(s->uploads_fd, e);
    if (rc < 0) {
        unlinkat(s->uploads_fd, name, 0);
        if (e->code == ERR_IO)
            store_set_fault(s, e);
        return -1;
    }
    close(u->fd);
    u->fd = take_fd(&fd);
    u->is_shared = false;
    return 0;
}

/* Open the session's file, which then has offset bytes, or more if shared. */
static int open_file(struct store *s, struct upload *u, struct err *e)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
    int64_t size = 0;

    u->fd = openat(s->uploads_fd, u->id,
                   u->has_file ? flags : flags | O_CREAT | O_EXCL, 0600);
    if (u->fd < 0)
        return err_sys(e, errno, "open upload file");
    u->has_file = true;
    if (look_at_names(u, &size, e) < 0)
        return -1;
    if (size == u->offset)
        return 0;
    if (u->is_shared)
        return separate(s, u, e);
    if (ftruncate(u->fd, u->offset) < 0) {
        err_sys(e, errno, "cut upload file");
        store_set_fault(s, e);
        return -1;
    }
    return 0;
}

static int hash_file(struct upload *u, struct err *e)
{
    hash_free(u->sha256);
    hash_free(u->sha512);
    u->sha256 = hash_new(HASH_SHA256);
    u->sha512 = u->wants_sha512 ? hash_new(HASH_SHA512) : NULL;
    if (!u->sha256 || (u->wants_sha512 && !u->sha512))
        return err_set(e, ERR_NO_MEMORY, "hash upload: out of memory");
    if (hash_prefix(u->fd, u->offset, u->sha256, u->sha512, e) < 0)
        return -1;
    u->hashed = u->offset;
    return 0;
}

/*
 * Open the session's file and bring the digest streams up to offset; writes:
 * it will be written.
 */
static int make_ready(struct store *s, struct upload *u, bool writes,
                      struct err *e)
{
    if (u->fd < 0 && open_file(s, u, e) < 0) {
        scope_close(&u->fd);
        u->fd = -1;
        return -1;
    }
    if (writes && u->is_shared && separate(s, u, e) < 0)
        return -1;
    if (u->sha256 && u->hashed == u->offset)
        return 0;
    return hash_file(u, e);
}

/*
 * A sync failed: the kernel may have dropped the pages and marked them clean,
 * and it reports that only once per descriptor.  So nothing beyond the last
 * good sync counts any more, and no later sync is asked about it.
 */
static int sync_failed(struct store *s, struct upload *u, int sys,
                       struct err *e)
{
    err_sys(e, sys, "sync upload");
    u->offset = u->flushed = u->durable;
    u->hashed = -1;
    close(u->fd);
    u->fd = -1;
    if (e->code != ERR_NO_SPACE)
        store_set_fault(s, e);
    return -1;
}

/*
 * Start write-back of what is new and wait for the part before, so that at
 * most two windows are dirty and the last sync is short.  Its result counts:
 * it takes the file's write error away from the fdatasync that follows.
 */
static int flush_window(struct store *s, struct upload *u, struct err *e)
{
    off_t previous = u->flushed - FLUSH_BYTES;

    if (u->offset - u->flushed < FLUSH_BYTES)
        return 0;
    if (sync_file_range(u->fd, u->flushed, u->offset - u->flushed,
                        SYNC_FILE_RANGE_WRITE) < 0)
        return sync_failed(s, u, errno, e);
    if (previous >= 0 &&
        sync_file_range(u->fd, previous, FLUSH_BYTES,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER) < 0)
        return sync_failed(s, u, errno, e);
    u->flushed = u->offset;
    return 0;
}

int upload_append(struct store *s, struct upload *u, const void *data,
                  size_t len, struct err *e)
{
    if (u->offset - u->flushed >= FLUSH_BYTES / 2 || u->fd < 0) {
        if (store_check_space(s, 0, e) < 0)
            return -1;
    }
    if (make_ready(s, u, true, e) < 0)
        return -1;
    if (io_write_all(u->fd, data, len, u->offset, e) < 0) {
        int rc = ftruncate(u->fd, u->offset);

        (void)rc; /* a longer file does no harm: the offset decides */
        if (e->code == ERR_IO)
            store_set_fault(s, e);
        return -1;
    }
    hash_update(u->sha256, data, len);
    if (u->sha512)
        hash_update(u->sha512, data, len);
    u->offset += (int64_t)len;
    u->hashed = u->offset;
    return flush_window(s, u, e);
}

int upload_sync(struct store *s, struct upload *u, struct err *e)
{
    if (u->fd < 0)
        return 0; /* nothing was written by this process */
    if (fdatasync(u->fd) < 0)
        return sync_failed(s, u, errno, e);
    if (!u->is_name_durable && io_sync_dir(s->uploads_fd, e) < 0)
        return sync_failed(s, u, e->sys, e);
    u->is_name_durable = true;
    pthread_mutex_lock(&s->uploads.lock);
    u->durable = u->offset;
    pthread_mutex_unlock(&s->uploads.lock);
    return 0;
}

/* The upload's digest in sha512 by reading it once more. */
static int read_again(struct upload *u, unsigned char raw[HASH_MAX],
                      struct err *e)
{
    struct hash *h = hash_new(HASH_SHA512);
    int rc = h ? hash_prefix(u->fd, u->offset, h, NULL, e)
               : err_set(e, ERR_NO_MEMORY, "hash upload: out of memory");

    if (rc == 0 && hash_peek(h, raw) < 0)
        rc = err_set(e, ERR_NO_MEMORY, "hash upload: out of memory");
    hash_free(h);
    return rc;
}

static int check_digest(struct upload *u, const struct digest *d, struct err *e)
{
    struct hash *h = digest_alg(d) == HASH_SHA256 ? u->sha256 : u->sha512;
    unsigned char raw[HASH_MAX];
    struct digest got;

    if (!h && read_again(u, raw, e) < 0)
        return -1;
    if (h && hash_peek(h, raw) < 0)
        return err_set(e, ERR_NO_MEMORY, "hash upload: out of memory");
    got = digest_make(digest_alg(d), raw);
    if (!digest_eq(&got, d))
        return err_set(e, ERR_DIGEST,
                       "the uploaded bytes do not have this digest");
    return 0;
}

/*
 * Put the upload in the place of a damaged file.  It keeps its own name too:
 * the commit may need it, or fail.
 */
static int replace_blob(struct store *s, struct upload *u, int dir,
                        const char *path, struct err *e)
{
    unlinkat(s->trash_fd, u->id, 0);
    if (linkat(s->uploads_fd, u->id, s->trash_fd, u->id, 0) < 0 ||
        renameat(s->trash_fd, u->id, dir, path) < 0)
        return err_sys(e, errno, "replace blob");
    return 0;
}

/* Give the upload its name among the blobs. */
static int link_blob(struct store *s, struct upload *u, const struct digest *d,
                     struct err *e)
{
    int dir = s->blobs_fd[digest_alg(d)];
    char path[BLOB_PATH_MAX];
    struct stat st;

    store_blob_path(d, path);
    if (linkat(s->uploads_fd, u->id, dir, path, 0) < 0) {
        if (errno != EEXIST)
            return err_sys(e, errno, "link blob");
        if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
            return err_sys(e, errno, "stat blob");
        /* A damaged file of another size is healed by this push. */
        if (errno != ENOENT &&
            !(S_ISREG(st.st_mode) && st.st_size == u->offset) &&
            replace_blob(s, u, dir, path, e) < 0)
            return -1;
    }
    return store_sync_shard(s, d, e);
}

int upload_finish(struct store *s, struct upload *u, const struct digest *d,
                  struct err *e)
{
    if (u->fd < 0 && store_check_space(s, 0, e) < 0)
        return -1;
    if (make_ready(s, u, false, e) < 0 || check_digest(u, d, e) < 0 ||
        upload_sync(s, u, e) < 0)
        return -1;
    u->is_shared = true;
    if (link_blob(s, u, d, e) < 0) {
        if (e->code == ERR_IO)
            store_set_fault(s, e);
        return -1;
    }
    return 0;
}
