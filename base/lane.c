#include "base/lane.h"

#include <event2/event.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct lane {
    struct event_base *base;
    struct event *wake;
    int fd; /* eventfd: readable while messages may wait */
    pthread_t thread;
    pthread_mutex_t lock;
    struct lane_msg *head, **tail; /* under lock */
    bool is_stopping;              /* under lock */
    char name[16];
};

static struct lane_msg *take_all(struct lane *l, bool *is_stopping)
{
    struct lane_msg *m;

    pthread_mutex_lock(&l->lock);
    m = l->head;
    l->head = NULL;
    l->tail = &l->head;
    *is_stopping = l->is_stopping;
    pthread_mutex_unlock(&l->lock);
    return m;
}

/* What messages post is run in the next turn, so a lane never starves. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct lane *l = arg;
    struct lane_msg *m;
    bool is_stopping;
    uint64_t n;

    (void)what;
    if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
        return;
    m = take_all(l, &is_stopping);
    while (m) {
        struct lane_msg *next = m->next;

        m->run(m);
        m = next;
    }
    if (!is_stopping)
        return;
    pthread_mutex_lock(&l->lock);
    if (!l->head)
        event_base_loopbreak(l->base);
    pthread_mutex_unlock(&l->lock);
}

static void wake_up(struct lane *l)
{
    uint64_t one = 1;
    ssize_t rc;

    do
        rc = write(l->fd, &one, sizeof(one));
    while (rc < 0 && errno == EINTR);
}

static void *lane_main(void *arg)
{
    struct lane *l = arg;

    pthread_setname_np(pthread_self(), l->name);
    event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void lane_free(struct lane *l)
{
    if (l->wake)
        event_free(l->wake);
    if (l->base)
        event_base_free(l->base);
    if (l->fd >= 0)
        close(l->fd);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* A thread of ours must not take the program's signals. */
static int start_thread(struct lane *l)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&l->thread, NULL, lane_main, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

int lane_start(const char *name, struct lane **out, struct err *e)
{
    struct event_config *cfg = event_config_new();
    struct lane *l = calloc(1, sizeof(*l));
    int rc = 0;

    if (!l || !cfg) {
        free(l);
        if (cfg)
            event_config_free(cfg);
        return err_set(e, ERR_NO_MEMORY, "start lane: out of memory");
    }
    pthread_mutex_init(&l->lock, NULL);
    l->tail = &l->head;
    for (size_t i = 0; name[i] && i + 1 < sizeof(l->name); i++)
        l->name[i] = name[i];
    l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* One thread per base: its own lock is not needed. */
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    l->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    if (l->base && l->fd >= 0)
        l->wake = event_new(l->base, l->fd, EV_READ | EV_PERSIST, on_wake, l);
    if (!l->wake || event_add(l->wake, NULL) < 0) {
        lane_free(l);
        return err_set(e, ERR_IO, "start lane: no event loop");
    }
    rc = start_thread(l);
    if (rc != 0) {
        lane_free(l);
        return err_sys(e, rc, "start lane thread");
    }
    *out = l;
    return 0;
}

void lane_post(struct lane *l, struct lane_msg *m)
{
    bool was_empty;

    m->next = NULL;
    pthread_mutex_lock(&l->lock);
    was_empty = l->head == NULL;
    *l->tail = m;
    l->tail = &m->next;
    /* Inside the lock: after it the lane may stop and be freed. */
    if (was_empty)
        wake_up(l);
    pthread_mutex_unlock(&l->lock);
}

bool lane_is_here(const struct lane *l)
{
    return pthread_equal(l->thread, pthread_self()) != 0;
}

struct event_base *lane_base(struct lane *l)
{
    return l->base;
}

void lane_stop(struct lane *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->is_stopping = true;
    wake_up(l);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    lane_free(l);
}
