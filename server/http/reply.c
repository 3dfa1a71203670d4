/*
 * Answers: the head, bytes or a file behind it, and what becomes of the
 * connection.
 *
 * Files go by sendfile in bounded turns, so that an answer of any size holds
 * no memory and a fast client does not keep the lane to itself.  An answer in
 * pieces is the same again and again.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/http/http_int.h"

#define ERROR_MAX  1024
#define TURN_FILES 4 /* slices of limits.out_bytes per turn */

static const struct {
    int status;
    const char *text;
} reasons[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < array_len(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Unknown";
}

/* ---- headers ------------------------------------------------------------ */

static bool is_header_value(const char *v)
{
    for (; *v; v++)
        if (*v == '\r' || *v == '\n')
            return false;
    return true;
}

void http_set(struct http_exchange *x, const char *name, const char *value)
{
    berth_assert(is_header_value(name) && is_header_value(value));
    if (!x->conn || x->is_dead || x->is_replied)
        return;
    if (!x->headers)
        x->headers = evbuffer_new();
    if (!x->headers ||
        evbuffer_add_printf(x->headers, "%s: %s\r\n", name, value) < 0)
        x->must_close = true;
}

void http_setf(struct http_exchange *x, const char *name, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) {
        x->must_close = true;
        return;
    }
    http_set(x, name, text);
    free(text);
}

void http_close_after(struct http_exchange *x)
{
    x->must_close = true;
}

/* RFC 9110 IMF-fixdate; strftime would follow the locale. */
static const char *date_text(struct lane_ctx *lc)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed",
                                    "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr",
                                       "May", "Jun", "Jul", "Aug",
                                       "Sep", "Oct", "Nov", "Dec"};
    int64_t now = clock_wall_s();
    time_t t = (time_t)now;
    struct tm tm;

    if (now != lc->date_s && gmtime_r(&t, &tm)) {
        char text[96];

        snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
                 tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        memcpy(lc->date, text, sizeof(lc->date) - 1);
        lc->date_s = now;
    }
    return lc->date;
}

/* ---- starting ----------------------------------------------------------- */

/* Does the connection go on after this answer?  Sets close_after if not. */
static void decide_close(struct conn *c, struct http_exchange *x)
{
    const struct http_limits *l = &c->lc->server->limits;
    bool is_unread = x->has_body && !x->is_body_over;
    /* Who writes chunks on such a method hardly writes many: see drain. */
    bool is_odd = x->head.is_chunked && !head_takes_body(&x->head);

    if (is_unread && (x->head.expects_continue ||
                      (!is_odd && body_left(&x->body) > l->drop_bytes)))
        c->close_after = true;
    if (!x->head.keep_alive || c->requests >= l->requests || x->must_close ||
        conn_is_draining(c))
        c->close_after = true;
}

static bool has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Write the head to c->out; false: no memory. */
static bool write_head(struct conn *c, struct http_exchange *x, int status,
                       uint64_t len)
{
    const char *connection = NULL;
    struct evbuffer *out;

    if (c->close_after)
        connection = "close";
    else if (x->head.minor == 0)
        connection = "keep-alive"; /* the default there is to close */
    if (!c->out)
        c->out = evbuffer_new();
    out = c->out;
    if (!out ||
        evbuffer_add_printf(out,
                            "HTTP/1.1 %d %s\r\nDate: %s\r\n"
                            "X-Content-Type-Options: nosniff\r\n",
                            status, http_reason(status),
                            date_text(c->lc)) < 0 ||
        (!has_no_body(status) &&
         evbuffer_add_printf(out, "Content-Length: %llu\r\n",
                             (unsigned long long)len) < 0))
        return false;
    if (evbuffer_add(out, x->server->common_headers,
                     strlen(x->server->common_headers)) < 0 ||
        (x->headers && evbuffer_add_buffer(out, x->headers) < 0) ||
        (connection &&
         evbuffer_add_printf(out, "Connection: %s\r\n", connection) < 0) ||
        evbuffer_add(out, "\r\n", 2) < 0)
        return false;
    x->head_left = evbuffer_get_length(out);
    return true;
}

/* false: no memory; the connection will be closed. */
static bool start(struct http_exchange *x, int status, uint64_t len)
{
    struct conn *c = x->conn;

    if (x->block)
        pool_put(&x->server->pool, x->block);
    x->block = NULL;
    decide_close(c, x);
    if (!write_head(c, x, status, len)) {
        conn_break(c);
        return false;
    }
    x->is_replied = true;
    x->status = status;
    return true;
}

static void go(struct http_exchange *x)
{
    conn_set_state(x->conn, CONN_SEND);
    conn_kick(x->conn);
}

static bool is_open(const struct http_exchange *x)
{
    return x->conn && !x->is_dead && !x->is_replied;
}

static bool sends_body(const struct http_exchange *x, int status)
{
    return x->head.method != HTTP_HEAD && !has_no_body(status);
}

void http_reply(struct http_exchange *x, int status, const void *data,
                size_t len)
{
    if (!is_open(x) || !start(x, status, len))
        return;
    if (len && sends_body(x, status) &&
        evbuffer_add(x->conn->out, data, len) < 0) {
        conn_break(x->conn);
        return;
    }
    go(x);
}

static void free_data(const void *data, size_t len, void *arg)
{
    (void)data;
    (void)len;
    free(arg);
}

void http_reply_owned(struct http_exchange *x, int status, char *data,
                      size_t len)
{
    bool is_held = len > WHOLE_FREE && sends_body(x, status);

    if (is_open(x) && is_held && !quota_take(&x->server->whole_out, len)) {
        free(data);
        reply_engine(x, 503, "too many large answers at once");
        return;
    }
    if (is_open(x) && is_held)
        x->out_taken = len;
    if (!is_open(x) || !start(x, status, len)) {
        free(data);
        return;
    }
    if (!len || !sends_body(x, status)) {
        free(data);
    } else if (evbuffer_add_reference(x->conn->out, data, len, free_data,
                                      data) < 0) {
        free(data);
        conn_break(x->conn);
        return;
    }
    go(x);
}

void http_reply_file(struct http_exchange *x, int status, int fd, uint64_t off,
                     uint64_t len)
{
    if (!is_open(x) || !start(x, status, len)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    x->file_fd = fd;
    if (sends_body(x, status)) {
        x->file_off = off;
        x->file_left = len;
    }
    go(x);
}

void http_reply_pieces(struct http_exchange *x, int status, int fd,
                       http_piece_fn *fn, void *arg, size_t n)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++) {
        struct http_piece piece = {.len = 0};

        fn(arg, i, &piece);
        total += piece.text_len + piece.len;
    }
    if (!is_open(x) || !start(x, status, total)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    x->file_fd = fd;
    if (sends_body(x, status)) {
        x->piece_fn = fn;
        x->piece_arg = arg;
        x->piece_count = n;
    }
    go(x);
}

static size_t error_text(struct http_exchange *x, int status, const char *why,
                         char *out)
{
    const struct http_app *app = &x->server->app;
    int n;

    if (app->error_body && !x->head.is_tls) {
        size_t len = app->error_body(status, why, out, ERROR_MAX, app->ctx);

        http_set(x, "Content-Type", "application/json");
        return len < ERROR_MAX ? len : ERROR_MAX;
    }
    http_set(x, "Content-Type", "text/plain; charset=utf-8");
    n = snprintf(out, ERROR_MAX, "%s\n", why);
    return n < 0 ? 0 : (size_t)n;
}

void reply_engine(struct http_exchange *x, int status, const char *why)
{
    char text[ERROR_MAX];
    size_t len = 0;

    /* The application is out of it; what it had set is not for this. */
    x->is_dead = false;
    if (x->headers)
        evbuffer_free(x->headers);
    x->headers = NULL;
    if (status == 405 || status == 204)
        http_set(x, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    if (status == 503)
        http_set(x, "Retry-After", "1");
    if (!has_no_body(status))
        len = error_text(x, status, why, text);
    http_reply(x, status, text, len);
    x->is_dead = x->is_given;
}

/* ---- sending ------------------------------------------------------------ */

static void account(struct conn *c, struct http_exchange *x, size_t n)
{
    size_t head = n < x->head_left ? n : (size_t)x->head_left;

    x->head_left -= head;
    x->sent += n - head;
    c->window_bytes += n;
    c->progress_ms = clock_mono_ms();
}

/* 1: all bytes went out; 0: wait for room; -1: closed. */
static int send_bytes(struct conn *c, struct http_exchange *x)
{
    while (evbuffer_get_length(c->out) > 0) {
        ssize_t n = c->stream.ops->send(&c->stream, c->out);

        if (n < 0 && errno == EAGAIN) {
            event_add(&c->ev_write, NULL);
            return 0;
        }
        if (n <= 0) {
            conn_close(c);
            return -1;
        }
        account(c, x, (size_t)n);
    }
    return 1;
}

static int send_file(struct conn *c, struct http_exchange *x)
{
    size_t most = c->lc->server->limits.out_bytes;

    for (int i = 0; i < TURN_FILES && x->file_left > 0; i++) {
        size_t want = x->file_left < most ? (size_t)x->file_left : most;
        ssize_t n =
            c->stream.ops->send_file(&c->stream, x->file_fd, x->file_off, want);

        if (n < 0 && errno == EAGAIN)
            break;
        /* 0: the file is shorter than promised; only a cut tells it. */
        if (n <= 0) {
            conn_close(c);
            return -1;
        }
        x->file_off += (uint64_t)n;
        x->file_left -= (uint64_t)n;
        account(c, x, (size_t)n);
    }
    if (x->file_left == 0)
        return 1;
    event_add(&c->ev_write, NULL);
    return 0;
}

/* The answer is out: the next request, or the end of the connection. */
static void finish(struct conn *c, struct http_exchange *x)
{
    exchange_tell(x, false);
    evbuffer_free(c->out);
    c->out = NULL;
    if (!c->close_after && x->has_body && !x->is_body_over) {
        conn_set_state(c, CONN_DRAIN);
        return;
    }
    c->x = NULL;
    exchange_detach(x);
    conn_next(c);
}

/* Put the next piece behind what was sent; false: no memory. */
static bool next_piece(struct conn *c, struct http_exchange *x)
{
    struct http_piece piece = {.len = 0};

    x->piece_fn(x->piece_arg, x->piece_next++, &piece);
    x->file_off = piece.off;
    x->file_left = piece.len;
    return evbuffer_add(c->out, piece.text, piece.text_len) == 0;
}

bool reply_run(struct conn *c)
{
    struct http_exchange *x = c->x;
    int rc = send_bytes(c, x);

    if (rc > 0)
        rc = send_file(c, x);
    if (rc <= 0)
        return rc != 0;
    if (x->piece_next == x->piece_count)
        finish(c, x);
    else if (!next_piece(c, x))
        conn_close(c);
    return true;
}
