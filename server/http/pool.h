/*
 * The blocks that request bodies are received into: one bounded pool.
 *
 * Why bounded: memory for uploads is then independent of the number and speed
 * of clients; a connection that gets no block stops reading, and TCP slows
 * its client down.  A few free blocks are kept, the rest goes back to the
 * system, so an idle server is small.
 */
#ifndef BERTH_SERVER_HTTP_POOL_H
#define BERTH_SERVER_HTTP_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "server/http/http.h"

struct pool {
    pthread_mutex_t lock;
    struct http_block *free;
    size_t out, kept, max; /* blocks */
};

void pool_init(struct pool *p, size_t max_bytes);
/* All blocks must have been put back. */
void pool_free(struct pool *p);
/* An empty block, or NULL: none left, or no memory.  Thread: any. */
struct http_block *pool_get(struct pool *p);
/* Most blocks are out: slow clients should not keep theirs.  Thread: any. */
bool pool_is_scarce(struct pool *p);
/* Thread: any. */
void pool_put(struct pool *p, struct http_block *b);

/* Memory outside of the pool, counted: manifests, and answers held whole. */
struct quota {
    atomic_size_t used;
    size_t max;
};
/* false: so much is not left.  Thread: any, both. */
must_check bool quota_take(struct quota *q, size_t n);
void quota_give(struct quota *q, size_t n);

#endif
