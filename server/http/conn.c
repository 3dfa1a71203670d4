/*
 * The connection: its states, its timers, and the loop that drives it.
 *
 * Why one driver: every event (bytes, room to write, a timer, a call of the
 * application) only leads to conn_run(), which looks at the state and does
 * what is possible.  There is one place where a connection is freed.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "server/http/http_int.h"
#include "server/http/target.h"

#define IN_FIRST    2048 /* input buffer of a new head */
#define TURN_STEPS  32   /* steps per turn: a fast client waits its turn */
#define LINGER_STEP 16384
#define PROBE_MS    1000 /* is the client of a request under way still there? */

/* ---- states ------------------------------------------------------------- */

#define MAY(s) (1U << (s))

/* From which state one may come. */
static const unsigned may_follow[] = {
    [CONN_IDLE] = MAY(CONN_SEND) | MAY(CONN_DRAIN),
    [CONN_HEAD] = MAY(CONN_IDLE),
    [CONN_WAIT] = MAY(CONN_HEAD) | MAY(CONN_BODY) | MAY(CONN_STALL),
    [CONN_BODY] = MAY(CONN_WAIT) | MAY(CONN_STALL),
    [CONN_STALL] = MAY(CONN_BODY),
    [CONN_SEND] =
        MAY(CONN_HEAD) | MAY(CONN_WAIT) | MAY(CONN_BODY) | MAY(CONN_STALL),
    [CONN_DRAIN] = MAY(CONN_SEND),
    [CONN_LINGER] = MAY(CONN_SEND) | MAY(CONN_DRAIN),
    [CONN_CLOSED] = ~MAY(CONN_CLOSED),
};

static bool is_measured(enum conn_state s)
{
    return s == CONN_BODY || s == CONN_STALL || s == CONN_SEND;
}

static unsigned state_ms(const struct conn *c)
{
    const struct http_limits *l = &c->lc->server->limits;

    switch (c->state) {
    case CONN_IDLE:
        return l->idle_ms;
    case CONN_HEAD:
        return l->header_ms;
    case CONN_BODY:
    case CONN_STALL:
    case CONN_SEND:
        return l->window_ms;
    case CONN_DRAIN:
    case CONN_LINGER:
        return l->linger_ms;
    case CONN_WAIT:
        return PROBE_MS;
    case CONN_CLOSED:
        break;
    }
    return 0;
}

static struct timeval ms_tv(unsigned ms)
{
    return (struct timeval){ms / 1000, (suseconds_t)(ms % 1000) * 1000};
}

static void arm_timer(struct conn *c)
{
    unsigned ms = state_ms(c);
    struct timeval tv = ms_tv(ms);

    if (ms)
        event_add(&c->ev_timer, &tv);
    else
        event_del(&c->ev_timer);
}

static void start_window(struct conn *c, bool is_first)
{
    c->is_first_window = is_first;
    c->was_stalled = c->state == CONN_STALL;
    c->window_bytes = 0;
    if (is_first)
        c->progress_ms = clock_mono_ms();
}

/* For the other lanes, which look for the oldest of all. */
static void publish_oldest(struct lane_ctx *lc)
{
    atomic_store(&lc->idle_since_ms,
                 lc->idle ? lc->idle->idle_since_ms : LLONG_MAX);
}

static void enter_idle(struct conn *c)
{
    c->idle_since_ms = clock_mono_ms();
    DL_APPEND2(c->lc->idle, c, idle_prev, idle_next);
    atomic_fetch_add(&c->lc->idle_count, 1);
    publish_oldest(c->lc);
}

static void leave_idle(struct conn *c)
{
    DL_DELETE2(c->lc->idle, c, idle_prev, idle_next);
    atomic_fetch_sub(&c->lc->idle_count, 1);
    publish_oldest(c->lc);
}

void conn_set_state(struct conn *c, enum conn_state state)
{
    enum conn_state old = c->state;
    bool is_reading = state == CONN_IDLE || state == CONN_HEAD ||
                      state == CONN_BODY || state == CONN_DRAIN ||
                      state == CONN_LINGER;

    berth_assert(may_follow[state] & MAY(old));
    if (old == CONN_IDLE)
        leave_idle(c);
    if (state == CONN_IDLE)
        enter_idle(c);
    c->state = state;
    if (is_reading)
        event_add(&c->ev_read, NULL);
    else
        event_del(&c->ev_read);
    if (state == CONN_STALL)
        c->was_stalled = true;
    /* Body and stall share one window; each other state starts its timer. */
    if ((old == CONN_BODY && state == CONN_STALL) ||
        (old == CONN_STALL && state == CONN_BODY))
        return;
    event_del(&c->ev_write);
    if (is_measured(state))
        start_window(c, true);
    arm_timer(c);
}

/* ---- ending ------------------------------------------------------------- */

bool conn_is_draining(const struct conn *c)
{
    return atomic_load(&c->lc->server->is_draining);
}

void conn_next(struct conn *c)
{
    if (c->close_after || conn_is_draining(c)) {
        c->stream.ops->shutdown(&c->stream);
        conn_set_state(c, CONN_LINGER);
    } else {
        conn_set_state(c, CONN_IDLE);
    }
}

static void abort_exchange(struct http_exchange *x)
{
    if (!x->is_given || x->is_replied || x->is_dead)
        return;
    x->is_dead = true;
    if (x->on_abort)
        x->on_abort(x, x->abort_arg);
    if (x->block)
        pool_put(&x->server->pool, x->block);
    x->block = NULL;
}

void conn_close(struct conn *c)
{
    struct http_exchange *x = c->x;

    if (c->state == CONN_CLOSED)
        return;
    if (x) {
        abort_exchange(x);
        exchange_tell(x, true);
        c->x = NULL;
        exchange_detach(x);
    }
    conn_set_state(c, CONN_CLOSED);
    conn_kick(c);
}

void conn_break(struct conn *c)
{
    c->is_broken = true;
    c->x->is_replied = true;
    c->x->status = 500;
    conn_kick(c);
}

void conn_fail(struct conn *c, int status, const char *why)
{
    struct http_exchange *x = c->x;

    if (status == 0 || !x || x->is_replied) {
        conn_close(c);
        return;
    }
    abort_exchange(x);
    c->close_after = true;
    reply_engine(x, status, why);
}

static void reap(struct conn *c)
{
    struct http_server *s = c->lc->server;

    event_del(&c->ev_read);
    event_del(&c->ev_write);
    event_del(&c->ev_timer);
    event_del(&c->ev_kick);
    c->stream.ops->close(&c->stream);
    DL_DELETE(c->lc->conns, c);
    peers_leave(&s->peers, c->source);
    if (c->out)
        evbuffer_free(c->out);
    free(c->in);
    free(c);
    pthread_mutex_lock(&s->lock);
    s->conns--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- heads -------------------------------------------------------------- */

static void drop_input(struct conn *c)
{
    free(c->in);
    c->in = NULL;
    c->in_len = c->in_cap = 0;
}

static void consume(struct conn *c, size_t n)
{
    c->in_len -= n;
    if (c->in_len == 0)
        drop_input(c);
    else
        memmove(c->in, c->in + n, c->in_len);
}

/*
 * 1: bytes came; 0: wait; -1: the connection is closed.
 * Called while the head is not complete, so what may stand behind it is less
 * than what is asked for here.
 */
static int receive(struct conn *c)
{
    size_t most = c->lc->server->limits.pipeline_bytes;
    size_t room;
    ssize_t n;

    if (c->in_len == c->in_cap) {
        size_t cap = c->in_cap ? c->in_cap * 2 : IN_FIRST;
        char *p = realloc(c->in, cap);

        if (!p) {
            conn_close(c);
            return -1;
        }
        c->in = p;
        c->in_cap = cap;
    }
    room = c->in_cap - c->in_len;
    n = c->stream.ops->recv(&c->stream, c->in + c->in_len,
                            room < most ? room : most);
    if (n > 0) {
        c->in_len += (size_t)n;
        return 1;
    }
    if (n < 0 && errno == EAGAIN) {
        if (c->in_len == 0)
            drop_input(c);
        return 0;
    }
    conn_close(c);
    return -1;
}

/* Keep the head's bytes for the exchange; false: no memory. */
static bool keep_head(struct http_exchange *x, const char *bytes, size_t n)
{
    char *p = arena_dup(&x->arena, (struct slice){bytes, n});

    x->head_bytes = p;
    return p != NULL;
}

static void prepare_body(struct http_exchange *x)
{
    struct head *h = &x->head;

    x->has_body = h->is_chunked || h->length > 0;
    x->is_body_over = !x->has_body;
    if (h->is_chunked)
        body_init_chunked(&x->body, x->server->limits.pipeline_bytes);
    else if (h->length > 0)
        body_init_length(&x->body, h->length);
}

static void head_done(struct conn *c, struct http_exchange *x)
{
    struct http_server *s = c->lc->server;

    if (!keep_head(x, c->in, x->head.scan)) {
        conn_close(c);
        return;
    }
    consume(c, x->head.scan);
    x->path = target_path(&x->arena, head_slice(x->head_bytes, x->head.path));
    prepare_body(x);
    c->requests++;
    conn_set_state(c, CONN_WAIT);
    if (!exchange_name_client(x)) {
        reply_engine(x, 503, "too many requests of one client at once");
        return;
    }
    if (x->head.is_star) {
        reply_engine(x, 204, "");
        return;
    }
    x->is_given = true;
    s->app.on_request(x, s->app.ctx);
}

static void head_bad(struct conn *c, struct http_exchange *x)
{
    if (!keep_head(x, c->in, c->in_len)) {
        conn_close(c);
        return;
    }
    if (x->head.is_tls)
        x->note = "tls-on-plain-port";
    drop_input(c);
    c->close_after = true;
    reply_engine(x, x->head.status, x->head.why);
}

static bool head_run(struct conn *c)
{
    enum head_result r;

    if (!c->x || c->x->head.scan == c->in_len) {
        if (c->x || c->in_len == 0) {
            int got = receive(c);

            if (got <= 0)
                return got < 0;
        }
    }
    if (!c->x) {
        c->x = exchange_new(c);
        if (!c->x) {
            conn_close(c);
            return true;
        }
        conn_set_state(c, CONN_HEAD);
    }
    r = head_feed(&c->x->head, c->in, c->in_len);
    if (r == HEAD_DONE)
        head_done(c, c->x);
    else if (r == HEAD_BAD)
        head_bad(c, c->x);
    return true;
}

/* ---- input for bodies --------------------------------------------------- */

ssize_t conn_take(struct conn *c, void *buf, size_t n)
{
    if (c->in_len == 0)
        return c->stream.ops->recv(&c->stream, buf, n);
    if (n > c->in_len)
        n = c->in_len;
    memcpy(buf, c->in, n);
    consume(c, n);
    return (ssize_t)n;
}

bool conn_give_back(struct conn *c, const char *buf, size_t n)
{
    char *p;

    if (n == 0)
        return true;
    p = malloc(n + c->in_len);
    if (!p)
        return false;
    memcpy(p, buf, n);
    if (c->in_len)
        memcpy(p + n, c->in, c->in_len);
    free(c->in);
    c->in = p;
    c->in_len += n;
    c->in_cap = c->in_len;
    return true;
}

/* ---- the driver --------------------------------------------------------- */

/* Read away so that the client can read our answer before a reset. */
static bool linger_run(struct conn *c)
{
    char buf[LINGER_STEP];
    ssize_t n;

    /*
     * Enough: what else comes stays unread until the time is over, since to
     * close now would be a reset that may overtake the answer.
     */
    if (c->lingered > c->lc->server->limits.linger_bytes) {
        event_del(&c->ev_read);
        return false;
    }
    n = c->stream.ops->recv(&c->stream, buf, sizeof(buf));
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n > 0)
        c->lingered += (size_t)n;
    else
        conn_close(c);
    return true;
}

/* One step; false: nothing more can be done now. */
static bool step(struct conn *c)
{
    if (c->is_broken)
        conn_close(c);
    switch (c->state) {
    case CONN_IDLE:
    case CONN_HEAD:
        return head_run(c);
    case CONN_BODY:
    case CONN_STALL:
        return body_run(c);
    case CONN_SEND:
        return reply_run(c);
    case CONN_DRAIN:
        return body_drain(c);
    case CONN_LINGER:
        return linger_run(c);
    case CONN_WAIT:
    case CONN_CLOSED:
        break;
    }
    return false;
}

static void conn_run(struct conn *c)
{
    int n = 0;

    while (n < TURN_STEPS && step(c))
        n++;
    if (c->state == CONN_CLOSED)
        reap(c);
    else if (n == TURN_STEPS)
        conn_kick(c);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_run(arg);
}

/*
 * Has the connection broken while nothing was read from it?  A client that
 * has only ended its own side may still wait for the answer.
 */
static bool is_reset(const struct conn *c)
{
    struct pollfd p = {.fd = c->stream.fd};

    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

/* A window of body or answer is over: was it fast enough? */
static void check_speed(struct conn *c)
{
    const struct http_limits *l = &c->lc->server->limits;
    int64_t quiet_ms = clock_mono_ms() - c->progress_ms;
    bool is_slow = !c->is_first_window &&
                   c->window_bytes * 1000 < (uint64_t)l->min_bps * l->window_ms;

    if (c->state == CONN_STALL || c->was_stalled) {
        c->progress_ms = clock_mono_ms();
    } else if (is_slow || quiet_ms >= (int64_t)l->body_idle_ms) {
        conn_fail(c, 408, "request body is too slow");
        return;
    }
    start_window(c, false);
    arm_timer(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd;
    (void)what;
    if (c->state == CONN_HEAD)
        conn_fail(c, 408, "request head is too slow");
    else if (c->state == CONN_WAIT && !is_reset(c))
        arm_timer(c);
    else if (is_measured(c->state) && is_reset(c))
        conn_fail(c, 0, NULL);
    else if (is_measured(c->state))
        check_speed(c);
    else
        conn_close(c);
    conn_run(c);
}

void conn_kick(struct conn *c)
{
    conn_kick_in(c, 0);
}

void conn_kick_in(struct conn *c, unsigned ms)
{
    struct timeval tv = ms_tv(ms);

    event_add(&c->ev_kick, &tv);
}

void conn_open(struct lane_ctx *lc, int fd, const struct sockaddr *sa,
               struct peer *source)
{
    struct http_server *s = lc->server;
    struct event_base *base = lane_base(lc->lane);
    struct conn *c = calloc(1, sizeof(*c));

    if (!c) {
        evutil_closesocket(fd);
        peers_leave(&s->peers, source);
        return;
    }
    c->lc = lc;
    c->source = source;
    stream_init_clear(&c->stream, fd);
    listen_format(sa, c->peer, NULL);
    c->ip = ip_of(sa);
    c->is_trusted = forwarded_is_trusted(&s->trust, &c->ip);
    event_assign(&c->ev_read, base, fd, EV_READ | EV_PERSIST, on_event, c);
    event_assign(&c->ev_write, base, fd, EV_WRITE, on_event, c);
    evtimer_assign(&c->ev_timer, base, on_timer, c);
    evtimer_assign(&c->ev_kick, base, on_event, c);
    pthread_mutex_lock(&s->lock);
    s->conns++;
    pthread_mutex_unlock(&s->lock);
    DL_APPEND(lc->conns, c);
    enter_idle(c);
    c->state = CONN_IDLE;
    event_add(&c->ev_read, NULL);
    arm_timer(c);
    conn_kick(c);
}
