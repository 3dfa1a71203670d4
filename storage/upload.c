/*
 * Upload sessions: the table, who holds one, how one ends.
 *
 * A session lives in memory; its file comes with the first bytes (see
 * upload_file.c), its row with the first acknowledged ones (store_job_offset).
 *
 * Invariants: 1. one request holds a session at a time (is_busy); 2. whoever
 * waits for a held session hears of it exactly once: it is given the session,
 * or told that it stays with its holder or is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Adding to a table may fail: every user has a bool `failed` in scope. */
#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(obj) (failed = true)

#include "base/clock.h"
#include "base/io.h"
#include "storage/store_int.h"

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

/* Is a to be dropped before b?  Empty ones first: whoever begins thousands of
 * them costs nobody the bytes of an upload. */
static bool is_lesser(const struct upload *a, const struct upload *b)
{
    if (a->has_file != b->has_file)
        return !a->has_file;
    return a->used_ms < b->used_ms;
}

/* Under lock: take out the least session that is free; NULL when none. */
static struct upload *take_least(struct store *s)
{
    struct upload *u, *next, *least = NULL;

    HASH_ITER (hh, s->uploads.by_id, u, next) {
        /* cppcheck-suppress uninitvar; HASH_ITER sets it */
        if (!u->is_busy && (!least || is_lesser(u, least)))
            least = u;
    }
    if (least) {
        HASH_DEL(s->uploads.by_id, least);
        s->uploads.count--;
    }
    return least;
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
        victim = take_least(s);
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

/* Under lock: u goes to whoever waits for it, or is free. */
static void pass_on(struct upload *u)
{
    struct upload_waiter *w = u->waiter;

    /* Thousands of sessions may rest: none keeps a descriptor meanwhile. */
    scope_close(&u->fd);
    u->fd = -1;
    u->is_busy = w != NULL;
    u->used_ms = clock_mono_ms();
    u->holder = NULL;
    u->waiter = NULL;
    if (!w)
        return;
    rewind_to_durable(u);
    w->upload = u;
    memcpy(w->info.id, u->id, sizeof(w->info.id));
    w->info.offset = u->durable;
    w->ready(w);
}

/* Under lock: whoever waits for u does so in vain. */
static void disappoint(struct upload *u, enum err_code code, const char *why)
{
    struct upload_waiter *w = u->waiter;

    u->waiter = NULL;
    if (!w)
        return;
    w->upload = NULL;
    memcpy(w->info.id, u->id, sizeof(w->info.id));
    w->info.offset = u->durable;
    err_set(&w->e, code, "%s", why);
    w->ready(w);
}

void upload_release(struct store *s, struct upload *u)
{
    pthread_mutex_lock(&s->uploads.lock);
    pass_on(u);
    pthread_mutex_unlock(&s->uploads.lock);
}

void upload_hold(struct store *s, struct upload *u, struct upload_holder *h)
{
    pthread_mutex_lock(&s->uploads.lock);
    u->holder = h;
    pthread_mutex_unlock(&s->uploads.lock);
}

int upload_ask(struct store *s, const char *repo, const char *id,
               int64_t offset, struct upload_waiter *w, struct err *e)
{
    struct upload *u;
    int rc = 0;

    pthread_mutex_lock(&s->uploads.lock);
    u = look_up(s, repo, id, &w->info, e);
    if (!u) {
        rc = -1;
    } else if (!u->is_busy) { /* it was let go meanwhile */
        u->waiter = w;
        pass_on(u);
    } else if (!u->holder || u->waiter || u->holder->is_asked) {
        rc = err_set(e, ERR_BUSY, "another request uses this upload");
    } else {
        u->waiter = w;
        u->holder->is_asked = true;
        u->holder->offset = offset;
        u->holder->ask(u->holder);
    }
    pthread_mutex_unlock(&s->uploads.lock);
    return rc;
}

void upload_answer(struct store *s, const char *id, struct upload_holder *h,
                   bool yields)
{
    struct upload *u;

    pthread_mutex_lock(&s->uploads.lock);
    h->is_asked = false;
    u = find(s, id);
    if (u && u->holder == h && !yields)
        disappoint(u, ERR_BUSY, "another request uses this upload");
    pthread_mutex_unlock(&s->uploads.lock);
}

bool upload_is_asked(struct store *s, const struct upload_holder *h)
{
    bool is_asked;

    pthread_mutex_lock(&s->uploads.lock);
    is_asked = h->is_asked;
    pthread_mutex_unlock(&s->uploads.lock);
    return is_asked;
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

void upload_drop(struct store *s, struct upload *u)
{
    pthread_mutex_lock(&s->uploads.lock);
    disappoint(u, ERR_NOT_FOUND, "no such upload");
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
