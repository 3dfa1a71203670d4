/*
 * Upload sessions.
 *
 * A session lives in memory; its file comes with the first bytes, its row
 * with the first acknowledged ones (store_job_offset).
 *
 * Invariants: 1. one request holds a session at a time (is_busy); 2. durable
 * <= bytes on disk, and only durable is ever acknowledged; 3. when hashed ==
 * offset the digest streams cover exactly the file's first offset bytes,
 * otherwise the prefix is hashed again before the next use.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Adding to a table may fail: every user has a bool `failed` in scope. */
#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(obj) (failed = true)
#include <uthash.h>

#include "base/clock.h"
#include "base/io.h"
#include "storage/store_int.h"

enum { FLUSH_BYTES = 8 << 20, REHASH_BYTES = 256 << 10 };

struct upload {
    char id[UPLOAD_ID_LEN + 1];
    char *repo;
    int fd;
    int64_t offset;               /* written and hashed (unless hashed < 0) */
    int64_t durable;              /* synced */
    int64_t hashed;               /* == offset, or -1 after a restart */
    int64_t flushed;              /* write-back was started up to here */
    struct hash *sha256, *sha512; /* sha512 only when announced */
    bool wants_sha512, is_busy, has_file, is_name_durable;
    int64_t used_ms;          /* clock_mono_ms of the last use */
    struct upload *next_dead; /* while being expired */
    UT_hash_handle hh;
};

void upload_table_init(struct upload_table *t)
{
    pthread_mutex_init(&t->lock, NULL);
}

static void upload_free(struct upload *u)
{
    if (u->fd >= 0)
        close(u->fd);
    hash_free(u->sha256);
    hash_free(u->sha512);
    free(u->repo);
    free(u);
}

void upload_table_free(struct upload_table *t)
{
    struct upload *u, *next;

    HASH_ITER (hh, t->by_id, u, next) {
        HASH_DEL(t->by_id, u);
        upload_free(u);
    }
    pthread_mutex_destroy(&t->lock);
}

/* A random UUID (version 4). */
static void make_id(char out[UPLOAD_ID_LEN + 1])
{
    unsigned char raw[16];
    char hex[33];

    io_random(raw, sizeof(raw));
    raw[6] = (raw[6] & 0x0f) | 0x40;
    raw[8] = (raw[8] & 0x3f) | 0x80;
    num_hex(raw, sizeof(raw), hex);
    snprintf(out, UPLOAD_ID_LEN + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
             hex + 12, hex + 16, hex + 20);
}

static struct upload *find(struct store *s, const char *id)
{
    struct upload *u = NULL;

    HASH_FIND_STR(s->uploads.by_id, id, u);
    return u;
}

bool upload_known(struct store *s, const char *id)
{
    bool known;

    pthread_mutex_lock(&s->uploads.lock);
    known = find(s, id) != NULL;
    pthread_mutex_unlock(&s->uploads.lock);
    return known;
}

static struct upload *session_new(const char *id, const char *repo)
{
    struct upload *u = calloc(1, sizeof(*u));

    if (!u)
        return NULL;
    u->fd = -1;
    u->used_ms = clock_mono_ms();
    snprintf(u->id, sizeof(u->id), "%s", id);
    u->repo = strdup(repo);
    if (!u->repo) {
        upload_free(u);
        return NULL;
    }
    return u;
}

/* Under the table's lock. */
static int table_add(struct store *s, struct upload *u, struct err *e)
{
    bool failed = false;

    HASH_ADD_STR(s->uploads.by_id, id, u);
    if (failed) {
        upload_free(u);
        return err_set(e, ERR_NO_MEMORY, "upload: out of memory");
    }
    s->uploads.count++;
    return 0;
}

/*
 * Go back to what is durable: after a failed write the bytes behind it were
 * never acknowledged.  make_ready() cuts the file and hashes again.
 */
static void rewind_to_durable(struct upload *u)
{
    if (u->offset == u->durable)
        return;
    if (u->fd >= 0)
        close(u->fd);
    u->fd = -1;
    u->offset = u->flushed = u->durable;
    u->hashed = -1;
}

/* Drop a job's memory once its row is gone. */
static void on_gone(struct store_job *j)
{
    free(j);
}

/* The row of a dropped session goes in the background. */
static void forget_row(struct store *s, const char *id)
{
    struct store_job_upload_gone *j = calloc(1, sizeof(*j));

    if (!j)
        return; /* expires again after the next start */
    store_job_upload_gone_init(j, id);
    j->job.done = on_gone;
    store_submit(s, &j->job);
}

static void discard(struct store *s, struct upload *u)
{
    if (u->has_file) {
        unlinkat(s->uploads_fd, u->id, 0);
        forget_row(s, u->id);
    }
    upload_free(u);
}

/* Under lock: take out the session that was idle longest; NULL when none. */
static struct upload *take_longest_idle(struct store *s)
{
    struct upload *u, *next, *worst = NULL;

    HASH_ITER (hh, s->uploads.by_id, u, next) {
        /* cppcheck-suppress uninitvar; HASH_ITER sets it */
        if (!u->is_busy && (!worst || u->used_ms < worst->used_ms))
            worst = u;
    }
    if (worst) {
        HASH_DEL(s->uploads.by_id, worst);
        s->uploads.count--;
    }
    return worst;
}

int upload_begin(struct store *s, const char *repo, enum hash_alg alg,
                 struct upload_info *out, struct err *e)
{
    struct upload *u, *victim = NULL;
    int rc;

    if (store_fault(s))
        return err_set(e, ERR_READ_ONLY, "storage is read-only: %s", s->fault);
    make_id(out->id);
    out->offset = 0;
    u = session_new(out->id, repo);
    if (!u)
        return err_set(e, ERR_NO_MEMORY, "upload: out of memory");
    u->wants_sha512 = alg == HASH_SHA512;
    pthread_mutex_lock(&s->uploads.lock);
    if (s->uploads.count >= UPLOAD_MAX_SESSIONS)
        victim = take_longest_idle(s);
    rc = table_add(s, u, e);
    pthread_mutex_unlock(&s->uploads.lock);
    if (victim)
        discard(s, victim);
    return rc;
}

int upload_restore(struct store *s, const char *id, const char *repo,
                   int64_t offset, int64_t touched, struct err *e)
{
    int64_t idle_s = clock_wall_s() - touched;
    struct upload *u;
    struct stat st;

    if (strlen(id) != UPLOAD_ID_LEN || strchr(id, '/'))
        return err_set(e, ERR_INVALID, "row with a bad id");
    if (fstatat(s->uploads_fd, id, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode) || st.st_size < offset) {
        forget_row(s, id);
        return err_set(e, ERR_NOT_FOUND, "the file of upload %s is gone", id);
    }
    u = session_new(id, repo);
    if (!u)
        return err_set(e, ERR_NO_MEMORY, "upload: out of memory");
    u->offset = u->durable = u->flushed = offset;
    u->hashed = -1;
    u->has_file = u->is_name_durable = true;
    u->used_ms -= (idle_s > 0 ? idle_s : 0) * 1000;
    return table_add(s, u, e);
}

/* Under lock: the session of this repository, its state in *info, or NULL. */
static struct upload *look_up(struct store *s, const char *repo, const char *id,
                              struct upload_info *info, struct err *e)
{
    struct upload *u = strlen(id) == UPLOAD_ID_LEN ? find(s, id) : NULL;

    if (!u || strcmp(u->repo, repo) != 0) {
        err_set(e, ERR_NOT_FOUND, "no such upload");
        return NULL;
    }
    memcpy(info->id, u->id, sizeof(info->id));
    info->offset = u->durable;
    return u;
}

int upload_status(struct store *s, const char *repo, const char *id,
                  struct upload_info *info, struct err *e)
{
    bool found;

    pthread_mutex_lock(&s->uploads.lock);
    found = look_up(s, repo, id, info, e) != NULL;
    pthread_mutex_unlock(&s->uploads.lock);
    return found ? 0 : -1;
}

int upload_take(struct store *s, const char *repo, const char *id,
                struct upload **out, struct upload_info *info, struct err *e)
{
    struct upload *u;
    int rc = 0;

    pthread_mutex_lock(&s->uploads.lock);
    u = look_up(s, repo, id, info, e);
    if (!u)
        rc = -1;
    else if (u->is_busy)
        rc = err_set(e, ERR_BUSY, "another request uses this upload");
    if (rc == 0) {
        u->is_busy = true;
        rewind_to_durable(u);
        *out = u;
    }
    pthread_mutex_unlock(&s->uploads.lock);
    return rc;
}

void upload_release(struct store *s, struct upload *u)
{
    pthread_mutex_lock(&s->uploads.lock);
    u->is_busy = false;
    u->used_ms = clock_mono_ms();
    pthread_mutex_unlock(&s->uploads.lock);
}

int64_t upload_offset(const struct upload *u)
{
    return u->offset;
}

int64_t upload_durable(const struct upload *u)
{
    return u->durable;
}

const char *upload_repo(const struct upload *u)
{
    return u->repo;
}

void upload_id(const struct upload *u, char out[UPLOAD_ID_LEN + 1])
{
    memcpy(out, u->id, UPLOAD_ID_LEN + 1);
}

int store_check_space(struct store *s, struct err *e)
{
    struct statvfs fs;

    if (store_fault(s))
        return err_set(e, ERR_READ_ONLY, "storage is read-only: %s", s->fault);
    if (fstatvfs(s->uploads_fd, &fs) < 0)
        return err_sys(e, errno, "statvfs");
    if ((int64_t)(fs.f_bavail * fs.f_frsize) < s->min_free)
        return err_set(e, ERR_NO_SPACE,
                       "the disk is nearly full: uploads are refused");
    return 0;
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

/* Open the session's file and bring the digest streams up to offset. */
static int make_ready(struct store *s, struct upload *u, struct err *e)
{
    if (u->fd >= 0 && u->sha256 && u->hashed == u->offset)
        return 0;
    if (u->fd < 0) {
        int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;

        u->fd = openat(s->uploads_fd, u->id,
                       u->has_file ? flags : flags | O_CREAT | O_EXCL, 0600);
        if (u->fd < 0)
            return err_sys(e, errno, "open upload file");
        u->has_file = true;
        if (ftruncate(u->fd, u->offset) < 0) {
            err_sys(e, errno, "cut upload file");
            store_set_fault(s, e);
            return -1;
        }
    }
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
        if (store_check_space(s, e) < 0)
            return -1;
    }
    if (make_ready(s, u, e) < 0)
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

static int check_digest(struct upload *u, const struct digest *d, struct err *e)
{
    unsigned char raw[HASH_MAX];
    struct digest got;

    if (digest_alg(d) == HASH_SHA256) {
        hash_peek(u->sha256, raw);
    } else if (u->sha512) {
        hash_peek(u->sha512, raw);
    } else {
        struct hash *h = hash_new(HASH_SHA512);
        int rc = h ? hash_prefix(u->fd, u->offset, h, NULL, e)
                   : err_set(e, ERR_NO_MEMORY, "hash upload: out of memory");

        if (rc == 0)
            hash_peek(h, raw);
        hash_free(h);
        if (rc < 0)
            return -1;
    }
    got = digest_make(digest_alg(d), raw);
    if (!digest_eq(&got, d))
        return err_set(e, ERR_DIGEST,
                       "the uploaded bytes do not have this digest");
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
            renameat(s->uploads_fd, u->id, dir, path) < 0)
            return err_sys(e, errno, "replace blob");
    }
    return store_sync_shard(s, d, e);
}

int upload_finish(struct store *s, struct upload *u, const struct digest *d,
                  struct err *e)
{
    if (u->fd < 0 && store_check_space(s, e) < 0)
        return -1;
    if (make_ready(s, u, e) < 0 || check_digest(u, d, e) < 0 ||
        upload_sync(s, u, e) < 0)
        return -1;
    if (link_blob(s, u, d, e) < 0) {
        if (e->code == ERR_IO)
            store_set_fault(s, e);
        return -1;
    }
    return 0;
}

void upload_drop(struct store *s, struct upload *u)
{
    pthread_mutex_lock(&s->uploads.lock);
    HASH_DEL(s->uploads.by_id, u);
    s->uploads.count--;
    pthread_mutex_unlock(&s->uploads.lock);
    unlinkat(s->uploads_fd, u->id, 0);
    upload_free(u);
}

size_t store_expire_uploads(struct store *s)
{
    int64_t now = clock_mono_ms();
    struct upload *u, *next, *dead = NULL;
    size_t count = 0;

    pthread_mutex_lock(&s->uploads.lock);
    HASH_ITER (hh, s->uploads.by_id, u, next) {
        int64_t limit_s;

        /* cppcheck-suppress uninitvar; HASH_ITER sets it */
        if (u->is_busy)
            continue; /* its holder may be writing offset now */
        limit_s = u->offset ? s->opts.upload_ttl_s : s->opts.upload_idle_s;
        if (now - u->used_ms < limit_s * 1000)
            continue;
        HASH_DEL(s->uploads.by_id, u);
        s->uploads.count--;
        u->next_dead = dead;
        dead = u;
    }
    pthread_mutex_unlock(&s->uploads.lock);
    for (; dead; dead = next) {
        next = dead->next_dead;
        discard(s, dead);
        count++;
    }
    return count;
}
