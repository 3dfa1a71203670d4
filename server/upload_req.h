/*
 * Inside of the upload handlers: one request that holds a session.
 *
 * h_upload.c checks the request and gets the session, upload_take.c is what it
 * does when another request has it, upload_body.c takes the bytes.
 */
#ifndef BERTH_SERVER_UPLOAD_REQ_H
#define BERTH_SERVER_UPLOAD_REQ_H

#include "server/req.h"

enum phase {
    PHASE_BODY,   /* blocks come */
    PHASE_SETTLE, /* ended early: keep what arrived */
    PHASE_COMMIT, /* the body is whole, or the session is cancelled: a worker
                     may free it */
};

struct upload_req {
    struct req *owner;
    struct upload *upload;
    struct upload_info info;
    enum phase phase;
    bool finishes;   /* PUT, or POST with a digest */
    bool is_aborted; /* the client left while a block was out */
    bool has_failed; /* failure holds why */
    struct err failure;
    /* Asked by, or asking, another request for the session. */
    struct upload_holder holder;
    struct upload_waiter waiter;
    struct lane_msg ask_msg, ready_msg;
    bool is_held; /* the lane's view: worker and writer may drop it first */
    struct http_block *block; /* at the worker */
    struct http_block *tail;  /* came last before the client left */
};

/* upload_take.c: all on the lane. */

/*
 * The session was taken: others can ask for it, and the exchange stays until
 * upload_req_let_go().
 */
void upload_req_hold(struct req *r);
/* It was released or dropped, by whomever. */
void upload_req_let_go(struct req *r);
/* Release it, if it is still there, and let go. */
void upload_req_release(struct req *r);
/*
 * Another request has the session: ask for it when the chunk says that it
 * starts where the received bytes end.  false: nobody can be asked; else
 * then(r) runs later with u->upload set, or with r->e.
 */
must_check bool upload_req_ask(struct req *r, req_step *then);

/* upload_body.c: take the body into u->upload, then answer. */
void upload_req_body(struct req *r);

#endif
