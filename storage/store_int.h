/* Inside of the store, shared by the files of this folder only. */
#ifndef BERTH_STORAGE_STORE_INT_H
#define BERTH_STORAGE_STORE_INT_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "storage/store.h"
#include "storage/upload_int.h"

#define STORE_FORMAT         1
#define STORE_APPLICATION_ID 0x62727468 /* "brth" */

/* Seconds between a blob's last row and its file. */
#define STORE_REAP_DELAY_S 10

/* A connection with its statements, prepared on first use and kept. */
struct index_conn {
    sqlite3 *db;
    sqlite3_stmt *statements[48];
    const char *texts[48]; /* the literal itself is the key */
};

struct store {
    struct store_opts opts;
    char *root_path;
    int root_fd, lock_fd, uploads_fd, trash_fd;
    int blobs_fd[3]; /* by enum hash_alg */
    int64_t min_free;

    /* The writer. */
    struct index_conn index;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* queue and stopping */
    pthread_cond_t wake;
    struct store_job *head, **tail;
    bool stopping;
    int wal_pages;
    bool has_reserve; /* writer only, see reserve_make */
    int64_t reap_at;  /* wall seconds of the next look at dead objects, or 0;
                         writer only */

    /* Set once, by whoever met the I/O error first. */
    atomic_bool is_faulty;
    char fault[256];

    struct upload_table uploads;
};

/* index.c */
must_check int index_open_writer(struct store *s, struct err *e);
must_check int index_open_reader(struct store *s, struct index_conn *c,
                                 struct err *e);
void index_close(struct index_conn *c);
/* A reset statement for this literal text, or NULL with *e. */
sqlite3_stmt *index_statement(struct index_conn *c, const char *text,
                              struct err *e);
void index_reset_all(struct index_conn *c);
/* Turn a SQLite result into *e; returns -1. */
int index_err(sqlite3 *db, int rc, const char *what, struct err *e);
/*
 * Bind a digest as its key, or a text (NULL is fine).
 * Owns: borrows both until the statement was stepped to its end or reset.  A
 * copy could fail for lack of memory, and the statement would run with NULL:
 * delete nothing, find nothing, and say that all is well.
 */
void index_bind_digest(sqlite3_stmt *st, int at, const struct digest *d);
void index_bind_text(sqlite3_stmt *st, int at, const char *text);

/* writer.c */
must_check int writer_start(struct store *s, struct err *e);
void writer_stop(struct store *s);

/* disk.c */
/* The first one counts: read-only from now on, see store_fault(). */
void store_set_fault(struct store *s, const struct err *e);
/* Bytes that stay free when the configuration does not say. */
int64_t store_default_floor(struct store *s);
/*
 * Would the floor of free space be free behind so many bytes more?
 * Errors: ERR_NO_SPACE; ERR_READ_ONLY after a fault.
 */
must_check int store_check_space(struct store *s, int64_t more, struct err *e);
/*
 * A file of a few MiB that keeps space for the transactions that free space:
 * on a full disk the writer gives it up, and makes it again when there is
 * room.  Failing to make it is no error.
 */
void reserve_make(struct store *s);
void reserve_release(struct store *s);
/* "<2 hex>/<hex>" below blobs_fd[alg]. */
#define BLOB_PATH_MAX (3 + 128 + 1)
char *store_blob_path(const struct digest *d, char out[BLOB_PATH_MAX]);
/* fsync the shard folder that holds the blob's name. */
must_check int store_sync_shard(struct store *s, const struct digest *d,
                                struct err *e);

#endif
