/*
 * Who has the session: between a request that holds it and one that wants it.
 *
 * A client whose connection died comes back on a new one, while here the old
 * one still looks alive.  A chunk that starts exactly where the received bytes
 * end is that client: when the old connection is quiet, it is closed, keeps
 * what came, and the session is passed on.  A chunk from anywhere else, or a
 * holder whose bytes still flow, gets 416 and disturbs nobody.
 *
 * The holder runs on another lane perhaps: it is asked by a message.  Its
 * exchange is held from upload_req_hold() on, until it has let go and no
 * message is under way.
 */
#include <stddef.h>

#include "server/range.h"
#include "server/upload_req.h"

/* Does the client that asks go on where this one ended? */
static bool is_yielding(struct req *r)
{
    struct upload_req *u = r->state;
    int64_t received;

    if (u->phase != PHASE_BODY)
        return true; /* it ends by itself, soon */
    if (u->is_aborted)
        return true;
    if (u->block || !http_is_quiet(r->x, r->api->takeover_ms))
        return false;
    received = upload_offset(u->upload) + (int64_t)http_body_pending(r->x);
    return u->holder.offset == received || u->holder.offset == u->info.offset;
}

static void on_ask(struct lane_msg *m)
{
    struct upload_req *u =
        (struct upload_req *)((char *)m - offsetof(struct upload_req, ask_msg));
    struct req *r = u->owner;
    bool is_yielding_now = u->is_held && is_yielding(r);

    upload_answer(r->api->store, u->info.id, &u->holder, is_yielding_now);
    if (!u->is_held)
        http_release(r->x);
    else if (is_yielding_now && u->phase == PHASE_BODY)
        http_abort(r->x);
}

/* With the table locked, on the asking one's lane. */
static void ask(struct upload_holder *h)
{
    struct upload_req *u =
        (struct upload_req *)((char *)h - offsetof(struct upload_req, holder));

    lane_post(http_lane(u->owner->x), &u->ask_msg);
}

void upload_req_hold(struct req *r)
{
    struct upload_req *u = r->state;

    u->owner = r;
    u->is_held = true;
    u->holder.ask = ask;
    u->ask_msg.run = on_ask;
    http_hold(r->x);
    upload_hold(r->api->store, u->upload, &u->holder);
}

void upload_req_let_go(struct req *r)
{
    struct upload_req *u = r->state;

    u->is_held = false;
    if (!upload_is_asked(r->api->store, &u->holder))
        http_release(r->x);
}

void upload_req_release(struct req *r)
{
    struct upload_req *u = r->state;

    if (!u->upload)
        return;
    upload_release(r->api->store, u->upload);
    u->upload = NULL;
    upload_req_let_go(r);
}

/* ---- the one that asks --------------------------------------------------- */

static void on_ready(struct lane_msg *m)
{
    struct upload_req *u =
        (struct upload_req *)((char *)m -
                              offsetof(struct upload_req, ready_msg));
    struct req *r = u->owner;
    struct http_exchange *x = r->x;

    u->upload = u->waiter.upload;
    u->info = u->waiter.info;
    if (u->upload)
        upload_req_hold(r);
    else
        r->e = u->waiter.e;
    r->then(r);
    http_release(x);
}

/* With the table locked, on whichever thread lets go. */
static void ready(struct upload_waiter *w)
{
    struct upload_req *u =
        (struct upload_req *)((char *)w - offsetof(struct upload_req, waiter));

    lane_post(http_lane(u->owner->x), &u->ready_msg);
}

bool upload_req_ask(struct req *r, req_step *then)
{
    struct upload_req *u = r->state;
    struct slice header = http_header(r->x, "Content-Range");
    int64_t first, last;

    if (!header.p || !range_parse_chunk(header, &first, &last))
        return false;
    u->owner = r;
    u->waiter.ready = ready;
    u->ready_msg.run = on_ready;
    r->then = then;
    http_hold(r->x);
    if (upload_ask(r->api->store, r->name, r->ref, first, &u->waiter, &r->e) ==
        0)
        return true;
    http_release(r->x);
    return false;
}
