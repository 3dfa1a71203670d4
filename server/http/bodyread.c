/*
 * Reading request bodies for the application: whole small ones, or a stream
 * of pool blocks.
 *
 * Back-pressure: at most one block is with the application and one fills;
 * when both are full, or the pool is empty, the connection stalls: it is not
 * read, and TCP slows the client.  A client that sends nothing just now keeps
 * no empty block, and when the pool gets scarce no half-filled one either, so
 * that slow clients cannot starve the others.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/http_int.h"

#define ROOM_MIN   4096 /* chunk framing needs some room besides payload */
#define POOL_MS    50   /* look again for a free block */
#define TURN_FILLS 8    /* receives per turn */

enum step { STEP_AGAIN, STEP_WAIT, STEP_STALL };

/* Answer "100 Continue" if the client waits for it; false: closed. */
static bool send_continue(struct conn *c, struct http_exchange *x)
{
    struct evbuffer *b;
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t left;

    x->must_continue = false;
    x->head.expects_continue = false;
    b = evbuffer_new();
    if (!b || evbuffer_add(b, text, sizeof(text) - 1) < 0 ||
        c->stream.ops->send(&c->stream, b) < 0) {
        if (b)
            evbuffer_free(b);
        conn_close(c);
        return false;
    }
    /* The first bytes of an answer always fit into an empty socket. */
    left = evbuffer_get_length(b);
    evbuffer_free(b);
    if (left > 0)
        conn_close(c);
    return left == 0;
}

/*
 * Receive and decode into dst; *len grows by the payload.
 * STEP_AGAIN also when the connection failed: its state has changed then, and
 * x may be gone.
 */
static enum step fill(struct conn *c, struct http_exchange *x, char *dst,
                      size_t room, size_t *len)
{
    ssize_t n = conn_take(c, dst, x->body.ops->want(&x->body, room));
    enum body_result r;
    size_t used, out;

    if (n < 0 && errno == EAGAIN)
        return STEP_WAIT;
    if (n <= 0) {
        conn_close(c);
        return STEP_AGAIN;
    }
    r = x->body.ops->decode(&x->body, dst, (size_t)n, &used, &out);
    *len += out;
    x->received += out;
    c->window_bytes += (uint64_t)n;
    c->progress_ms = clock_mono_ms();
    if (r == BODY_BAD) {
        conn_fail(c, 400, "malformed chunked body");
    } else if (r == BODY_END) {
        x->is_body_over = true;
        if (!conn_give_back(c, dst + used, (size_t)n - used))
            conn_close(c);
    }
    return STEP_AGAIN;
}

/* ---- whole bodies ------------------------------------------------------- */

/* No more than what whole_max needs: with it there is room to find an end. */
static size_t next_cap(const struct http_exchange *x)
{
    size_t most = x->whole_max + 2 * ROOM_MIN;
    size_t cap = x->whole_cap ? x->whole_cap * 2 : WHOLE_FREE;

    return cap < most ? cap : most;
}

static bool grow_whole(struct http_exchange *x)
{
    size_t cap = next_cap(x);
    size_t more = x->whole_cap ? cap - x->whole_cap : 0;
    char *p;

    if (!quota_take(&x->server->whole_in, more))
        return false;
    x->in_taken += more;
    p = realloc(x->whole, cap);
    if (!p)
        return false;
    x->whole = p;
    x->whole_cap = cap;
    return true;
}

static enum step whole_step(struct conn *c, struct http_exchange *x)
{
    enum step s;

    if (x->is_too_large) {
        conn_set_state(c, CONN_WAIT);
        x->whole_cb(x, x->body_arg, NULL, 0, true);
        return STEP_AGAIN;
    }
    if (x->whole_cap - x->whole_len <= ROOM_MIN && !grow_whole(x)) {
        conn_fail(c, 503, "too many large bodies at once");
        return STEP_AGAIN;
    }
    if (x->is_body_over) {
        x->whole[x->whole_len] = 0;
        conn_set_state(c, CONN_WAIT);
        x->whole_cb(x, x->body_arg, x->whole, x->whole_len, false);
        return STEP_AGAIN;
    }
    s = fill(c, x, x->whole + x->whole_len, x->whole_cap - x->whole_len - 1,
             &x->whole_len);
    if (c->x == x) /* else the client left, and x may be gone */
        x->is_too_large = x->whole_len > x->whole_max;
    return s;
}

void http_body_read(struct http_exchange *x, size_t max, http_body_cb *cb,
                    void *arg)
{
    berth_assert(x->mode == BODY_UNREAD);
    if (!x->conn || x->is_dead || x->is_replied)
        return;
    x->mode = BODY_WHOLE;
    x->whole_cb = cb;
    x->whole_max = max;
    x->body_arg = arg;
    x->is_too_large = x->head.length > max;
    x->must_continue = x->head.expects_continue && !x->is_too_large;
    conn_set_state(x->conn, CONN_BODY);
    conn_kick(x->conn);
}

/* ---- streams ------------------------------------------------------------ */

static bool is_block_due(const struct http_exchange *x)
{
    return x->block &&
           (x->is_body_over || HTTP_BLOCK_SIZE - x->block->len < ROOM_MIN);
}

static void hand_over(struct http_exchange *x)
{
    struct http_block *b = x->block;

    x->block = NULL;
    if (b->len == 0) {
        pool_put(&x->server->pool, b);
        return;
    }
    x->is_block_out = true;
    x->sink->on_block(x, x->body_arg, b);
}

/* The client has nothing more for now. */
static void on_quiet(struct http_exchange *x)
{
    struct pool *p = &x->server->pool;

    if (x->block->len == 0 || (!x->is_block_out && pool_is_scarce(p)))
        hand_over(x);
}

static enum step stream_step(struct conn *c, struct http_exchange *x)
{
    enum step s;

    if (is_block_due(x)) {
        if (x->is_block_out)
            return STEP_STALL;
        hand_over(x);
        return STEP_AGAIN;
    }
    if (x->is_body_over) {
        if (x->is_block_out)
            return STEP_STALL;
        conn_set_state(c, CONN_WAIT);
        x->sink->on_end(x, x->body_arg);
        return STEP_AGAIN;
    }
    if (!x->block) {
        x->block = pool_get(&x->server->pool);
        if (!x->block) {
            conn_kick_in(c, POOL_MS);
            return STEP_STALL;
        }
    }
    s = fill(c, x, x->block->data + x->block->len,
             HTTP_BLOCK_SIZE - x->block->len, &x->block->len);
    if (s == STEP_WAIT)
        on_quiet(x);
    return s;
}

void http_body_start(struct http_exchange *x, const struct http_sink *sink,
                     void *arg)
{
    berth_assert(x->mode == BODY_UNREAD);
    if (!x->conn || x->is_dead || x->is_replied)
        return;
    x->mode = BODY_STREAM;
    x->sink = sink;
    x->body_arg = arg;
    x->must_continue = x->head.expects_continue;
    conn_set_state(x->conn, CONN_BODY);
    conn_kick(x->conn);
}

void http_block_done(struct http_exchange *x, struct http_block *b)
{
    pool_put(&x->server->pool, b);
    x->is_block_out = false;
    if (x->conn && !x->is_dead)
        conn_kick(x->conn);
}

struct http_block *http_body_take(struct http_exchange *x)
{
    struct http_block *b = x->block;

    x->block = NULL;
    if (b && b->len == 0) {
        pool_put(&x->server->pool, b);
        b = NULL;
    }
    return b;
}

/* ---- driving ------------------------------------------------------------ */

static bool is_reading(const struct conn *c)
{
    return c->state == CONN_BODY || c->state == CONN_STALL;
}

bool body_run(struct conn *c)
{
    struct http_exchange *x = c->x;

    if (x->must_continue && !send_continue(c, x))
        return true;
    for (int i = 0; i < TURN_FILLS; i++) {
        enum step s =
            x->mode == BODY_WHOLE ? whole_step(c, x) : stream_step(c, x);

        if (!is_reading(c))
            return true;
        if (s == STEP_AGAIN)
            continue;
        if (s == STEP_STALL && c->state == CONN_BODY)
            conn_set_state(c, CONN_STALL);
        if (s == STEP_WAIT && c->state == CONN_STALL)
            conn_set_state(c, CONN_BODY);
        return false;
    }
    /* Fresh events get their turn before this client goes on. */
    conn_kick(c);
    return false;
}

bool body_drain(struct conn *c)
{
    struct http_exchange *x = c->x;
    char buf[16384];
    size_t len = 0;
    enum step s = fill(c, x, buf, sizeof(buf), &len);

    if (s == STEP_WAIT || c->state != CONN_DRAIN)
        return s != STEP_WAIT;
    x->drained += len;
    if (x->drained > c->lc->server->limits.drop_bytes)
        c->close_after = true;
    if (x->is_body_over || c->close_after) {
        c->x = NULL;
        exchange_detach(x);
        conn_next(c);
    }
    return true;
}
