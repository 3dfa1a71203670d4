/*
 * Deletes of tags, manifests and blobs, and the reaper that takes the files
 * of blobs whose rows went in an earlier transaction.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/job_int.h"

static int delete_tag(struct store *s, int64_t repo, const char *name,
                      struct err *e)
{
    sqlite3_stmt *st =
        job_prepare(s, "DELETE FROM tag WHERE repo=? AND name=?", e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_text(st, 2, name);
    if (job_step(s, st, e) < 0)
        return -1;
    if (sqlite3_changes(s->index.db) == 0)
        return err_set(e, ERR_NOT_FOUND, "tag %s is unknown", name);
    return 0;
}

/* ERR_DENIED when a manifest of the repository refers to d. */
static int check_unneeded(struct store *s, int64_t repo, const struct digest *d,
                          struct err *e)
{
    sqlite3_stmt *st = job_prepare(
        s,
        "SELECT m.digest FROM ref JOIN manifest m ON m.id=ref.manifest"
        " WHERE ref.repo=? AND ref.digest=? LIMIT 1",
        e);
    char text[DIGEST_TEXT_MAX] = "unknown";
    struct digest by;
    int rc;

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_digest(st, 2, d);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW &&
        digest_from_key(sqlite3_column_blob(st, 0),
                        (size_t)sqlite3_column_bytes(st, 0), &by))
        digest_format(&by, text);
    sqlite3_reset(st);
    if (rc == SQLITE_ROW)
        return err_set(e, ERR_DENIED, "manifest %s needs it", text);
    return rc == SQLITE_DONE ? 0
                             : index_err(s->index.db, rc, "read references", e);
}

/* Run a statement with one integer parameter, and a second one if it has. */
static int run_number(struct store *s, const char *text, int64_t a, int64_t b,
                      struct err *e)
{
    sqlite3_stmt *st = job_prepare(s, text, e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, a);
    if (sqlite3_bind_parameter_count(st) > 1)
        sqlite3_bind_int64(st, 2, b);
    return job_step(s, st, e);
}

enum { TAG_SLICE = 256 };

/*
 * A slice of the manifest's tags.  The manifest goes last: a tag must never
 * name a row that is gone, since its number may be given to another.
 */
static int delete_tags(struct store *s, int64_t manifest, bool *has_more,
                       struct err *e)
{
    if (run_number(s,
                   "DELETE FROM tag WHERE (repo, name) IN (SELECT repo, name"
                   " FROM tag WHERE manifest=?1 LIMIT ?2)",
                   manifest, TAG_SLICE, e) < 0)
        return -1;
    *has_more = sqlite3_changes(s->index.db) == TAG_SLICE;
    return 0;
}

static int delete_manifest(struct store *s, int64_t repo,
                           struct store_job_delete *j, struct err *e)
{
    const struct digest *d = &j->digest;
    int64_t id;
    int rc = job_find(s, "SELECT id FROM manifest WHERE repo=? AND digest=?",
                      repo, d, &id, e);

    if (rc == 0 && j->job.has_begun)
        return 0; /* somebody else was faster with the rest */
    if (rc == 0)
        return err_set(e, ERR_NOT_FOUND, "manifest is unknown");
    if (rc < 0 || (!j->force && check_unneeded(s, repo, d, e) < 0) ||
        delete_tags(s, id, &j->job.is_unfinished, e) < 0)
        return -1;
    if (j->job.is_unfinished)
        return 0;
    /* What it referred to may be unneeded now: the collector looks later. */
    if (run_number(s,
                   "INSERT INTO review(repo, digest, due)"
                   " SELECT repo, digest, ?2 FROM ref WHERE manifest=?1"
                   " ON CONFLICT(repo, digest)"
                   " DO UPDATE SET due=max(due, excluded.due)",
                   id, clock_wall_s() + s->opts.grace_s, e) < 0 ||
        run_number(s, "DELETE FROM ref WHERE manifest=?", id, 0, e) < 0)
        return -1;
    return run_number(s, "DELETE FROM manifest WHERE id=?", id, 0, e);
}

static int64_t reap_delay(const struct store *s)
{
    if (s->opts.reap_delay_s < 0)
        return 0;
    return s->opts.reap_delay_s ? s->opts.reap_delay_s : STORE_REAP_DELAY_S;
}

static int delete_blob(struct store *s, int64_t repo, const struct digest *d,
                       bool force, struct err *e)
{
    int64_t after = clock_wall_s() + reap_delay(s);
    sqlite3_stmt *st;
    int64_t other;
    int rc;

    if ((!force && check_unneeded(s, repo, d, e) < 0) ||
        job_run_repo_digest(s,
                            "DELETE FROM repo_blob WHERE repo=? AND digest=?",
                            repo, d, 0, e) < 0)
        return -1;
    if (sqlite3_changes(s->index.db) == 0)
        return err_set(e, ERR_NOT_FOUND, "blob is unknown");
    if (job_run_repo_digest(s, "DELETE FROM review WHERE repo=? AND digest=?",
                            repo, d, 0, e) < 0)
        return -1;
    st = job_prepare(s, "SELECT repo FROM repo_blob WHERE digest=? LIMIT 1", e);
    if (!st)
        return -1;
    index_bind_digest(st, 1, d);
    rc = job_first(s, st, &other, e);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (job_run_digest(s, "DELETE FROM blob WHERE digest=?", d, 0, e) < 0)
        return -1;
    if (!s->reap_at || after < s->reap_at)
        s->reap_at = after;
    return job_run_digest(
        s, "INSERT OR REPLACE INTO dead_object(digest, after) VALUES(?,?)", d,
        after, e);
}

static enum job_target target_of(enum store_delete what)
{
    if (what == DELETE_TAG)
        return TARGET_TAG;
    return what == DELETE_MANIFEST ? TARGET_MANIFEST : TARGET_BLOB;
}

static int run_delete(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_delete *j = (struct store_job_delete *)job;
    int64_t repo;

    if (job_repo_id(s, j->repo, false, &repo, e) < 0)
        return -1;
    if (!j->job.has_begun &&
        job_check_condition(s, &j->when, repo, target_of(j->what), j->tag,
                            &j->digest, e) < 0)
        return -1;
    if (j->what == DELETE_TAG)
        return delete_tag(s, repo, j->tag, e);
    if (j->what == DELETE_MANIFEST)
        return delete_manifest(s, repo, j, e);
    return delete_blob(s, repo, &j->digest, j->force, e);
}

void store_job_delete_init(struct store_job_delete *j)
{
    *j = (struct store_job_delete){.job.run = run_delete,
                                   .job.may_use_reserve = true};
}

/* ---- reaper ------------------------------------------------------------- */

/* Due objects into digests; returns how many, or -1. */
static int list_dead(struct store *s, struct digest *out, int max,
                     struct err *e)
{
    sqlite3_stmt *st = job_prepare(
        s, "SELECT digest FROM dead_object WHERE after<=? LIMIT ?", e);
    int n = 0, rc = SQLITE_DONE;

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, clock_wall_s());
    sqlite3_bind_int(st, 2, max);
    while (n < max && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (digest_from_key(sqlite3_column_blob(st, 0),
                            (size_t)sqlite3_column_bytes(st, 0), &out[n]))
            n++;
    }
    sqlite3_reset(st);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        return index_err(s->index.db, rc, "list deleted blobs", e);
    return n;
}

/* When the next dead object is due, for the writer's clock. */
static int next_reap(struct store *s, struct err *e)
{
    sqlite3_stmt *st = job_prepare(
        s, "SELECT after FROM dead_object ORDER BY after LIMIT 1", e);
    int rc = st ? job_first(s, st, &s->reap_at, e) : -1;

    if (rc == 0)
        s->reap_at = 0;
    return rc < 0 ? -1 : 0;
}

enum { REAP_BYTES = 1 << 30 }; /* of one slice */

/* Move a dead blob's file to the trash as name, and forget its row. */
static int bury(struct store *s, const struct digest *d,
                char name[DIGEST_TEXT_MAX], int64_t *bytes, struct err *e)
{
    int dir = s->blobs_fd[digest_alg(d)];
    char path[BLOB_PATH_MAX];
    struct stat st;

    digest_format(d, name);
    store_blob_path(d, path);
    if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
        *bytes += st.st_size;
    if (renameat(dir, path, s->trash_fd, name) < 0 && errno != ENOENT)
        return err_sys(e, errno, "move blob to trash");
    return job_run_digest(s, "DELETE FROM dead_object WHERE digest=?", d, 0, e);
}

/*
 * In a transaction of its own: the rename must never share the fate of the
 * COMMIT that removes the blob's row, or a rolled back delete would leave a
 * row without its file.
 */
static int run_reap(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_reap *j = (struct store_job_reap *)job;
    struct digest dead[array_len(j->names)];
    int n = list_dead(s, dead, (int)array_len(dead), e);
    int64_t bytes = 0;

    j->count = 0;
    if (n < 0)
        return -1;
    /* Unlinking a large file takes long, and pushes wait meanwhile. */
    for (int i = 0; i < n && bytes < REAP_BYTES; i++) {
        if (bury(s, &dead[i], j->names[i], &bytes, e) < 0)
            return -1;
        j->count++;
    }
    j->more = j->count < (size_t)n || n == (int)array_len(dead);
    return next_reap(s, e);
}

static void after_reap(struct store *s, struct store_job *job)
{
    struct store_job_reap *j = (struct store_job_reap *)job;

    for (size_t i = 0; i < j->count; i++)
        unlinkat(s->trash_fd, j->names[i], 0);
}

void store_job_reap_init(struct store_job_reap *j)
{
    *j = (struct store_job_reap){.job.run = run_reap,
                                 .job.after = after_reap,
                                 .job.is_alone = true,
                                 .job.may_use_reserve = true};
}
