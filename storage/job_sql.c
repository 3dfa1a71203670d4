/* One-statement helpers of the jobs, see job_int.h. */
#include "storage/job_int.h"

#include "base/clock.h"

sqlite3_stmt *job_prepare(struct store *s, const char *text, struct err *e)
{
    return index_statement(&s->index, text, e);
}

int job_step(struct store *s, sqlite3_stmt *st, struct err *e)
{
    int rc = sqlite3_step(st);

    sqlite3_reset(st);
    return rc == SQLITE_DONE ? 0 : index_err(s->index.db, rc, "write", e);
}

int job_first(struct store *s, sqlite3_stmt *st, int64_t *value, struct err *e)
{
    int rc = sqlite3_step(st);

    if (rc == SQLITE_ROW)
        *value = sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return index_err(s->index.db, rc, "read", e);
    return rc == SQLITE_ROW;
}

int job_repo_id(struct store *s, const char *name, bool create, int64_t *id,
                struct err *e)
{
    sqlite3_stmt *st = job_prepare(s, "SELECT id FROM repo WHERE name=?", e);
    int rc;

    if (!st)
        return -1;
    index_bind_text(st, 1, name);
    rc = job_first(s, st, id, e);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (!create)
        return err_set(e, ERR_NOT_FOUND, "repository %s is unknown", name);
    st = job_prepare(s, "INSERT INTO repo(name) VALUES(?)", e);
    if (!st)
        return -1;
    index_bind_text(st, 1, name);
    if (job_step(s, st, e) < 0)
        return -1;
    *id = sqlite3_last_insert_rowid(s->index.db);
    return 0;
}

int job_run_repo_digest(struct store *s, const char *text, int64_t repo,
                        const struct digest *d, int64_t number, struct err *e)
{
    sqlite3_stmt *st = job_prepare(s, text, e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_digest(st, 2, d);
    if (sqlite3_bind_parameter_count(st) > 2)
        sqlite3_bind_int64(st, 3, number);
    return job_step(s, st, e);
}

int job_run_digest(struct store *s, const char *text, const struct digest *d,
                   int64_t number, struct err *e)
{
    sqlite3_stmt *st = job_prepare(s, text, e);

    if (!st)
        return -1;
    index_bind_digest(st, 1, d);
    if (sqlite3_bind_parameter_count(st) > 1)
        sqlite3_bind_int64(st, 2, number);
    return job_step(s, st, e);
}

int job_find(struct store *s, const char *text, int64_t repo,
             const struct digest *d, int64_t *value, struct err *e)
{
    sqlite3_stmt *st = job_prepare(s, text, e);

    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_digest(st, 2, d);
    return job_first(s, st, value, e);
}

int job_review(struct store *s, int64_t repo, const struct digest *d,
               struct err *e)
{
    return job_run_repo_digest(
        s,
        "INSERT INTO review(repo, digest, due) VALUES(?,?,?)"
        " ON CONFLICT(repo, digest) DO UPDATE SET due=max(due, excluded.due)",
        repo, d, clock_wall_s() + s->opts.grace_s, e);
}

int job_link_blob(struct store *s, int64_t repo, const struct digest *d,
                  struct err *e)
{
    return job_run_repo_digest(
        s, "INSERT OR IGNORE INTO repo_blob(repo, digest) VALUES(?,?)", repo, d,
        0, e);
}

/* The digest that is there now: 1 and *now, 0 when nothing is, -1. */
static int current_digest(struct store *s, int64_t repo, enum job_target target,
                          const char *tag, const struct digest *d,
                          struct digest *now, struct err *e)
{
    sqlite3_stmt *st;
    int64_t ignored;
    int rc;

    *now = d ? *d : (struct digest){{0}};
    if (target == TARGET_BLOB)
        return job_find(s, "SELECT 1 FROM repo_blob WHERE repo=? AND digest=?",
                        repo, d, &ignored, e);
    if (target == TARGET_MANIFEST)
        return job_find(s, "SELECT 1 FROM manifest WHERE repo=? AND digest=?",
                        repo, d, &ignored, e);
    st = job_prepare(s,
                     "SELECT m.digest FROM tag t JOIN manifest m"
                     " ON m.id=t.manifest WHERE t.repo=? AND t.name=?",
                     e);
    if (!st)
        return -1;
    sqlite3_bind_int64(st, 1, repo);
    index_bind_text(st, 2, tag);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW &&
        !digest_from_key(sqlite3_column_blob(st, 0),
                         (size_t)sqlite3_column_bytes(st, 0), now))
        rc = SQLITE_CORRUPT;
    sqlite3_reset(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return index_err(s->index.db, rc, "read tag", e);
    return rc == SQLITE_ROW;
}

static bool is_listed(const struct store_etags *tags, const struct digest *now)
{
    for (size_t i = 0; i < tags->count; i++) {
        if (digest_eq(&tags->list[i], now))
            return true;
    }
    return tags->is_any;
}

int job_check_condition(struct store *s, const struct store_condition *when,
                        int64_t repo, enum job_target target, const char *tag,
                        const struct digest *d, struct err *e)
{
    struct digest now;
    int there;

    if (!when->match.is_given && !when->none_match.is_given)
        return 0;
    there = current_digest(s, repo, target, tag, d, &now, e);
    if (there < 0)
        return -1;
    if (when->match.is_given && !(there && is_listed(&when->match, &now)))
        return err_set(e, ERR_CONDITION, "If-Match names another version");
    if (when->none_match.is_given && there &&
        is_listed(&when->none_match, &now))
        return err_set(e, ERR_CONDITION, "If-None-Match names what is there");
    return 0;
}
