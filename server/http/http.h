/*
 * The HTTP/1.1 engine: what the rest of the server sees of it.
 *
 * Why our own: bodies of many gigabytes must stream with bounded memory, and
 * a registry must refuse every malformed head (libevent's evhttp accepts two
 * Content-Lengths, bare LF, obs-fold ...).  The engine knows nothing of
 * registries; the application gives callbacks.
 *
 * The life of an exchange (one request and its answer):
 *   on_request(x)         the head is complete and valid
 *   http_body_*(x ...)    optional, at most one of the three
 *   http_reply*(x ...)    exactly one, from on_request or any time later
 *   on_done(record)       once, after the answer was sent or the client left
 *
 * 1. Everything about an exchange happens on its lane's thread; only
 *    workq_submit() and lane_post() cross threads.
 * 2. No callback of the application runs inside a call of the application
 *    into the engine, except where a contract says so.
 * 3. When the client leaves, breaks the protocol or is too slow before the
 *    answer was given, on_abort (if set) is called once; after it no other
 *    callback of this exchange comes except on_done.  Replies to a dead
 *    exchange are ignored (and their descriptors closed), so code that
 *    returns from a worker need not look first.
 * 4. An exchange lives until its answer is out (or it is dead) and each
 *    http_hold() was released.  Take a hold whenever work leaves the lane.
 * 5. The next head is parsed only after the answer before it was sent.  Of
 *    what a client sends ahead, limits.pipeline_bytes are taken in at most;
 *    the rest waits in the kernel, and then at the client.
 */
#ifndef BERTH_SERVER_HTTP_HTTP_H
#define BERTH_SERVER_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/lane.h"
#include "base/num.h"

#define HTTP_BLOCK_SIZE (256 * 1024)
#define HTTP_ID_SIZE    17 /* 16 hex digits and NUL */
#define HTTP_PEER_SIZE  56 /* "[v6]:port" and NUL */
#define HTTP_PIECE_TEXT 240

struct http_server;
struct http_exchange;
struct forwarded_trust;

/* Every limit of the engine; http_limits_default() fills them all. */
struct http_limits {
    size_t head_bytes;     /* request line and headers: 32 KiB, else 431 */
    size_t line_bytes;     /* request line: 8 KiB, else 414 */
    size_t header_bytes;   /* one header line: 16 KiB, else 431 */
    unsigned headers;      /* 100, else 431 */
    unsigned header_ms;    /* first byte to end of head: 10 s, else 408 */
    unsigned idle_ms;      /* keep-alive without a byte: 120 s, then close */
    unsigned window_ms;    /* speed is measured over windows of: 30 s */
    unsigned min_bps;      /* after the first window: 1024 bytes/s, else 408 */
    unsigned body_idle_ms; /* body or answer without progress: 60 s */
    unsigned linger_ms;    /* lingering close: 2 s ... */
    size_t linger_bytes;   /* ... or 1 MiB read */
    size_t drop_bytes;    /* unread body dropped to keep a connection: 64 KiB */
    unsigned connections; /* cap: 20000, lowered to NOFILE - 512 */
    unsigned per_address; /* the same from one address: 1000; 0: no cap.
                             Through a trusted proxy: requests under way */
    unsigned requests;    /* per connection: 1000, then Connection: close */
    size_t pipeline_bytes; /* taken in behind the request that is answered:
                              4 KiB; more waits unread */
    size_t pool_bytes;     /* all body blocks together: 64 MiB */
    size_t whole_bytes;    /* bodies read whole, and again answers held
                              whole: 128 MiB, else 503; WHOLE_FREE of each
                              do not count */
    size_t out_bytes;      /* file bytes per write turn: 256 KiB */
    size_t arena_bytes;    /* per exchange: 256 KiB */
};
void http_limits_default(struct http_limits *l);

/* What the access log wants to know; valid during on_done only. */
struct http_record {
    struct slice method; /* empty when the head was not readable */
    struct slice target; /* raw bytes as sent: escape before logging */
    struct slice user_agent;
    int status;              /* of the answer; 499 when the client left first */
    uint64_t sent_bytes;     /* body bytes of the answer that went out */
    uint64_t received_bytes; /* body bytes of the request that came in */
    uint64_t ms;
    bool is_cut; /* the answer did not go out whole */
    const char *id;
    const char *peer; /* the client; without a port when a proxy named it */
    const char *via;  /* the trusted proxy that did, or NULL */
    const char *note; /* http_note(), or NULL */
};

struct http_app {
    void *ctx;
    /* The head is complete.  Must lead to one http_reply*(), now or later. */
    void (*on_request)(struct http_exchange *x, void *ctx);
    /* May be NULL.  Also called for heads the engine itself refused. */
    void (*on_done)(const struct http_record *r, void *ctx);
    /*
     * Body of an answer the engine makes itself (400, 405, 408, 413, 414,
     * 417, 431, 501, 503, 505): write at most cap bytes, return how many.
     * They are sent as application/json.  NULL: text/plain by the engine.
     */
    size_t (*error_body)(int status, const char *why, char *out, size_t cap,
                         void *ctx);
    /* Header lines ("Name: value\r\n"...) for every answer; NULL: none. */
    const char *common_headers;
};

struct http_server_opts {
    /* "127.0.0.1:5000", "[::1]:0": numeric address and port. */
    const char *const *listen;
    size_t listen_count;
    /* The application's lanes; they must outlive the server. */
    struct lane *const *lanes;
    size_t lane_count;
    struct http_limits limits;
    struct http_app app;
    /* Proxies that say who their client is; NULL: none.  Copied. */
    const struct forwarded_trust *trust;
};

/*
 * Check "ADDR:PORT" without binding it; *is_loopback may be NULL.
 * Errors: ERR_INVALID, saying what is wrong with the text.
 */
must_check int http_address_check(const char *text, bool *is_loopback,
                                  struct err *e);

/*
 * Bind all addresses and start to accept.  All or nothing.  Ignores SIGPIPE
 * for the process, since answers are written to sockets that may be closed.
 * Owns:   strings of opts are copied; app.ctx and lanes stay the caller's.
 * Errors: ERR_INVALID; ERR_BUSY when a port is in use, naming the address;
 *         ERR_IO; ERR_NO_MEMORY.
 * Thread: not a lane.
 */
must_check int http_server_start(const struct http_server_opts *opts,
                                 struct http_server **out, struct err *e);

/*
 * The addresses that are listened on, with the real ports, as
 * "127.0.0.1:5000"; i counts from 0, NULL past the end.  Thread: any.
 */
const char *http_server_address(const struct http_server *s, size_t i);

/*
 * How many connections the process can have: wanted, or fewer when its limit
 * of descriptors, of which some are for files, does not allow it.
 */
unsigned http_connections_possible(unsigned wanted);

/* Open connections now.  Thread: any. */
unsigned http_server_connections(struct http_server *s);

/*
 * Stop accepting, close idle connections, let running exchanges finish (their
 * answers say Connection: close).  Returns true when none was left within
 * timeout_ms.  May be called once; http_server_stop() follows.
 * Thread: not a lane.
 */
bool http_server_drain(struct http_server *s, unsigned timeout_ms);

/*
 * Cut what is left (on_abort is called), wait until every hold is released,
 * free the server.  Workers and writer must still run: stop them after this,
 * and the lanes last.  NULL is fine.
 * Thread: not a lane.
 */
void http_server_stop(struct http_server *s);

/* ---- the request -------------------------------------------------------- */

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
};

enum http_method http_method(const struct http_exchange *x);
const char *http_method_name(const struct http_exchange *x);
/* The target as sent (absolute-form: cut to path and query). */
struct slice http_raw_target(const struct http_exchange *x);
/*
 * The path, percent-decoded once, NUL-terminated, starting with '/'.  NULL
 * when it is illegal: a malformed '%', an encoded NUL, control byte, '/', '\'
 * or '%', a segment that is empty (but the last may be), "." or "..", or
 * bytes that are not UTF-8.  The application answers 400 then.
 */
const char *http_path(const struct http_exchange *x);

/* One query parameter, decoded (%XX and '+'); both NUL-terminated. */
struct http_param {
    struct slice name, value;
};
/*
 * Step through the query: set *pos to 0 first.  1: *out is set (arena);
 * 0: the end; -1: malformed '%', an encoded NUL, or the arena is full.
 */
must_check int http_query_next(struct http_exchange *x, size_t *pos,
                               struct http_param *out);
/*
 * The first parameter called name.  *out is NULL when absent; *count (may be
 * NULL) says how often it came.  -1: the query is malformed.
 */
must_check int http_query_get(struct http_exchange *x, const char *name,
                              const char **out, unsigned *count);

/* The first header called name (any case), blanks trimmed; n = 0 and p = NULL
 * when absent. */
struct slice http_header(const struct http_exchange *x, const char *name);
/* The i-th header of that name (i from 0); p = NULL past the end. */
struct slice http_header_at(const struct http_exchange *x, const char *name,
                            unsigned i);

/* The client waits for "100 Continue" before it sends the body. */
bool http_expects_continue(const struct http_exchange *x);
bool http_has_body(const struct http_exchange *x);
/* Content-Length; -1 when the body is chunked, 0 when there is none. */
int64_t http_content_length(const struct http_exchange *x);
const char *http_id(const struct http_exchange *x);
/* The client: who is connected, or whom a trusted proxy names. */
const char *http_peer(const struct http_exchange *x);
bool http_peer_is_loopback(const struct http_exchange *x);

/* ---- the exchange ------------------------------------------------------- */

/* Memory that lives as long as the exchange. */
struct arena *http_arena(struct http_exchange *x);
/* The application's own pointer, and the lane for work and jobs. */
void http_set_user(struct http_exchange *x, void *user);
void *http_user(const struct http_exchange *x);
struct lane *http_lane(const struct http_exchange *x);
/* app.ctx of the server. */
void *http_app_ctx(const struct http_exchange *x);
/* One word for the access log's note; borrowed until on_done. */
void http_note(struct http_exchange *x, const char *note);

/* Keep x in memory; the count is on the lane.  Each hold needs a release. */
void http_hold(struct http_exchange *x);
void http_release(struct http_exchange *x);
/* false after on_abort: results are of no use to anybody. */
bool http_is_alive(const struct http_exchange *x);
/*
 * Treat the client as gone: soon, from the loop, its connection is closed and
 * on_abort comes.  Nothing happens once a reply was given.
 */
void http_abort(struct http_exchange *x);
/* No byte of the body has come for ms, or the client has ended its side. */
bool http_is_quiet(const struct http_exchange *x, unsigned ms);
/* Body bytes that came in and were not handed over yet. */
size_t http_body_pending(const struct http_exchange *x);
/*
 * Called once, on the lane, when the exchange dies before a reply was given.
 * Blocks given out stay the application's until http_block_done(); the
 * half-filled one can be had with http_body_take().
 */
void http_on_abort(struct http_exchange *x,
                   void (*fn)(struct http_exchange *x, void *arg), void *arg);

/* ---- the request's body ------------------------------------------------- */
/*
 * "100 Continue" is sent by whichever of these is called first, if the client
 * waits for it.  A body that breaks (client gone, malformed chunk, too slow)
 * is never reported as ended: on_abort comes instead.
 */

/*
 * Read the whole body, at most max bytes, then call cb (from the loop, never
 * from here).  is_too_large: more than max was announced or came; data is
 * NULL, answer 413.  data is NUL-terminated (not counted) and lives as long
 * as the exchange.
 */
typedef void http_body_cb(struct http_exchange *x, void *arg, char *data,
                          size_t len, bool is_too_large);
void http_body_read(struct http_exchange *x, size_t max, http_body_cb *cb,
                    void *arg);

/* One block of body bytes from the bounded pool. */
struct http_block {
    struct http_block *next; /* free for the holder's use */
    size_t len;
    char *data; /* HTTP_BLOCK_SIZE bytes */
};

/*
 * A body as a stream.  Calls come from the loop, never from
 * http_body_start() or http_block_done().
 */
struct http_sink {
    /*
     * A block with at least one byte, mostly full (the last one is not, nor
     * one of a slow client while blocks are scarce); the sink owns it until
     * it calls http_block_done().  Until then no other block comes: at most one
     * is out and one fills.
     */
    void (*on_block)(struct http_exchange *x, void *arg, struct http_block *b);
    /* All bytes were handed over and given back.  Not after on_abort. */
    void (*on_end)(struct http_exchange *x, void *arg);
};
void http_body_start(struct http_exchange *x, const struct http_sink *sink,
                     void *arg);
/*
 * Give a block back, and let the next come.  Also for a dead exchange and
 * for blocks from http_body_take().  Thread: the lane.
 */
void http_block_done(struct http_exchange *x, struct http_block *b);
/*
 * From on_abort: the bytes that came in but were not handed over yet, so that
 * an interrupted upload keeps them.  NULL when there are none.  Blocks handed
 * over before come first.
 */
struct http_block *http_body_take(struct http_exchange *x);

/* ---- the answer --------------------------------------------------------- */

/*
 * Add a header.  The value is copied; CR, LF or NUL in it is a bug and
 * asserts.  Date, Content-Length, Connection, X-Content-Type-Options and
 * common_headers are the engine's.
 */
void http_set(struct http_exchange *x, const char *name, const char *value);
void http_setf(struct http_exchange *x, const char *name, const char *fmt, ...)
    printf_like(3, 4);

/*
 * Answer with len bytes (copied).  For HEAD the bytes are counted in
 * Content-Length and not sent.  1xx, 204 and 304 have neither.  A body that
 * was not read is dropped if small, else the connection closes after the
 * answer, lingering so that the client can read it.
 */
void http_reply(struct http_exchange *x, int status, const void *data,
                size_t len);
/* The same with malloc'd data that the engine frees. */
void http_reply_owned(struct http_exchange *x, int status, char *data,
                      size_t len);
/*
 * Answer with len bytes of fd from off, sent by sendfile in bounded turns.
 * Owns: fd is closed by the engine in every case.  For HEAD pass fd -1 or any
 * descriptor: only the length is used.
 */
void http_reply_file(struct http_exchange *x, int status, int fd, uint64_t off,
                     uint64_t len);
/*
 * One piece of an answer in pieces: some text, then len bytes of the file.
 */
struct http_piece {
    char text[HTTP_PIECE_TEXT];
    size_t text_len;
    uint64_t off, len;
};
/*
 * Fill *out for piece i (all zero before).  The same i gives the same piece;
 * the engine asks for each twice.  Called from within http_reply_pieces() and
 * from the loop: it must not call the engine.
 */
typedef void http_piece_fn(void *arg, size_t i, struct http_piece *out);
/*
 * Answer with n pieces of one file, made when their turn comes, so that many
 * of them hold no memory.  Owns: fd, as http_reply_file(); arg must live as
 * long as the exchange.
 */
void http_reply_pieces(struct http_exchange *x, int status, int fd,
                       http_piece_fn *fn, void *arg, size_t n);
/* Close the connection after this answer. */
void http_close_after(struct http_exchange *x);
/* "Not Found" for 404; "Unknown" for what is not in the table. */
const char *http_reason(int status);

#endif
