/*
 * The jobs of the index writer: every change of the index is one of these.
 *
 * Each run() is called inside a savepoint and may be called again when its
 * batch was lost, so it sets its outputs afresh.  Side effects outside the
 * database are only idempotent links and renames.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/store_int.h"

static sqlite3_stmt *prepare(struct store *s, const char *text, struct err *e)
{
    return index_statement(&s->index, text, e);
}

/* Step a statement that gives no row. */
static int step(struct store *s, sqlite3_stmt *st, struct err *e)
{
    int rc = sqlite3_step(st);

    sqlite3_reset(st);
    return rc == SQLITE_DONE ? 0 : index_err(s->index.db, rc, "write", e);
}

/*
 * Step a query for its first integer: 1 and *value when there is a row, 0
 * when not, -1 on error.
 */
static int first(struct store *s, sqlite3_stmt *st, int64_t *value,
                 struct err *e)
{
    int rc = sqlite3_step(st);

    if (rc == SQLITE_ROW)
        *value = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return index_err(s->index.db, rc, "read", e);
    return rc == SQLITE_ROW;
}

/* The repository's row; made when create says so, else ERR_NOT_FOUND. */
static int repo_id(struct store *s, const char *name, bool create, int64_t *id,
                   struct err *e)
{
    sqlite3_stmt *st = prepare(s, "SELECT id FROM repo WHERE name=?", e);
    int rc;

    if (!st)
        return -1;
    index_bind_text(st, 1, name);
    rc = first(s, st, id, e);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (!create)
        return err_set(e, ERR_NOT_FOUND, "repository %s is unknown", name);
    st = prepare(s, "INSERT INTO repo(name) VALUES(?)", e);
    if (!st)
        return -1;
    index_bind_text(st, 1, name);
    if (step(s, st, e) < 0)
        return -1;
    *id = sqlite3_last_insert_rowid(s->index.db);
    return 0;
}

/* Run a statement whose parameters are (repo, digest[, number]). */
static int run_repo_digest(struct store *s, const char *text, int64_t repo,
                           const struct digest *d, int64_t number,
                           struct err *e)
{
    sqlite3_stmt *st = prepare(s, text, e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_digest(st, 2, d);
    if (sqlite3_bind_parameter_count(st) > 2)
        sqlite3_bind_int64(st, 3, number);
    return step(s, st, e);
}

static int run_digest(struct store *s, const char *text, const struct digest *d,
                      int64_t number, struct err *e)
{
    sqlite3_stmt *st = prepare(s, text, e);

    if (!st)
        return -1;
    index_bind_digest(st, 1, d);
    if (sqlite3_bind_parameter_count(st) > 1)
        sqlite3_bind_int64(st, 2, number);
    return step(s, st, e);
}

/* As first(), with the parameters (repo, digest). */
static int find_repo_digest(struct store *s, const char *text, int64_t repo,
                            const struct digest *d, int64_t *value,
                            struct err *e)
{
    sqlite3_stmt *st = prepare(s, text, e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_digest(st, 2, d);
    return first(s, st, value, e);
}

/* Put (repo, digest) up for review one grace from now. */
static int upsert_review(struct store *s, int64_t repo, const struct digest *d,
                         struct err *e)
{
    return run_repo_digest(
        s,
        "INSERT INTO review(repo, digest, due) VALUES(?,?,?)"
        " ON CONFLICT(repo, digest) DO UPDATE SET due=max(due, excluded.due)",
        repo, d, clock_wall_s() + s->opts.grace_s, e);
}

static int link_blob(struct store *s, int64_t repo, const struct digest *d,
                     struct err *e)
{
    return run_repo_digest(
        s, "INSERT OR IGNORE INTO repo_blob(repo, digest) VALUES(?,?)", repo, d,
        0, e);
}

/* ---- uploads ------------------------------------------------------------- */

static int run_offset(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_offset *j = (struct store_job_offset *)job;
    sqlite3_stmt *st =
        prepare(s,
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
    return step(s, st, e);
}

void store_job_offset_init(struct store_job_offset *j, struct upload *u)
{
    *j = (struct store_job_offset){.job.run = run_offset, .upload = u};
}

static int run_upload_gone(struct store *s, struct store_job *job,
                           struct err *e)
{
    struct store_job_upload_gone *j = (struct store_job_upload_gone *)job;
    sqlite3_stmt *st = prepare(s, "DELETE FROM upload WHERE id=?", e);

    if (!st)
        return -1;
    index_bind_text(st, 1, j->id);
    return step(s, st, e);
}

void store_job_upload_gone_init(struct store_job_upload_gone *j, const char *id)
{
    *j = (struct store_job_upload_gone){.job.run = run_upload_gone,
                                        .job.may_use_reserve = true};
    snprintf(j->id, sizeof(j->id), "%s", id);
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
        repo_id(s, upload_repo(j->upload), true, &repo, e) < 0 ||
        upsert_review(s, repo, &j->digest, e) < 0 ||
        run_digest(s,
                   "INSERT INTO blob(digest, size) VALUES(?,?)"
                   " ON CONFLICT(digest) DO UPDATE SET size=excluded.size",
                   &j->digest, upload_offset(j->upload), e) < 0 ||
        link_blob(s, repo, &j->digest, e) < 0 ||
        run_digest(s, "DELETE FROM dead_object WHERE digest=?", &j->digest, 0,
                   e) < 0)
        return -1;
    store_job_upload_gone_init(&gone, id);
    return run_upload_gone(s, &gone.job, e);
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

/* ---- mount and touch ------------------------------------------------------
 */

static int run_mount(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_mount *j = (struct store_job_mount *)job;
    sqlite3_stmt *st =
        prepare(s,
                "SELECT rb.repo FROM repo_blob rb JOIN repo r ON r.id=rb.repo"
                " WHERE rb.digest=?1 AND (?2='' OR r.name=?2) LIMIT 1",
                e);
    int64_t from, repo;
    int rc;

    if (!st)
        return -1;
    index_bind_digest(st, 1, &j->digest);
    index_bind_text(st, 2, j->from);
    rc = first(s, st, &from, e);
    if (rc == 0)
        err_set(e, ERR_NOT_FOUND, "no such blob to mount");
    if (rc <= 0)
        return -1;
    if (repo_id(s, j->repo, true, &repo, e) < 0 ||
        upsert_review(s, repo, &j->digest, e) < 0)
        return -1;
    return link_blob(s, repo, &j->digest, e);
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

    if (repo_id(s, j->repo, false, &repo, e) < 0)
        return -1;
    rc =
        find_repo_digest(s, "SELECT 1 FROM repo_blob WHERE repo=? AND digest=?",
                         repo, &j->digest, &ignored, e);
    if (rc <= 0)
        return rc < 0 ? -1 : err_set(e, ERR_NOT_FOUND, "blob is unknown");
    return run_repo_digest(
        s, "UPDATE review SET due=max(due, ?3) WHERE repo=?1 AND digest=?2",
        repo, &j->digest, clock_wall_s() + s->opts.grace_s, e);
}

void store_job_touch_init(struct store_job_touch *j)
{
    *j = (struct store_job_touch){.job.run = run_touch};
}

/* ---- manifests ------------------------------------------------------------
 */

/* Size of what a reference names in its repository: 1, 0 absent, -1. */
static int find_reference(struct store *s, int64_t repo,
                          const struct manifest_ref *ref, int64_t *size,
                          struct err *e)
{
    int rc = 0;

    if (ref->kind == REF_CHILD)
        rc = find_repo_digest(
            s, "SELECT size FROM manifest WHERE repo=? AND digest=?", repo,
            &ref->digest, size, e);
    if (rc == 0)
        rc = find_repo_digest(
            s,
            "SELECT b.size FROM repo_blob rb JOIN blob b"
            " ON b.digest=rb.digest WHERE rb.repo=? AND rb.digest=?",
            repo, &ref->digest, size, e);
    return rc;
}

static void note_missing(struct store_job_manifest *j, const struct digest *d)
{
    for (size_t i = 0; i < j->missing_count; i++) {
        if (digest_eq(&j->missing[i], d))
            return;
    }
    if (j->missing_count < array_len(j->missing))
        j->missing[j->missing_count++] = *d;
}

static int check_references(struct store *s, struct store_job_manifest *j,
                            int64_t repo, struct err *e)
{
    char text[DIGEST_TEXT_MAX];

    for (size_t i = 0; i < j->parsed->ref_count; i++) {
        const struct manifest_ref *ref = &j->parsed->refs[i];
        int64_t size = 0;
        int rc;

        if (!ref->has_digest)
            continue;
        rc = find_reference(s, repo, ref, &size, e);
        if (rc < 0)
            return -1;
        if (rc == 1 && size != ref->size)
            return err_set(e, ERR_INVALID,
                           "the size of %s is %lld, the manifest says %lld",
                           digest_format(&ref->digest, text), (long long)size,
                           (long long)ref->size);
        if (rc == 0 && !ref->is_optional && !s->opts.sparse)
            note_missing(j, &ref->digest);
    }
    if (j->missing_count > 0)
        return err_set(e, ERR_MISSING,
                       "the manifest names what is not in the repository");
    return 0;
}

static int insert_manifest(struct store *s, struct store_job_manifest *j,
                           int64_t repo, int64_t *id, struct err *e)
{
    const struct manifest *m = j->parsed;
    sqlite3_stmt *st = prepare(
        s,
        "INSERT INTO manifest(repo, digest, type, artifact_type, subject,"
        " pushed, size, annotations, bytes) VALUES(?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT(repo, digest) DO UPDATE SET type=excluded.type,"
        " artifact_type=excluded.artifact_type RETURNING id",
        e);
    int rc;

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_digest(st, 2, &j->digest);
    index_bind_text(st, 3, m->media_type);
    index_bind_text(st, 4, m->artifact_type);
    if (m->has_subject)
        index_bind_digest(st, 5, &m->subject);
    sqlite3_bind_int64(st, 6, clock_wall_s());
    sqlite3_bind_int64(st, 7, (int64_t)j->len);
    index_bind_text(st, 8, m->annotations);
    sqlite3_bind_blob64(st, 9, j->bytes, j->len, SQLITE_STATIC);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(st, 0);
        rc = sqlite3_step(st);
    }
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    if (rc != SQLITE_DONE)
        return index_err(s->index.db, rc, "insert manifest", e);
    return 0;
}

static int insert_refs(struct store *s, struct store_job_manifest *j,
                       int64_t repo, int64_t id, struct err *e)
{
    for (size_t i = 0; i < j->parsed->ref_count; i++) {
        const struct manifest_ref *ref = &j->parsed->refs[i];
        sqlite3_stmt *st;

        if (!ref->has_digest)
            continue;
        st = prepare(s,
                     "INSERT OR IGNORE INTO ref(repo, digest, manifest, kind)"
                     " VALUES(?,?,?,?)",
                     e);
        if (!st)
            return -1;
        sqlite3_bind_int64(st, 1, repo);
        index_bind_digest(st, 2, &ref->digest);
        sqlite3_bind_int64(st, 3, id);
        sqlite3_bind_int(st, 4, (int)ref->kind);
        if (step(s, st, e) < 0)
            return -1;
    }
    return 0;
}

static int set_tag(struct store *s, int64_t repo, const char *name, int64_t id,
                   struct err *e)
{
    sqlite3_stmt *st = prepare(
        s,
        "INSERT INTO tag(repo, name, manifest, updated) VALUES(?,?,?,?)"
        " ON CONFLICT(repo, name) DO UPDATE SET manifest=excluded.manifest,"
        " updated=excluded.updated",
        e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_text(st, 2, name);
    sqlite3_bind_int64(st, 3, id);
    sqlite3_bind_int64(st, 4, clock_wall_s());
    return step(s, st, e);
}

static int run_manifest(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_manifest *j = (struct store_job_manifest *)job;
    int64_t repo, id = 0;

    j->missing_count = 0;
    if (store_check_space(s, e) < 0 ||
        repo_id(s, j->repo, true, &repo, e) < 0 ||
        check_references(s, j, repo, e) < 0 ||
        insert_manifest(s, j, repo, &id, e) < 0 ||
        insert_refs(s, j, repo, id, e) < 0)
        return -1;
    for (size_t i = 0; i < j->tag_count; i++) {
        if (set_tag(s, repo, j->tags[i], id, e) < 0)
            return -1;
    }
    return 0;
}

void store_job_manifest_init(struct store_job_manifest *j)
{
    *j = (struct store_job_manifest){.job.run = run_manifest,
                                     .job.bytes = &j->len};
}

/* ---- deletes --------------------------------------------------------------
 */

static int delete_tag(struct store *s, int64_t repo, const char *name,
                      struct err *e)
{
    sqlite3_stmt *st = prepare(s, "DELETE FROM tag WHERE repo=? AND name=?", e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_text(st, 2, name);
    if (step(s, st, e) < 0)
        return -1;
    if (sqlite3_changes(s->index.db) == 0)
        return err_set(e, ERR_NOT_FOUND, "tag %s is unknown", name);
    return 0;
}

/* ERR_BUSY when a manifest of the repository refers to d. */
static int check_unneeded(struct store *s, int64_t repo, const struct digest *d,
                          struct err *e)
{
    sqlite3_stmt *st =
        prepare(s,
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
        return err_set(e, ERR_BUSY, "manifest %s needs it", text);
    return rc == SQLITE_DONE ? 0
                             : index_err(s->index.db, rc, "read references", e);
}

/* Run a statement with one integer parameter, and a second one if it has. */
static int run_number(struct store *s, const char *text, int64_t a, int64_t b,
                      struct err *e)
{
    sqlite3_stmt *st = prepare(s, text, e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, a);
    if (sqlite3_bind_parameter_count(st) > 1)
        sqlite3_bind_int64(st, 2, b);
    return step(s, st, e);
}

static int delete_manifest(struct store *s, int64_t repo,
                           const struct digest *d, bool force, struct err *e)
{
    int64_t id;
    int rc =
        find_repo_digest(s, "SELECT id FROM manifest WHERE repo=? AND digest=?",
                         repo, d, &id, e);

    if (rc == 0)
        return err_set(e, ERR_NOT_FOUND, "manifest is unknown");
    if (rc < 0 || (!force && check_unneeded(s, repo, d, e) < 0))
        return -1;
    /* What it referred to may be unneeded now: the collector looks later. */
    if (run_number(s,
                   "INSERT INTO review(repo, digest, due)"
                   " SELECT repo, digest, ?2 FROM ref WHERE manifest=?1"
                   " ON CONFLICT(repo, digest)"
                   " DO UPDATE SET due=max(due, excluded.due)",
                   id, clock_wall_s() + s->opts.grace_s, e) < 0 ||
        run_number(s, "DELETE FROM tag WHERE manifest=?", id, 0, e) < 0 ||
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
        run_repo_digest(s, "DELETE FROM repo_blob WHERE repo=? AND digest=?",
                        repo, d, 0, e) < 0)
        return -1;
    if (sqlite3_changes(s->index.db) == 0)
        return err_set(e, ERR_NOT_FOUND, "blob is unknown");
    if (run_repo_digest(s, "DELETE FROM review WHERE repo=? AND digest=?", repo,
                        d, 0, e) < 0)
        return -1;
    st = prepare(s, "SELECT repo FROM repo_blob WHERE digest=? LIMIT 1", e);
    if (!st)
        return -1;
    index_bind_digest(st, 1, d);
    rc = first(s, st, &other, e);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (run_digest(s, "DELETE FROM blob WHERE digest=?", d, 0, e) < 0)
        return -1;
    if (!s->reap_at || after < s->reap_at)
        s->reap_at = after;
    return run_digest(
        s, "INSERT OR REPLACE INTO dead_object(digest, after) VALUES(?,?)", d,
        after, e);
}

static int run_delete(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_delete *j = (struct store_job_delete *)job;
    int64_t repo;

    if (repo_id(s, j->repo, false, &repo, e) < 0)
        return -1;
    if (j->what == DELETE_TAG)
        return delete_tag(s, repo, j->tag, e);
    if (j->what == DELETE_MANIFEST)
        return delete_manifest(s, repo, &j->digest, j->force, e);
    return delete_blob(s, repo, &j->digest, j->force, e);
}

void store_job_delete_init(struct store_job_delete *j)
{
    *j = (struct store_job_delete){.job.run = run_delete,
                                   .job.may_use_reserve = true};
}

/* ---- reaper ----------------------------------------------------------------
 */

/* Due objects into digests; returns how many, or -1. */
static int list_dead(struct store *s, struct digest *out, int max,
                     struct err *e)
{
    sqlite3_stmt *st =
        prepare(s, "SELECT digest FROM dead_object WHERE after<=? LIMIT ?", e);
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
    sqlite3_stmt *st =
        prepare(s, "SELECT after FROM dead_object ORDER BY after LIMIT 1", e);
    int rc = st ? first(s, st, &s->reap_at, e) : -1;

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
    return run_digest(s, "DELETE FROM dead_object WHERE digest=?", d, 0, e);
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
