#include "base/workq.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct queue {
    struct work *head, **tail;
    int running, limit;
};

struct workq {
    pthread_mutex_t lock;
    pthread_cond_t wake, settled;
    struct queue queues[WORK_CLASSES];
    struct workq_opts opts;
    pthread_t *threads;
    int count;
    int ready, failed; /* threads whose init ended */
    struct err failure;
    bool stopping;
};

/* The next item whose class has a free place; under lock. */
static struct work *take(struct workq *q, struct queue **from)
{
    for (int c = 0; c < WORK_CLASSES; c++) {
        struct queue *one = &q->queues[c];
        struct work *w = one->head;

        if (!w || one->running >= one->limit)
            continue;
        one->head = w->next;
        if (!one->head)
            one->tail = &one->head;
        one->running++;
        *from = one;
        return w;
    }
    return NULL;
}

/* Make this thread's context and tell workq_new(); false: it failed. */
static bool settle(struct workq *q, void **ctx)
{
    struct err e = {.code = ERR_NONE};
    int rc = q->opts.init ? q->opts.init(q->opts.arg, ctx, &e) : 0;

    pthread_mutex_lock(&q->lock);
    if (rc == 0)
        q->ready++;
    else if (q->failed++ == 0)
        q->failure = e;
    pthread_cond_signal(&q->settled);
    pthread_mutex_unlock(&q->lock);
    return rc == 0;
}

static void *worker(void *arg)
{
    struct workq *q = arg;
    void *ctx = NULL;

    if (!settle(q, &ctx))
        return NULL;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        struct queue *from = NULL;
        struct work *w = take(q, &from);

        if (w) {
            pthread_mutex_unlock(&q->lock);
            w->run(w, ctx);
            pthread_mutex_lock(&q->lock);
            from->running--;
            /* A place got free: an item of this class may go now. */
            if (from->head)
                pthread_cond_signal(&q->wake);
            continue;
        }
        if (q->stopping)
            break;
        pthread_cond_wait(&q->wake, &q->lock);
    }
    pthread_mutex_unlock(&q->lock);
    if (q->opts.fini)
        q->opts.fini(ctx);
    return NULL;
}

int workq_new(const struct workq_opts *opts, struct workq **out, struct err *e)
{
    struct workq *q = calloc(1, sizeof(*q));
    int total = 0;

    if (!q)
        return err_set(e, ERR_NO_MEMORY, "start workers: out of memory");
    q->opts = *opts;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->wake, NULL);
    pthread_cond_init(&q->settled, NULL);
    for (int c = 0; c < WORK_CLASSES; c++) {
        q->queues[c].tail = &q->queues[c].head;
        q->queues[c].limit = opts->limit[c];
        total += opts->limit[c];
    }
    q->threads = calloc((size_t)total, sizeof(*q->threads));
    for (; q->threads && q->count < total; q->count++) {
        int rc = pthread_create(&q->threads[q->count], NULL, worker, q);

        if (rc != 0) {
            workq_free(q);
            return err_sys(e, rc, "start worker thread");
        }
    }
    if (!q->threads) {
        workq_free(q);
        return err_set(e, ERR_NO_MEMORY, "start workers: out of memory");
    }
    pthread_mutex_lock(&q->lock);
    while (q->ready + q->failed < q->count)
        pthread_cond_wait(&q->settled, &q->lock);
    pthread_mutex_unlock(&q->lock);
    if (q->failed > 0) {
        *e = q->failure;
        workq_free(q);
        return err_prefix(e, "start worker thread");
    }
    *out = q;
    return 0;
}

void workq_free(struct workq *q)
{
    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->stopping = true;
    pthread_cond_broadcast(&q->wake);
    pthread_mutex_unlock(&q->lock);
    for (int i = 0; i < q->count; i++)
        pthread_join(q->threads[i], NULL);
    pthread_cond_destroy(&q->settled);
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->lock);
    free(q->threads);
    free(q);
}

void workq_submit(struct workq *q, enum work_class class, struct work *w)
{
    struct queue *one = &q->queues[class];

    w->next = NULL;
    pthread_mutex_lock(&q->lock);
    *one->tail = w;
    one->tail = &w->next;
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
}
