/* The table of upload sessions. */
#ifndef BERTH_STORAGE_UPLOAD_INT_H
#define BERTH_STORAGE_UPLOAD_INT_H

#include <pthread.h>

#include <uthash.h>

#include "storage/store.h"

#define UPLOAD_MAX_SESSIONS 10000

struct upload {
    char id[UPLOAD_ID_LEN + 1];
    char *repo;
    int fd;
    int64_t offset;               /* written and hashed (unless hashed < 0) */
    int64_t durable;              /* synced */
    int64_t hashed;               /* == offset, or -1 after a restart */
    int64_t flushed;              /* write-back was started up to here */
    struct hash *sha256, *sha512; /* sha512 only when announced */
    bool wants_sha512, is_busy, has_file, is_name_durable;
    bool is_shared;  /* fd may be a blob's file too: not to be written */
    int64_t used_ms; /* clock_mono_ms of the last use */
    struct upload *next_dead;     /* while being expired */
    struct upload_holder *holder; /* of the busy one, if it can be asked */
    struct upload_waiter *waiter; /* who asked */
    UT_hash_handle hh;
};

struct upload_table {
    pthread_mutex_t lock;
    struct upload *by_id; /* uthash */
    size_t count;
};

struct store;

void upload_table_init(struct upload_table *t);
void upload_table_free(struct upload_table *t);
/*
 * A session found in the index at start: its file is cut to offset and will
 * be hashed again when it is used.
 */
must_check int upload_restore(struct store *s, const char *id, const char *repo,
                              int64_t offset, int64_t touched, struct err *e);
bool upload_known(struct store *s, const char *id);
/* Bytes known to be on disk: what may be acknowledged. */
int64_t upload_durable(const struct upload *u);
/* Borrowed; lives as long as the session. */
const char *upload_repo(const struct upload *u);

#endif
