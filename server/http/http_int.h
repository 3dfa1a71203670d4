/*
 * Inside the engine: server, lane context, connection, exchange.
 *
 *   server  one;  owns listeners, the block pool and one lane context per lane
 *   lane context  what a lane knows of the server: its connections
 *   conn    one socket; lives on one lane; owns at most one exchange
 *   exchange  one request and its answer; outlives its conn while held
 *
 * 1. conn.state changes only in conn_set_state(), which sets the events and
 *    the timer of that state.
 * 2. The application's calls change data and kick the connection; its
 *    callbacks run from conn_run(), which the loop calls.  So no callback
 *    runs inside a call, and nothing is freed under a caller.
 * 3. A conn is freed only by conn_run() at its end.
 */
#ifndef BERTH_SERVER_HTTP_HTTP_INT_H
#define BERTH_SERVER_HTTP_HTTP_INT_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "server/http/body.h"
#include "server/http/forwarded.h"
#include "server/http/head.h"
#include "server/http/http.h"
#include "server/http/peers.h"
#include "server/http/pool.h"
#include "server/http/stream.h"

struct listener {
    int fd;
    char text[HTTP_PEER_SIZE];
};

struct lane_ctx {
    struct http_server *server;
    struct lane *lane;
    struct lane_msg start_msg, stop_msg;
    struct event *accept_events; /* one per listener */
    struct event resume;         /* after EMFILE */
    struct conn *conns;          /* all of this lane */
    struct conn *idle;           /* in CONN_IDLE, oldest first */
    atomic_uint idle_count;
    atomic_llong idle_since_ms; /* of the first of idle; LLONG_MAX: none */
    struct lane_msg evict_msg;  /* close as many as evict_due says */
    unsigned evict_due;         /* under server.lock */
    int spare_fd;               /* given up to refuse a client at EMFILE */
    uint64_t next_id;
    int64_t date_s; /* of date */
    char date[30];
};

#define WHOLE_FREE 16384 /* bytes of a body or answer that do not count */

struct http_server {
    struct http_limits limits;
    struct http_app app;
    struct forwarded_trust trust;
    char *common_headers;
    struct listener *listeners;
    size_t listener_count;
    struct lane_ctx *lanes;
    size_t lane_count;
    struct pool pool;
    struct quota whole_in, whole_out; /* see limits.whole_bytes */
    struct peers peers;
    atomic_bool is_draining;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under lock. */
    unsigned conns, exchanges, pending_lanes;
};

enum conn_state {
    CONN_IDLE,   /* nothing of a request has come */
    CONN_HEAD,   /* reading a head */
    CONN_WAIT,   /* the application works; not reading */
    CONN_BODY,   /* reading the body that the application asked for */
    CONN_STALL,  /* the same, but the application or the pool is behind */
    CONN_SEND,   /* the answer goes out */
    CONN_DRAIN,  /* reading away the rest of a small body */
    CONN_LINGER, /* nothing more is sent; reading away until the client ends */
    CONN_CLOSED,
};

struct conn {
    struct lane_ctx *lc;
    struct conn *prev, *next;           /* lc->conns */
    struct conn *idle_prev, *idle_next; /* lc->idle */
    int64_t idle_since_ms;
    struct stream stream;
    enum conn_state state;
    struct event ev_read, ev_write, ev_timer, ev_kick;
    char *in; /* received, not consumed; NULL when empty */
    size_t in_len, in_cap;
    struct evbuffer *out;
    struct http_exchange *x;
    unsigned requests;
    bool close_after; /* no further request on this connection */
    bool is_broken;   /* to be closed by conn_run() */
    struct ip ip;
    bool is_trusted;     /* a proxy that says who its client is */
    struct peer *source; /* NULL: not counted */
    /* Speed of the body or the answer. */
    bool is_first_window, was_stalled;
    uint64_t window_bytes;
    int64_t progress_ms;
    size_t lingered;
    char peer[HTTP_PEER_SIZE];
};

enum body_mode { BODY_UNREAD, BODY_WHOLE, BODY_STREAM };

struct http_exchange {
    struct http_server *server;
    struct lane *lane;
    struct conn *conn; /* NULL once it is over for the connection */
    unsigned refs;     /* holds, and one of the connection */
    struct arena arena;
    struct head head;
    const char *head_bytes; /* arena; what head's spans point into */
    char *path;
    void *user;
    const char *note;
    void (*on_abort)(struct http_exchange *x, void *arg);
    void *abort_arg;
    int64_t start_ms;
    char id[HTTP_ID_SIZE];
    char peer[HTTP_PEER_SIZE];
    char via[HTTP_PEER_SIZE]; /* empty: peer is connected to us */
    struct peer *source;      /* of a client behind a proxy, if counted */
    bool is_loopback;
    bool is_given; /* the application has seen it */
    bool is_dead;  /* on_abort is due or done */
    bool is_told;  /* on_done was called */

    /* The request's body. */
    struct body body;
    enum body_mode mode;
    bool has_body, is_body_over, must_continue;
    uint64_t received, drained; /* payload, in all and since the answer */
    http_body_cb *whole_cb;
    size_t whole_max, whole_len, whole_cap;
    size_t in_taken, out_taken; /* of the server's quotas */
    char *whole;
    bool is_too_large;
    const struct http_sink *sink;
    void *body_arg;
    struct http_block *block; /* filling */
    bool is_block_out;

    /* The answer. */
    struct evbuffer *headers;
    bool is_replied, must_close;
    int status;
    uint64_t head_left; /* bytes of the head not sent yet */
    uint64_t sent;      /* body bytes sent */
    int file_fd;
    uint64_t file_off, file_left;
    http_piece_fn *piece_fn; /* what follows the bytes and the file, or NULL */
    void *piece_arg;
    size_t piece_next, piece_count;
};

/* ---- conn.c ------------------------------------------------------------- */

/*
 * Take a fresh socket, and its place in the table of addresses; on failure
 * the socket is closed and the place given up.
 */
void conn_open(struct lane_ctx *lc, int fd, const struct sockaddr *sa,
               struct peer *source);
/* Let conn_run() run soon, from the loop. */
void conn_kick(struct conn *c);
void conn_kick_in(struct conn *c, unsigned ms);
void conn_set_state(struct conn *c, enum conn_state state);
/*
 * Close with nothing more said; x, if any, is finished as cut and may be
 * gone.  Only from the loop: in a call of the application, conn_break().
 */
void conn_close(struct conn *c);
/* Close soon, without on_abort: an answer could not be made. */
void conn_break(struct conn *c);
/*
 * The exchange breaks: on_abort if the application has it.  status 0: the
 * client is gone, close; else answer with it and close.
 */
void conn_fail(struct conn *c, int status, const char *why);
/* An exchange is over: wait for the next request, or linger and close. */
void conn_next(struct conn *c);
bool conn_is_draining(const struct conn *c);

/* ---- exchange.c --------------------------------------------------------- */

/* NULL: no memory. */
struct http_exchange *exchange_new(struct conn *c);
/*
 * The head is complete: if a trusted proxy sent it, find out who the client
 * is.  false: that one has its share of requests under way already.
 */
must_check bool exchange_name_client(struct http_exchange *x);
/* on_done, once. */
void exchange_tell(struct http_exchange *x, bool is_cut);
/* The connection lets go. */
void exchange_detach(struct http_exchange *x);

/* ---- bodyread.c --------------------------------------------------------- */

/* Go on with the body in CONN_BODY and CONN_STALL; true: state changed. */
bool body_run(struct conn *c);
/* Read and drop in CONN_DRAIN; true: state changed. */
bool body_drain(struct conn *c);
/* Received bytes: from c->in first, then the socket.  As stream recv. */
ssize_t conn_take(struct conn *c, void *buf, size_t n);
/* Give bytes back that belong to the next request; false: no memory. */
bool conn_give_back(struct conn *c, const char *buf, size_t n);

/* ---- reply.c ------------------------------------------------------------ */

/* An answer of the engine's own making, for any exchange. */
void reply_engine(struct http_exchange *x, int status, const char *why);
/* Send in CONN_SEND; true: state changed. */
bool reply_run(struct conn *c);

/* ---- listen.c ----------------------------------------------------------- */

must_check int listen_open(const char *text, struct listener *out,
                           struct err *e);
/* "127.0.0.1:5000", "[::1]:5000" */
void listen_format(const struct sockaddr *sa, char out[HTTP_PEER_SIZE],
                   bool *is_loopback);

#endif
