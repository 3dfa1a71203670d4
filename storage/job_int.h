/*
 * What the job files share: one-statement helpers on the writer's connection.
 *
 * Each run() of a job is called inside a savepoint and may be called again
 * when its batch was lost, so it sets its outputs afresh.  Side effects
 * outside the database are only idempotent links and renames.
 * Thread: all of this is called on the writer only.
 */
#ifndef BERTH_STORAGE_JOB_INT_H
#define BERTH_STORAGE_JOB_INT_H

#include "storage/store_int.h"

/* index_statement() of the writer. */
sqlite3_stmt *job_prepare(struct store *s, const char *text, struct err *e);
/* Step a statement that gives no row. */
must_check int job_step(struct store *s, sqlite3_stmt *st, struct err *e);
/*
 * Step a query for its first integer: 1 and *value when there is a row, 0
 * when not, -1 on error.
 */
must_check int job_first(struct store *s, sqlite3_stmt *st, int64_t *value,
                         struct err *e);
/* The repository's row; made when create says so, else ERR_NOT_FOUND. */
must_check int job_repo_id(struct store *s, const char *name, bool create,
                           int64_t *id, struct err *e);
/* Run a statement whose parameters are (repo, digest[, number]). */
must_check int job_run_repo_digest(struct store *s, const char *text,
                                   int64_t repo, const struct digest *d,
                                   int64_t number, struct err *e);
/* Run a statement whose parameters are (digest[, number]). */
must_check int job_run_digest(struct store *s, const char *text,
                              const struct digest *d, int64_t number,
                              struct err *e);
/* As job_first(), with the parameters (repo, digest). */
must_check int job_find(struct store *s, const char *text, int64_t repo,
                        const struct digest *d, int64_t *value, struct err *e);
/*
 * Does the condition hold for what is there now: the manifest of a tag, the
 * manifest d, or the blob d?  -1: ERR_CONDITION.
 */
enum job_target { TARGET_TAG, TARGET_MANIFEST, TARGET_BLOB };
must_check int job_check_condition(struct store *s,
                                   const struct store_condition *when,
                                   int64_t repo, enum job_target target,
                                   const char *tag, const struct digest *d,
                                   struct err *e);
/* Put (repo, digest) up for review one grace from now. */
must_check int job_review(struct store *s, int64_t repo, const struct digest *d,
                          struct err *e);
/* Make the blob one of the repository's. */
must_check int job_link_blob(struct store *s, int64_t repo,
                             const struct digest *d, struct err *e);

#endif
