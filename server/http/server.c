/*
 * The server: listeners on every lane, accepting, draining, stopping.
 *
 * 1. One listening socket is registered in every lane; whoever is awake
 *    accepts, and a connection never changes its lane.
 * 2. A lane context is touched on its lane only; start, drain and stop reach
 *    it by message.
 * 3. Counters are under server.lock; the server is freed when no connection
 *    and no exchange is left.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "server/http/http_int.h"

#define ACCEPT_TURN 16  /* connections per wake-up */
#define EMFILE_MS   100 /* listeners rest */
#define SPARE_FDS   512 /* for files, database, log */

void http_limits_default(struct http_limits *l)
{
    *l = (struct http_limits){
        .head_bytes = 32 * 1024,
        .line_bytes = 8 * 1024,
        .header_bytes = 16 * 1024,
        .headers = 100,
        .header_ms = 10 * 1000,
        .idle_ms = 120 * 1000,
        .window_ms = 30 * 1000,
        .min_bps = 1024,
        .body_idle_ms = 60 * 1000,
        .linger_ms = 2000,
        .linger_bytes = 1024 * 1024,
        .drop_bytes = 64 * 1024,
        .connections = 20000,
        .per_address = 1000,
        .requests = 1000,
        .pipeline_bytes = 4096,
        .pool_bytes = 64 * 1024 * 1024,
        .whole_bytes = 128 * 1024 * 1024,
        .out_bytes = 256 * 1024,
        .arena_bytes = 256 * 1024,
    };
}

/* ---- accepting ---------------------------------------------------------- */

/* Sent without a parse: the client is refused whatever it asks. */
static void refuse(int fd)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\n"
                               "Content-Length: 0\r\nRetry-After: 1\r\n"
                               "Connection: close\r\n\r\n";

    char rest[4096];

    (void)!send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL);
    /* Unread bytes would make close() a reset that overtakes the answer. */
    shutdown(fd, SHUT_WR);
    (void)!recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
    close(fd);
}

/*
 * The lane whose oldest idle connection is the oldest of all; NULL: none is
 * idle that was not asked for already.  Under server.lock.
 */
static struct lane_ctx *oldest_lane(struct http_server *s)
{
    struct lane_ctx *oldest = NULL;
    long long since = LLONG_MAX;

    for (size_t i = 0; i < s->lane_count; i++) {
        struct lane_ctx *lc = &s->lanes[i];
        long long one = atomic_load(&lc->idle_since_ms);

        if (one < since && lc->evict_due < atomic_load(&lc->idle_count)) {
            oldest = lc;
            since = one;
        }
    }
    return oldest;
}

/*
 * At the cap the oldest idle connection makes room, if there is one.  Another
 * lane closes its own when it gets the message; the newcomer is taken at
 * once, so for a moment there is one too many.
 */
static bool make_room(struct lane_ctx *lc)
{
    struct http_server *s = lc->server;
    struct lane_ctx *lane = NULL;
    bool has_room;

    pthread_mutex_lock(&s->lock);
    has_room = s->conns < s->limits.connections;
    if (!has_room)
        lane = oldest_lane(s);
    if (lane && lane != lc && lane->evict_due++ == 0)
        lane_post(lane->lane, &lane->evict_msg);
    pthread_mutex_unlock(&s->lock);
    if (lane == lc && lc->idle)
        conn_close(lc->idle);
    return has_room || lane;
}

static void on_evict(struct lane_msg *m)
{
    struct lane_ctx *lc =
        (struct lane_ctx *)((char *)m - offsetof(struct lane_ctx, evict_msg));
    unsigned n;

    pthread_mutex_lock(&lc->server->lock);
    n = lc->evict_due;
    lc->evict_due = 0;
    pthread_mutex_unlock(&lc->server->lock);
    for (; n > 0 && lc->idle; n--)
        conn_close(lc->idle);
}

static void rest(struct lane_ctx *lc)
{
    struct timeval tv = {0, EMFILE_MS * 1000};

    for (size_t i = 0; i < lc->server->listener_count; i++)
        event_del(&lc->accept_events[i]);
    event_add(&lc->resume, &tv);
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor left: give the spare one to a client to tell it so. */
static void on_exhausted(struct lane_ctx *lc, int listen_fd)
{
    if (lc->spare_fd >= 0) {
        int fd;

        close(lc->spare_fd);
        fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            refuse(fd);
        lc->spare_fd = open_spare();
    }
    rest(lc);
}

static void take_client(struct lane_ctx *lc, int fd, const struct sockaddr *sa)
{
    struct http_server *s = lc->server;
    struct ip ip = ip_of(sa);
    struct peer *source = NULL;
    bool is_counted;
    int one = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    /* Behind a trusted proxy each request counts for its own client. */
    is_counted = s->limits.per_address > 0 && !ip_is_loopback(&ip) &&
                 !forwarded_is_trusted(&s->trust, &ip);
    if (is_counted)
        source = peers_enter(&s->peers, &ip, s->limits.per_address);
    if ((is_counted && !source) || !make_room(lc)) {
        peers_leave(&s->peers, source);
        refuse(fd);
        return;
    }
    conn_open(lc, fd, sa, source);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct lane_ctx *lc = arg;

    (void)what;
    for (int i = 0; i < ACCEPT_TURN; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof(sa);
        int fd = accept4(listen_fd, (struct sockaddr *)&sa, &len,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            take_client(lc, fd, (struct sockaddr *)&sa);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                   errno == ENOMEM) {
            on_exhausted(lc, listen_fd);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct lane_ctx *lc = arg;

    (void)fd;
    (void)what;
    if (atomic_load(&lc->server->is_draining))
        return;
    /* Somebody else took the descriptor while it was given up. */
    if (lc->spare_fd < 0)
        lc->spare_fd = open_spare();
    for (size_t i = 0; i < lc->server->listener_count; i++)
        event_add(&lc->accept_events[i], NULL);
}

/* ---- lane contexts ------------------------------------------------------ */

static void lane_is_through(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->pending_lanes--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void on_start(struct lane_msg *m)
{
    struct lane_ctx *lc =
        (struct lane_ctx *)((char *)m - offsetof(struct lane_ctx, start_msg));
    struct http_server *s = lc->server;
    struct event_base *base = lane_base(lc->lane);

    evtimer_assign(&lc->resume, base, on_resume, lc);
    for (size_t i = 0; i < s->listener_count; i++) {
        event_assign(&lc->accept_events[i], base, s->listeners[i].fd,
                     EV_READ | EV_PERSIST, on_accept, lc);
        event_add(&lc->accept_events[i], NULL);
    }
    lane_is_through(s);
}

/* Drain and stop: no more clients; stop also cuts what runs. */
static void quiet(struct lane_ctx *lc, bool is_cut)
{
    for (size_t i = 0; i < lc->server->listener_count; i++)
        event_del(&lc->accept_events[i]);
    event_del(&lc->resume);
    for (struct conn *c = lc->conns, *next; c; c = next) {
        next = c->next;
        if (is_cut || c->state == CONN_IDLE)
            conn_close(c);
    }
    lane_is_through(lc->server);
}

static struct lane_ctx *of_stop_msg(struct lane_msg *m)
{
    return (struct lane_ctx *)((char *)m - offsetof(struct lane_ctx, stop_msg));
}

static void on_drain(struct lane_msg *m)
{
    quiet(of_stop_msg(m), false);
}

static void on_stop(struct lane_msg *m)
{
    quiet(of_stop_msg(m), true);
}

/* Run fn on every lane and wait until all have done it. */
static void on_all_lanes(struct http_server *s, void (*fn)(struct lane_msg *))
{
    pthread_mutex_lock(&s->lock);
    s->pending_lanes = (unsigned)s->lane_count;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->lane_count; i++) {
        s->lanes[i].stop_msg.run = fn;
        lane_post(s->lanes[i].lane, &s->lanes[i].stop_msg);
    }
    pthread_mutex_lock(&s->lock);
    while (s->pending_lanes > 0)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

/* ---- life --------------------------------------------------------------- */

static void server_free(struct http_server *s)
{
    for (size_t i = 0; i < s->listener_count; i++)
        if (s->listeners[i].fd >= 0)
            close(s->listeners[i].fd);
    for (size_t i = 0; s->lanes && i < s->lane_count; i++) {
        if (s->lanes[i].spare_fd >= 0)
            close(s->lanes[i].spare_fd);
        free(s->lanes[i].accept_events);
    }
    pool_free(&s->pool);
    peers_free(&s->peers);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->common_headers);
    free(s->listeners);
    free(s->lanes);
    free(s);
}

static int no_memory(struct http_server *s, struct err *e)
{
    server_free(s);
    return err_set(e, ERR_NO_MEMORY, "start HTTP server: out of memory");
}

unsigned http_connections_possible(unsigned wanted)
{
    struct rlimit r;
    rlim_t cap;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur == RLIM_INFINITY)
        return wanted;
    cap = r.rlim_cur > 2 * SPARE_FDS ? r.rlim_cur - SPARE_FDS : r.rlim_cur / 2;
    return wanted > cap ? (unsigned)cap : wanted;
}

static int make_lanes(struct http_server *s,
                      const struct http_server_opts *opts)
{
    s->lanes = calloc(opts->lane_count, sizeof(*s->lanes));
    if (!s->lanes)
        return -1;
    for (size_t i = 0; i < opts->lane_count; i++) {
        struct lane_ctx *lc = &s->lanes[i];

        lc->server = s;
        lc->lane = opts->lanes[i];
        lc->spare_fd = open_spare();
        atomic_init(&lc->idle_since_ms, LLONG_MAX);
        lc->start_msg.run = on_start;
        lc->evict_msg.run = on_evict;
        io_random(&lc->next_id, sizeof(lc->next_id));
        s->lane_count = i + 1;
        lc->accept_events =
            calloc(opts->listen_count, sizeof(*lc->accept_events));
        if (!lc->accept_events)
            return -1;
    }
    return 0;
}

int http_server_start(const struct http_server_opts *opts,
                      struct http_server **out, struct err *e)
{
    struct http_server *s = calloc(1, sizeof(*s));

    berth_assert(opts->lane_count > 0 && opts->listen_count > 0);
    if (!s)
        return err_set(e, ERR_NO_MEMORY, "start HTTP server: out of memory");
    s->limits = opts->limits;
    s->limits.connections = http_connections_possible(s->limits.connections);
    s->app = opts->app;
    if (opts->trust)
        s->trust = *opts->trust;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    pool_init(&s->pool, s->limits.pool_bytes);
    s->whole_in.max = s->whole_out.max = s->limits.whole_bytes;
    peers_init(&s->peers);
    s->listeners = calloc(opts->listen_count, sizeof(*s->listeners));
    s->common_headers =
        strdup(opts->app.common_headers ? opts->app.common_headers : "");
    if (!s->listeners || !s->common_headers || make_lanes(s, opts) < 0)
        return no_memory(s, e);
    for (size_t i = 0; i < opts->listen_count; i++) {
        if (listen_open(opts->listen[i], &s->listeners[i], e) < 0) {
            server_free(s);
            return -1;
        }
        s->listener_count = i + 1;
    }
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_lock(&s->lock);
    s->pending_lanes = (unsigned)s->lane_count;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->lane_count; i++)
        lane_post(s->lanes[i].lane, &s->lanes[i].start_msg);
    pthread_mutex_lock(&s->lock);
    while (s->pending_lanes > 0)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    *out = s;
    return 0;
}

const char *http_server_address(const struct http_server *s, size_t i)
{
    return i < s->listener_count ? s->listeners[i].text : NULL;
}

unsigned http_server_connections(struct http_server *s)
{
    unsigned n;

    pthread_mutex_lock(&s->lock);
    n = s->conns;
    pthread_mutex_unlock(&s->lock);
    return n;
}

bool http_server_drain(struct http_server *s, unsigned timeout_ms)
{
    struct timespec until;
    bool is_empty;

    atomic_store(&s->is_draining, true);
    on_all_lanes(s, on_drain);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&s->lock);
    while (s->conns > 0)
        if (pthread_cond_timedwait(&s->changed, &s->lock, &until) != 0)
            break;
    is_empty = s->conns == 0;
    pthread_mutex_unlock(&s->lock);
    return is_empty;
}

void http_server_stop(struct http_server *s)
{
    if (!s)
        return;
    atomic_store(&s->is_draining, true);
    on_all_lanes(s, on_stop);
    /* Behind what a lane may have asked of another before it stopped. */
    on_all_lanes(s, on_stop);
    pthread_mutex_lock(&s->lock);
    while (s->conns > 0 || s->exchanges > 0)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    server_free(s);
}
