/*
 * Jobs around blobs: upload offsets, the commit of a finished upload, mounts,
 * and the touch of a review entry.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/job_int.h"

static int run_offset(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_offset *j = (struct store_job_offset *)job;
    sqlite3_stmt *st = job_prepare(
        s,
        "INSERT INTO upload(id, repo, offset, touched) VALUES(?,?,?,?)"
        " ON CONFLICT(id) DO UPDATE SET offset=excluded.offset,"
        " touched=excluded.touched",
        e);
    char id[UPLOAD_ID_LEN + 1];

    if (!st)
        return -1;
    upload_id(j->upload, id);
    index_bind_text(st, 1, id);
    index_bind_text(st, 2, upload_repo(j->upload));
    sqlite3_bind_int64(st, 3, upload_durable(j->upload));
    sqlite3_bind_int64(st, 4, clock_wall_s());
    return job_step(s, st, e);
}

void store_job_offset_init(struct store_job_offset *j, struct upload *u)
{
    *j = (struct store_job_offset){.job.run = run_offset, .upload = u};
}

/*
 * The reaper may have taken an older file of this name since the worker saw
 * it; both run on this thread, so looking now is enough.
 */
static int ensure_file(struct store *s, const char *id, const struct digest *d,
                       struct err *e)
{
    int dir = s->blobs_fd[digest_alg(d)];
    char path[BLOB_PATH_MAX];
    struct stat st;

    store_blob_path(d, path);
    if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (errno != ENOENT)
        return err_sys(e, errno, "stat blob");
    if (linkat(s->uploads_fd, id, dir, path, 0) < 0)
        return err_sys(e, errno, "link blob again");
    return store_sync_shard(s, d, e);
}

static int run_blob(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_blob *j = (struct store_job_blob *)job;
    struct store_job_upload_gone gone;
    char id[UPLOAD_ID_LEN + 1];
    int64_t repo;

    upload_id(j->upload, id);
    if (ensure_file(s, id, &j->digest, e) < 0 ||
        job_repo_id(s, upload_repo(j->upload), true, &repo, e) < 0 ||
        job_review(s, repo, &j->digest, e) < 0 ||
        job_run_digest(s,
                       "INSERT INTO blob(digest, size) VALUES(?,?)"
                       " ON CONFLICT(digest) DO UPDATE SET size=excluded.size",
                       &j->digest, upload_offset(j->upload), e) < 0 ||
        job_link_blob(s, repo, &j->digest, e) < 0 ||
        job_run_digest(s, "DELETE FROM dead_object WHERE digest=?", &j->digest,
                       0, e) < 0)
        return -1;
    store_job_upload_gone_init(&gone, id);
    return gone.job.run(s, &gone.job, e);
}

static void after_blob(struct store *s, struct store_job *job)
{
    struct store_job_blob *j = (struct store_job_blob *)job;

    upload_drop(s, j->upload);
    j->upload = NULL;
}

void store_job_blob_init(struct store_job_blob *j, struct upload *u,
                         const struct digest *d)
{
    *j = (struct store_job_blob){.job.run = run_blob,
                                 .job.after = after_blob,
                                 .upload = u,
                                 .digest = *d};
}

/* ---- mount and touch ---------------------------------------------------- */

static int run_mount(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_mount *j = (struct store_job_mount *)job;
    sqlite3_stmt *st = job_prepare(
        s,
        "SELECT rb.repo FROM repo_blob rb JOIN repo r ON r.id=rb.repo"
        " WHERE rb.digest=?1 AND (?2='' OR r.name=?2) LIMIT 1",
        e);
    int64_t from, repo;
    int rc;

    if (!st)
        return -1;
    index_bind_digest(st, 1, &j->digest);
    index_bind_text(st, 2, j->from);
    rc = job_first(s, st, &from, e);
    if (rc == 0)
        err_set(e, ERR_NOT_FOUND, "no such blob to mount");
    if (rc <= 0)
        return -1;
    if (job_repo_id(s, j->repo, true, &repo, e) < 0 ||
        job_review(s, repo, &j->digest, e) < 0)
        return -1;
    return job_link_blob(s, repo, &j->digest, e);
}

void store_job_mount_init(struct store_job_mount *j)
{
    *j = (struct store_job_mount){.job.run = run_mount};
}

static int run_touch(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_touch *j = (struct store_job_touch *)job;
    int64_t repo, ignored;
    int rc;

    if (job_repo_id(s, j->repo, false, &repo, e) < 0)
        return -1;
    rc = job_find(s, "SELECT 1 FROM repo_blob WHERE repo=? AND digest=?", repo,
                  &j->digest, &ignored, e);
    if (rc <= 0)
        return rc < 0 ? -1 : err_set(e, ERR_NOT_FOUND, "blob is unknown");
    return job_run_repo_digest(
        s, "UPDATE review SET due=max(due, ?3) WHERE repo=?1 AND digest=?2",
        repo, &j->digest, clock_wall_s() + s->opts.grace_s, e);
}

void store_job_touch_init(struct store_job_touch *j)
{
    *j = (struct store_job_touch){.job.run = run_touch};
}
