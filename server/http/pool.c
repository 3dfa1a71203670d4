#include "server/http/pool.h"

#include <stdlib.h>

#define KEEP_MAX 8 /* 2 MiB */

void pool_init(struct pool *p, size_t max_bytes)
{
    pthread_mutex_init(&p->lock, NULL);
    p->free = NULL;
    p->out = p->kept = 0;
    p->max = max_bytes / HTTP_BLOCK_SIZE;
    if (p->max < 1)
        p->max = 1;
}

static void block_free(struct http_block *b)
{
    free(b->data);
    free(b);
}

void pool_free(struct pool *p)
{
    berth_assert(p->out == 0);
    while (p->free) {
        struct http_block *b = p->free;

        p->free = b->next;
        block_free(b);
    }
    pthread_mutex_destroy(&p->lock);
}

static struct http_block *block_new(void)
{
    struct http_block *b = calloc(1, sizeof(*b));

    if (b)
        b->data = malloc(HTTP_BLOCK_SIZE);
    if (b && !b->data) {
        free(b);
        b = NULL;
    }
    return b;
}

struct http_block *pool_get(struct pool *p)
{
    struct http_block *b = NULL;

    pthread_mutex_lock(&p->lock);
    if (p->free) {
        b = p->free;
        p->free = b->next;
        p->kept--;
    } else if (p->out < p->max) {
        b = block_new();
    }
    if (b)
        p->out++;
    pthread_mutex_unlock(&p->lock);
    if (b) {
        b->next = NULL;
        b->len = 0;
    }
    return b;
}

bool pool_is_scarce(struct pool *p)
{
    bool is_scarce;

    pthread_mutex_lock(&p->lock);
    is_scarce = p->out * 4 >= p->max * 3;
    pthread_mutex_unlock(&p->lock);
    return is_scarce;
}

void pool_put(struct pool *p, struct http_block *b)
{
    pthread_mutex_lock(&p->lock);
    p->out--;
    if (p->kept < KEEP_MAX && p->kept + p->out < p->max) {
        b->next = p->free;
        p->free = b;
        p->kept++;
        b = NULL;
    }
    pthread_mutex_unlock(&p->lock);
    if (b)
        block_free(b);
}

bool quota_take(struct quota *q, size_t n)
{
    size_t used = atomic_load(&q->used);

    /* Never more than max, not even until it is given back: what another
     * thread asks for meanwhile would be refused for no reason. */
    do {
        if (n > q->max - used)
            return false;
    } while (!atomic_compare_exchange_weak(&q->used, &used, used + n));
    return true;
}

void quota_give(struct quota *q, size_t n)
{
    size_t before = atomic_fetch_sub(&q->used, n);

    berth_assert(before >= n);
}
