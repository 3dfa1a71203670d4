/*
 * The index writer: one thread, group commit.
 *
 * The writer takes what waits, runs each job in a savepoint, commits once and
 * then answers them all, so that many pushes share one fsync.
 *
 * Invariants: 1. done() is called only after COMMIT returned success, or with
 * an error; 2. a job has no side effect outside the database except idempotent
 * link and rename; 3. when SQLite rolled the transaction back by itself
 * (autocommit is on again), nobody is answered: the jobs run again one by one
 * and the guilty one gets its error; 4. an I/O error of COMMIT is never
 * retried: the store turns read-only.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#include "storage/store_int.h"

enum {
    BATCH_MAX = 64,
    BATCH_BYTES = 8 << 20,
    CHECKPOINT_PAGES = 4000,
    IDLE_S = 2, /* quiet time before an idle checkpoint */
};

static int exec(struct store *s, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(s->index.db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : index_err(s->index.db, rc, sql, e);
}

/*
 * Run one job inside the open transaction.  Returns false when SQLite threw
 * the whole transaction away.
 */
static bool run_in_savepoint(struct store *s, struct store_job *j)
{
    struct err e = {0};

    if (exec(s, "SAVEPOINT job", &j->e) < 0) {
        j->rc = -1;
        return !sqlite3_get_autocommit(s->index.db);
    }
    j->is_unfinished = false;
    j->rc = j->run(s, j, &j->e);
    index_reset_all(&s->index);
    if (sqlite3_get_autocommit(s->index.db))
        return false;
    if (j->rc < 0) {
        exec(s, "ROLLBACK TO job", &e);
        if (j->e.code == ERR_IO)
            store_set_fault(s, &j->e);
    }
    return exec(s, "RELEASE job", &e) == 0 &&
           !sqlite3_get_autocommit(s->index.db);
}

static void fail(struct store_job *j, const struct err *e)
{
    j->rc = -1;
    j->e = *e;
}

/*
 * Commit n jobs in one transaction.  Returns false when the transaction was
 * lost before COMMIT; a failed COMMIT is an answer, not a loss.
 */
static bool commit_batch(struct store *s, struct store_job **jobs, int n)
{
    struct err e = {0}, ignored = {0};

    if (exec(s, "BEGIN IMMEDIATE", &e) < 0) {
        if (e.code == ERR_IO)
            store_set_fault(s, &e);
        for (int i = 0; i < n; i++)
            fail(jobs[i], &e);
        return true;
    }
    for (int i = 0; i < n; i++) {
        if (!run_in_savepoint(s, jobs[i])) {
            if (!sqlite3_get_autocommit(s->index.db))
                exec(s, "ROLLBACK", &ignored);
            return false;
        }
    }
    if (exec(s, "COMMIT", &e) < 0) {
        if (!sqlite3_get_autocommit(s->index.db))
            exec(s, "ROLLBACK", &ignored);
        if (e.code == ERR_IO)
            store_set_fault(s, &e);
        for (int i = 0; i < n; i++)
            fail(jobs[i], &e);
    }
    return true;
}

static void run_batch(struct store *s, struct store_job **jobs, int n)
{
    struct err e = {0};

    if (store_fault(s)) {
        err_set(&e, ERR_READ_ONLY, "storage is read-only: %s", s->fault);
        for (int i = 0; i < n; i++)
            fail(jobs[i], &e);
        return;
    }
    if (commit_batch(s, jobs, n))
        return;
    for (int i = 0; i < n; i++) {
        if (commit_batch(s, &jobs[i], 1))
            continue;
        if (jobs[i]->rc == 0)
            err_set(&jobs[i]->e, ERR_NO_SPACE,
                    "index: the transaction was rolled back");
        jobs[i]->rc = -1;
        if (jobs[i]->e.code == ERR_IO)
            store_set_fault(s, &jobs[i]->e);
    }
}

/*
 * Give the reserve up for what frees space, when the disk was too full for
 * it.
 */
static void retry_with_reserve(struct store *s, struct store_job **jobs, int n)
{
    for (int i = 0; i < n; i++) {
        struct store_job *j = jobs[i];

        if (j->rc == 0 || j->e.code != ERR_NO_SPACE || !j->may_use_reserve)
            continue;
        if (s->has_reserve)
            reserve_release(s);
        j->rc = 0;
        run_batch(s, &jobs[i], 1);
    }
}

/*
 * Copy the WAL into the database.  A failed sync here must never be followed
 * by another one that "succeeds", hence the fault.
 */
static void checkpoint(struct store *s, int mode)
{
    struct err e;
    int rc;

    if (store_fault(s))
        return;
    rc = sqlite3_wal_checkpoint_v2(s->index.db, NULL, mode, NULL, NULL);
    if ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CORRUPT) {
        index_err(s->index.db, rc, "checkpoint", &e);
        store_set_fault(s, &e);
    }
    s->wal_pages = 0;
}

/* Wait for a job, the next reaping, or quiet; under lock; false: timeout. */
static bool wait_for_jobs(struct store *s)
{
    int64_t now = clock_wall_s(), until = 0;
    struct timespec ts = {0};

    if (s->wal_pages > 0)
        until = now + IDLE_S;
    if (s->reap_at && !store_fault(s) && (!until || s->reap_at < until))
        until = s->reap_at > now ? s->reap_at : now;
    if (until && until <= now)
        return s->head || s->stopping;
    ts.tv_sec = until;
    while (!s->head && !s->stopping) {
        if (!until)
            pthread_cond_wait(&s->wake, &s->lock);
        else if (pthread_cond_timedwait(&s->wake, &s->lock, &ts) == ETIMEDOUT)
            break;
    }
    return s->head || s->stopping;
}

/* May the queue's first job join a batch of n jobs and `bytes` bytes? */
static bool fits(const struct store *s, int n, size_t bytes, bool is_alone)
{
    const struct store_job *j = s->head;

    if (n == 0)
        return true;
    return n < BATCH_MAX && !is_alone && !j->is_alone &&
           bytes + (j->bytes ? *j->bytes : 0) <= BATCH_BYTES;
}

/* Jobs for one transaction; 0 after a quiet time or when it is the end. */
static int take_batch(struct store *s, struct store_job **jobs, bool *is_end)
{
    bool is_alone = false;
    size_t bytes = 0;
    int n = 0;

    pthread_mutex_lock(&s->lock);
    wait_for_jobs(s);
    while (s->head && fits(s, n, bytes, is_alone)) {
        bytes += s->head->bytes ? *s->head->bytes : 0;
        is_alone = s->head->is_alone;
        jobs[n++] = s->head;
        s->head = s->head->next;
    }
    if (!s->head)
        s->tail = &s->head;
    *is_end = n == 0 && s->stopping;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* A slice of the files of deleted blobs, when the clock says so. */
static void reap_due(struct store *s)
{
    struct store_job_reap reap;
    struct store_job *j = &reap.job;

    if (!s->reap_at || s->reap_at > clock_wall_s() || store_fault(s))
        return;
    store_job_reap_init(&reap);
    s->reap_at = clock_wall_s() + STORE_REAP_DELAY_S; /* if it fails */
    run_batch(s, &j, 1);
    retry_with_reserve(s, &j, 1);
    if (j->rc < 0)
        return;
    j->after(s, j);
    if (reap.count == 0 && s->reap_at && s->reap_at <= clock_wall_s())
        s->reap_at = clock_wall_s() + STORE_REAP_DELAY_S; /* a bad row */
}

/* Answer a job, or put it behind the others for its next slice. */
static void finish(struct store *s, struct store_job *j)
{
    if (j->rc == 0 && j->is_unfinished) {
        j->has_begun = true;
        store_submit(s, j);
        return;
    }
    if (j->rc == 0 && j->after)
        j->after(s, j);
    j->done(j);
}

static void *writer_main(void *arg)
{
    struct store *s = arg;
    struct store_job *jobs[BATCH_MAX];
    bool is_end = false;
    int n;

    for (;;) {
        n = take_batch(s, jobs, &is_end);
        if (is_end)
            break;
        if (n > 0)
            run_batch(s, jobs, n);
        retry_with_reserve(s, jobs, n);
        for (int i = 0; i < n; i++)
            finish(s, jobs[i]);
        reap_due(s);
        /* Never TRUNCATE while running: the WAL's blocks are what deletes on
         * a full disk are written into. */
        if (s->wal_pages >= CHECKPOINT_PAGES || (n == 0 && s->wal_pages > 0))
            checkpoint(s, SQLITE_CHECKPOINT_PASSIVE);
        if (n == 0)
            reserve_make(s);
    }
    return NULL;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct store *s = arg;

    (void)db;
    (void)name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

int writer_start(struct store *s, struct err *e)
{
    int rc;

    sqlite3_wal_hook(s->index.db, on_wal, s);
    s->reap_at = clock_wall_s(); /* what the last run left */
    rc = pthread_create(&s->thread, NULL, writer_main, s);
    if (rc != 0)
        return err_sys(e, rc, "start index writer");
    s->has_thread = true;
    return 0;
}

/* Jobs that no writer will run, after a failed open. */
static void cancel_all(struct store *s)
{
    while (s->head) {
        struct store_job *j = s->head;

        s->head = j->next;
        j->rc = err_set(&j->e, ERR_CANCELLED, "the store did not open");
        j->done(j);
    }
}

void writer_stop(struct store *s)
{
    if (!s->has_thread)
        cancel_all(s);
    if (s->has_thread) {
        pthread_mutex_lock(&s->lock);
        s->stopping = true;
        pthread_cond_signal(&s->wake);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->thread, NULL);
        s->has_thread = false;
        checkpoint(s, SQLITE_CHECKPOINT_TRUNCATE);
    }
}

void store_submit(struct store *s, struct store_job *j)
{
    j->next = NULL;
    pthread_mutex_lock(&s->lock);
    *s->tail = j;
    s->tail = &j->next;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

/* For callers that wait: all share one condition, done==NULL is the sign. */
static pthread_mutex_t waiters = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t waiters_wake = PTHREAD_COND_INITIALIZER;

static void on_waited(struct store_job *j)
{
    pthread_mutex_lock(&waiters);
    j->done = NULL;
    pthread_cond_broadcast(&waiters_wake);
    pthread_mutex_unlock(&waiters);
}

int store_run(struct store *s, struct store_job *j)
{
    j->done = on_waited;
    store_submit(s, j);
    pthread_mutex_lock(&waiters);
    while (j->done)
        pthread_cond_wait(&waiters_wake, &waiters);
    pthread_mutex_unlock(&waiters);
    return j->rc;
}
