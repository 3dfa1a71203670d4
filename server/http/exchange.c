/*
 * One request and its answer: what the application may ask about it, and how
 * long it lives.
 */
#include <event2/buffer.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/http/http_int.h"
#include "server/http/target.h"

struct http_exchange *exchange_new(struct conn *c)
{
    struct http_server *s = c->lc->server;
    struct http_exchange *x = calloc(1, sizeof(*x));
    uint64_t id = c->lc->next_id++;
    unsigned char raw[8];

    if (!x)
        return NULL;
    x->server = s;
    x->lane = c->lc->lane;
    x->conn = c;
    x->refs = 1;
    x->file_fd = -1;
    x->start_ms = clock_mono_ms();
    arena_init(&x->arena, s->limits.arena_bytes);
    head_init(&x->head, &s->limits);
    for (int i = 0; i < 8; i++)
        raw[i] = (unsigned char)(id >> (56 - 8 * i));
    num_hex(raw, sizeof(raw), x->id);
    memcpy(x->peer, c->peer, sizeof(x->peer));
    x->is_loopback = ip_is_loopback(&c->ip);
    pthread_mutex_lock(&s->lock);
    s->exchanges++;
    pthread_mutex_unlock(&s->lock);
    return x;
}

static void exchange_free(struct http_exchange *x)
{
    struct http_server *s = x->server;

    arena_free(&x->arena);
    free(x->whole);
    quota_give(&s->whole_in, x->in_taken);
    quota_give(&s->whole_out, x->out_taken);
    free(x);
    pthread_mutex_lock(&s->lock);
    s->exchanges--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* Walk the lines of the header that counts, from the last to the first. */
static struct ip client_of(const struct http_exchange *x)
{
    const struct forwarded_trust *t = &x->server->trust;
    const char *name = forwarded_header(t);
    struct ip client = x->conn->ip;

    for (unsigned i = x->head.header_count; i-- > 0;) {
        const struct head_header *f = &x->head.headers[i];

        if (slice_is_nocase(head_slice(x->head_bytes, f->name), name) &&
            !forwarded_walk(t, head_slice(x->head_bytes, f->value), &client))
            break;
    }
    return client;
}

bool exchange_name_client(struct http_exchange *x)
{
    struct http_server *s = x->server;
    struct ip client;

    if (!x->conn->is_trusted)
        return true;
    client = client_of(x);
    if (memcmp(&client, &x->conn->ip, sizeof(client)) == 0)
        return true;
    memcpy(x->via, x->peer, sizeof(x->via));
    ip_format(&client, x->peer);
    x->is_loopback = ip_is_loopback(&client);
    if (x->is_loopback || s->limits.per_address == 0 ||
        forwarded_is_trusted(&s->trust, &client))
        return true;
    x->source = peers_enter(&s->peers, &client, s->limits.per_address);
    return x->source != NULL;
}

void exchange_tell(struct http_exchange *x, bool is_cut)
{
    struct http_server *s = x->server;
    struct http_record r = {0};

    if (x->is_told || !s->app.on_done || !(x->is_replied || x->is_given))
        return;
    x->is_told = true;
    if (x->head.has_line && x->head_bytes) {
        r.method = head_slice(x->head_bytes, x->head.method_text);
        r.target = head_slice(x->head_bytes, x->head.target);
        r.user_agent = http_header(x, "user-agent");
    }
    r.status = x->is_replied ? x->status : 499;
    r.sent_bytes = x->sent;
    r.received_bytes = x->received;
    r.ms = (uint64_t)(clock_mono_ms() - x->start_ms);
    r.is_cut = is_cut;
    r.id = x->id;
    r.peer = x->peer;
    r.via = x->via[0] ? x->via : NULL;
    r.note = x->note;
    s->app.on_done(&r, s->app.ctx);
}

void exchange_detach(struct http_exchange *x)
{
    x->conn = NULL;
    peers_leave(&x->server->peers, x->source);
    x->source = NULL;
    if (x->block)
        pool_put(&x->server->pool, x->block);
    x->block = NULL;
    if (x->headers)
        evbuffer_free(x->headers);
    x->headers = NULL;
    if (x->file_fd >= 0)
        close(x->file_fd);
    x->file_fd = -1;
    http_release(x);
}

void http_hold(struct http_exchange *x)
{
    x->refs++;
}

void http_release(struct http_exchange *x)
{
    berth_assert(x->refs > 0);
    if (--x->refs == 0)
        exchange_free(x);
}

bool http_is_alive(const struct http_exchange *x)
{
    return x->conn && !x->is_dead;
}

void http_abort(struct http_exchange *x)
{
    if (!x->conn || x->is_dead || x->is_replied)
        return;
    x->conn->is_broken = true;
    conn_kick(x->conn);
}

bool http_is_quiet(const struct http_exchange *x, unsigned ms)
{
    struct pollfd p = {.events = POLLRDHUP};

    if (!x->conn)
        return true;
    p.fd = x->conn->stream.fd;
    return clock_mono_ms() - x->conn->progress_ms >= (int64_t)ms ||
           (poll(&p, 1, 0) == 1 &&
            (p.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

size_t http_body_pending(const struct http_exchange *x)
{
    return x->block ? x->block->len : 0;
}

void http_on_abort(struct http_exchange *x,
                   void (*fn)(struct http_exchange *x, void *arg), void *arg)
{
    x->on_abort = fn;
    x->abort_arg = arg;
}

/* ---- the request -------------------------------------------------------- */

enum http_method http_method(const struct http_exchange *x)
{
    return x->head.method;
}

const char *http_method_name(const struct http_exchange *x)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",
        [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
        [HTTP_PATCH] = "PATCH",     [HTTP_DELETE] = "DELETE",
        [HTTP_OPTIONS] = "OPTIONS",
    };

    return names[x->head.method];
}

struct slice http_raw_target(const struct http_exchange *x)
{
    return head_slice(x->head_bytes, x->head.target);
}

const char *http_path(const struct http_exchange *x)
{
    return x->path;
}

int http_query_next(struct http_exchange *x, size_t *pos,
                    struct http_param *out)
{
    return target_query_next(
        &x->arena, head_slice(x->head_bytes, x->head.query), pos, out);
}

int http_query_get(struct http_exchange *x, const char *name, const char **out,
                   unsigned *count)
{
    struct http_param p;
    size_t pos = 0;
    unsigned n = 0;
    int rc;

    *out = NULL;
    while ((rc = http_query_next(x, &pos, &p)) > 0) {
        if (slice_is(p.name, name) && n++ == 0)
            *out = p.value.p;
    }
    if (count)
        *count = n;
    return rc;
}

struct slice http_header_at(const struct http_exchange *x, const char *name,
                            unsigned i)
{
    for (unsigned k = 0; k < x->head.header_count; k++) {
        const struct head_header *f = &x->head.headers[k];

        if (slice_is_nocase(head_slice(x->head_bytes, f->name), name) &&
            i-- == 0)
            return head_slice(x->head_bytes, f->value);
    }
    return (struct slice){NULL, 0};
}

struct slice http_header(const struct http_exchange *x, const char *name)
{
    return http_header_at(x, name, 0);
}

bool http_expects_continue(const struct http_exchange *x)
{
    return x->head.expects_continue;
}

bool http_has_body(const struct http_exchange *x)
{
    return x->has_body;
}

int64_t http_content_length(const struct http_exchange *x)
{
    return x->head.is_chunked ? -1 : (int64_t)x->head.length;
}

const char *http_id(const struct http_exchange *x)
{
    return x->id;
}

const char *http_peer(const struct http_exchange *x)
{
    return x->peer;
}

bool http_peer_is_loopback(const struct http_exchange *x)
{
    return x->is_loopback;
}

struct arena *http_arena(struct http_exchange *x)
{
    return &x->arena;
}

void http_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_user(const struct http_exchange *x)
{
    return x->user;
}

struct lane *http_lane(const struct http_exchange *x)
{
    return x->lane;
}

void *http_app_ctx(const struct http_exchange *x)
{
    return x->server->app.ctx;
}

void http_note(struct http_exchange *x, const char *note)
{
    x->note = note;
}
