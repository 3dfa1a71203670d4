/*
 * The disk as all parts of the store see it: blob files by their digest, room,
 * and whether it can be trusted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "storage/store_int.h"

/* ---- trust --------------------------------------------------------------- */

const char *store_fault(const struct store *s)
{
    return atomic_load(&s->is_faulty) ? s->fault : NULL;
}

void store_set_fault(struct store *s, const struct err *e)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&once);
    if (!atomic_load(&s->is_faulty)) {
        snprintf(s->fault, sizeof(s->fault), "%s", e->msg);
        atomic_store(&s->is_faulty, true);
        log_line(LOG_LEVEL_ERROR,
                 "storage is read-only from now on: %s; restart after the "
                 "disk is healthy",
                 s->fault);
    }
    pthread_mutex_unlock(&once);
}

/* ---- blob files ---------------------------------------------------------- */

char *store_blob_path(const struct digest *d, char out[BLOB_PATH_MAX])
{
    num_hex(d->key + 1, 1, out);
    out[2] = '/';
    num_hex(d->key + 1, digest_key_len(d) - 1, out + 3);
    return out;
}

int store_sync_shard(struct store *s, const struct digest *d, struct err *e)
{
    char shard[3];
    scoped_fd fd = -1;

    num_hex(d->key + 1, 1, shard);
    fd = openat(s->blobs_fd[digest_alg(d)], shard,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_sys(e, errno, "open shard folder %s", shard);
    return io_sync_dir(fd, e);
}

int store_blob_open(struct store *s, const struct digest *d, int64_t size,
                    int *out, struct err *e)
{
    char path[BLOB_PATH_MAX], text[DIGEST_TEXT_MAX];
    scoped_fd fd = -1;
    struct stat st;

    /* The path is hex digits of a parsed digest, below a 0700 folder of ours:
     * openat2 would add nothing, and sandboxes refuse it (systemd does under
     * RestrictSUIDSGID=). */
    store_blob_path(d, path);
    fd = openat(s->blobs_fd[digest_alg(d)], path,
                O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_sys(e, errno, "blob %s", digest_format(d, text));
        if (e->code != ERR_NO_MEMORY)
            e->code = ERR_IO; /* the index says that it is there */
        return -1;
    }
    if (!S_ISREG(st.st_mode) || st.st_size != size)
        return err_set(e, ERR_IO, "blob %s is damaged: run a check",
                       digest_format(d, text));
    *out = take_fd(&fd);
    return 0;
}

/* ---- room ---------------------------------------------------------------- */

int64_t store_default_floor(struct store *s)
{
    struct statvfs fs;
    int64_t five_percent;

    if (fstatvfs(s->root_fd, &fs) < 0)
        return 0;
    five_percent = (int64_t)(fs.f_blocks / 20 * fs.f_frsize);
    return five_percent < (1 << 30) ? five_percent : 1 << 30;
}

int store_check_space(struct store *s, int64_t more, struct err *e)
{
    struct statvfs fs;

    if (store_fault(s))
        return err_set(e, ERR_READ_ONLY, "storage is read-only: %s", s->fault);
    if (fstatvfs(s->uploads_fd, &fs) < 0)
        return err_sys(e, errno, "statvfs");
    if ((int64_t)(fs.f_bavail * fs.f_frsize) - more < s->min_free)
        return err_set(e, ERR_NO_SPACE,
                       "the disk is nearly full: uploads are refused");
    return 0;
}

enum { RESERVE_BYTES = 4 << 20 };

void reserve_make(struct store *s)
{
    scoped_fd fd = -1;
    struct statvfs fs;

    /* Not of the last blocks: half of what is free stays free. */
    if (s->has_reserve || fstatvfs(s->root_fd, &fs) < 0 ||
        fs.f_bavail * fs.f_frsize < 2 * (uint64_t)RESERVE_BYTES)
        return;
    fd = openat(s->root_fd, "reserve",
                O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    s->has_reserve = fallocate(fd, 0, 0, RESERVE_BYTES) == 0;
    if (!s->has_reserve)
        unlinkat(s->root_fd, "reserve", 0);
}

void reserve_release(struct store *s)
{
    unlinkat(s->root_fd, "reserve", 0);
    s->has_reserve = false;
}
