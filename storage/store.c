/*
 * The data folder: layout, lock, recovery.
 *
 *   lock           flock; holds the owner's pid as text
 *   index.db       SQLite, see index.c
 *   blobs/<alg>/<2 hex>/<hex>
 *   uploads/<id>   bytes of open sessions
 *   trash/         files between rename and unlink
 *   reserve        space for deletes on a full disk
 *
 * Invariant: a row never names a blob file that is not on disk whole and
 * synced; a file without a row is garbage.
 */
#include "storage/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "storage/store_int.h"

static int open_dir(int at, const char *name, int *out, struct err *e)
{
    if (io_mkdir(at, name, 0700, e) < 0)
        return -1;
    *out = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return *out < 0 ? err_sys(e, errno, "open folder %s", name) : 0;
}

static int take_lock(struct store *s, struct err *e)
{
    char text[32] = "";
    ssize_t n;

    s->lock_fd = openat(s->root_fd, "lock",
                        O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0)
        return err_sys(e, errno, "open %s/lock", s->root_path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        n = pread(s->lock_fd, text, sizeof(text) - 1, 0);
        text[n > 0 ? strcspn(text, "\n") : 0] = '\0';
        return err_set(e, ERR_BUSY,
                       "data folder %s belongs to a running berthd (pid %s)",
                       s->root_path, text[0] ? text : "unknown");
    }
    n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(s->lock_fd, 0) < 0)
        return err_sys(e, errno, "write %s/lock", s->root_path);
    return io_write_all(s->lock_fd, text, (size_t)n, 0, e);
}

static int make_shards(int fd, struct err *e)
{
    char name[3];

    for (unsigned i = 0; i < 256; i++) {
        unsigned char byte = (unsigned char)i;

        num_hex(&byte, 1, name);
        if (io_mkdir(fd, name, 0700, e) < 0)
            return -1;
    }
    return 0;
}

/* Folders; all of them made durable before the first use of any. */
static int make_layout(struct store *s, struct err *e)
{
    scoped_fd blobs = -1;
    struct stat st;

    if (open_dir(s->root_fd, "uploads", &s->uploads_fd, e) < 0 ||
        open_dir(s->root_fd, "trash", &s->trash_fd, e) < 0 ||
        open_dir(s->root_fd, "blobs", &blobs, e) < 0 ||
        open_dir(blobs, "sha256", &s->blobs_fd[HASH_SHA256], e) < 0 ||
        open_dir(blobs, "sha512", &s->blobs_fd[HASH_SHA512], e) < 0)
        return -1;
    if (fstatat(s->root_fd, "index.db", &st, 0) == 0)
        return 0;
    if (make_shards(s->blobs_fd[HASH_SHA256], e) < 0 ||
        make_shards(s->blobs_fd[HASH_SHA512], e) < 0)
        return -1;
    if (syncfs(s->root_fd) < 0)
        return err_sys(e, errno, "sync %s", s->root_path);
    return 0;
}

static int open_root(struct store *s, struct err *e)
{
    struct stat st;

    if (io_mkdir_all(s->root_path, 0700, e) < 0)
        return -1;
    s->root_fd = open(s->root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->root_fd < 0 || fstat(s->root_fd, &st) < 0)
        return err_sys(e, errno, "open data folder %s", s->root_path);
    if (st.st_uid != geteuid())
        return err_set(e, ERR_DENIED,
                       "data folder %s belongs to user %u, not to %u",
                       s->root_path, (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & S_IWOTH)
        return err_set(e, ERR_DENIED,
                       "data folder %s is writable for everybody: chmod o-w",
                       s->root_path);
    return 0;
}

/* Unlink every entry of a folder for which keep() says no. */
static void sweep_dir(struct store *s, int dirfd,
                      bool (*keep)(struct store *, const char *))
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.' && !(keep && keep(s, entry->d_name)))
            unlinkat(dirfd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

/* Sessions of the last run: rows become sessions, files without row go. */
static int restore_uploads(struct store *s, struct err *e)
{
    sqlite3_stmt *st = index_statement(
        &s->index, "SELECT id, repo, offset, touched FROM upload", e);
    int rc = SQLITE_ERROR;

    while (st && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct err lost = {0};

        /* A session that cannot be restored is gone: clients start again. */
        if (upload_restore(s, (const char *)sqlite3_column_text(st, 0),
                           (const char *)sqlite3_column_text(st, 1),
                           sqlite3_column_int64(st, 2),
                           sqlite3_column_int64(st, 3), &lost) < 0)
            log_line(LOG_LEVEL_WARN, "upload dropped: %s", lost.msg);
    }
    if (!st)
        return -1;
    sqlite3_reset(st);
    if (rc != SQLITE_DONE)
        return index_err(s->index.db, rc, "read uploads", e);
    sweep_dir(s, s->uploads_fd, upload_known);
    return 0;
}

static int open_parts(struct store *s, struct err *e)
{
    if (open_root(s, e) < 0 || take_lock(s, e) < 0 || make_layout(s, e) < 0)
        return -1;
    s->min_free = s->opts.min_free_bytes < 0 ? store_default_floor(s)
                                             : s->opts.min_free_bytes;
    sweep_dir(s, s->trash_fd, NULL);
    if (index_open_writer(s, e) < 0 || restore_uploads(s, e) < 0)
        return -1;
    /* The index file's own name must survive a power cut too. */
    if (io_sync_dir(s->root_fd, e) < 0)
        return -1;
    reserve_make(s);
    return writer_start(s, e);
}

int store_open(const struct store_opts *opts, struct store **out, struct err *e)
{
    struct store *s = calloc(1, sizeof(*s));

    if (!s)
        return err_set(e, ERR_NO_MEMORY, "open store: out of memory");
    s->opts = *opts;
    s->root_fd = s->lock_fd = s->uploads_fd = s->trash_fd = -1;
    s->blobs_fd[HASH_SHA256] = s->blobs_fd[HASH_SHA512] = -1;
    s->tail = &s->head;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    upload_table_init(&s->uploads);
    s->root_path = strdup(opts->root);
    if (!s->root_path) {
        store_close(s);
        return err_set(e, ERR_NO_MEMORY, "open store: out of memory");
    }
    if (open_parts(s, e) < 0) {
        store_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    writer_stop(s);
    index_close(&s->index);
    upload_table_free(&s->uploads);
    scope_close(&s->blobs_fd[HASH_SHA256]);
    scope_close(&s->blobs_fd[HASH_SHA512]);
    scope_close(&s->uploads_fd);
    scope_close(&s->trash_fd);
    scope_close(&s->root_fd);
    scope_close(&s->lock_fd); /* last: whoever waits may open now */
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s->root_path);
    free(s);
}
