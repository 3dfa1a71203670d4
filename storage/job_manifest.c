/*
 * The manifest job: check the references in its own repository, insert the
 * manifest, its references and its tags, all in one transaction.
 */
#include "base/clock.h"
#include "storage/job_int.h"

/* Size of what a reference names in its repository: 1, 0 absent, -1. */
static int find_reference(struct store *s, int64_t repo,
                          const struct manifest_ref *ref, int64_t *size,
                          struct err *e)
{
    int rc = 0;

    if (ref->kind == REF_CHILD)
        rc = job_find(s, "SELECT size FROM manifest WHERE repo=? AND digest=?",
                      repo, &ref->digest, size, e);
    if (rc == 0)
        rc = job_find(s,
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
        if (rc == 0 && !ref->is_optional)
            note_missing(j, &ref->digest);
    }
    if (j->missing_count > 0 && !j->is_sparse)
        return err_set(e, ERR_MISSING,
                       "the manifest names what is not in the repository");
    return 0;
}

static int insert_manifest(struct store *s, struct store_job_manifest *j,
                           int64_t repo, int64_t *id, struct err *e)
{
    const struct manifest *m = j->parsed;
    sqlite3_stmt *st = job_prepare(
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
        st = job_prepare(
            s,
            "INSERT OR IGNORE INTO ref(repo, digest, manifest, kind)"
            " VALUES(?,?,?,?)",
            e);
        if (!st)
            return -1;
        sqlite3_bind_int64(st, 1, repo);
        index_bind_digest(st, 2, &ref->digest);
        sqlite3_bind_int64(st, 3, id);
        sqlite3_bind_int(st, 4, (int)ref->kind);
        if (job_step(s, st, e) < 0)
            return -1;
    }
    return 0;
}

static int set_tag(struct store *s, int64_t repo, const char *name, int64_t id,
                   struct err *e)
{
    sqlite3_stmt *st = job_prepare(
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
    return job_step(s, st, e);
}

static int run_manifest(struct store *s, struct store_job *job, struct err *e)
{
    struct store_job_manifest *j = (struct store_job_manifest *)job;
    int64_t repo, id = 0;

    j->missing_count = 0;
    if (store_check_space(s, 0, e) < 0 ||
        job_repo_id(s, j->repo, true, &repo, e) < 0 ||
        job_check_condition(s, &j->when, repo,
                            j->by_tag ? TARGET_TAG : TARGET_MANIFEST,
                            j->tags[0], &j->digest, e) < 0 ||
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
