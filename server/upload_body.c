/*
 * The body of a PATCH or PUT, on its way into the session.
 *
 * It goes block by block to a worker that hashes and writes it.  Whatever
 * ends the body early (client gone, disk full), the bytes that arrived are
 * synced and recorded before the session is given back, so that its status
 * tells the truth (settle()).
 */
#include <string.h>

#include "server/upload_req.h"

/* ---- an early end -------------------------------------------------------- */

static void after_settle_row(struct req *r)
{
    struct upload_req *u = r->state;

    upload_req_release(r);
    if (!u->has_failed)
        return;
    reply_failure(r, &u->failure);
}

static void after_settle_sync(struct req *r)
{
    struct upload_req *u = r->state;

    if (r->rc < 0 || upload_offset(u->upload) == 0) {
        after_settle_row(r);
        return;
    }
    store_job_offset_init(&r->write.offset, u->upload);
    req_write(r, after_settle_row);
}

static void settle_sync(struct req *r, struct store_reader *reader)
{
    struct upload_req *u = r->state;

    (void)reader;
    r->rc = 0;
    if (u->tail && !u->has_failed)
        r->rc = upload_append(r->api->store, u->upload, u->tail->data,
                              u->tail->len, &r->e);
    /* Even when the last block did not fit, the ones before it did. */
    r->rc = upload_sync(r->api->store, u->upload, &r->e);
}

static void after_settle(struct req *r)
{
    struct upload_req *u = r->state;

    if (u->tail)
        http_block_done(r->x, u->tail);
    u->tail = NULL;
    after_settle_sync(r);
}

static void settle(struct req *r)
{
    struct upload_req *u = r->state;

    u->phase = PHASE_SETTLE;
    req_work(r, WORK_BODY, settle_sync, after_settle);
}

static void on_abort(struct http_exchange *x, void *arg)
{
    struct req *r = arg;
    struct upload_req *u = r->state;

    if (u->phase != PHASE_BODY)
        return; /* what runs finishes; nobody reads the answer */
    u->tail = http_body_take(x);
    if (u->block)
        u->is_aborted = true;
    else
        settle(r);
}

/* ---- the body ----------------------------------------------------------- */

static void append_block(struct req *r, struct store_reader *reader)
{
    struct upload_req *u = r->state;

    (void)reader;
    r->rc = upload_append(r->api->store, u->upload, u->block->data,
                          u->block->len, &r->e);
}

static void after_append(struct req *r)
{
    struct upload_req *u = r->state;
    struct http_block *block = u->block;

    u->block = NULL;
    http_block_done(r->x, block);
    if (r->rc < 0) {
        u->has_failed = true;
        u->failure = r->e;
    }
    if (r->rc < 0 || u->is_aborted)
        settle(r);
}

static void on_block(struct http_exchange *x, void *arg, struct http_block *b)
{
    struct req *r = arg;
    struct upload_req *u = r->state;

    if (u->phase != PHASE_BODY) {
        http_block_done(x, b);
        return;
    }
    u->block = b;
    req_work(r, WORK_BODY, append_block, after_append);
}

/* ---- the end of the body ------------------------------------------------ */

static void after_drop_row(struct req *r)
{
    (void)r;
}

/* The bytes are not what the digest says: the session is over. */
static void end_session(struct req *r)
{
    struct upload_req *u = r->state;

    upload_req_let_go(r);
    reply_error(r, OCI_DIGEST_INVALID,
                "the uploaded bytes do not have this digest");
    store_job_upload_gone_init(&r->write.gone, u->info.id);
    req_write(r, after_drop_row);
}

static void after_commit(struct req *r)
{
    struct upload_req *u = r->state;
    char text[DIGEST_TEXT_MAX];

    if (r->rc < 0) {
        upload_req_release(r);
        reply_failure(r, &r->e);
        return;
    }
    u->upload = NULL; /* the job dropped it */
    upload_req_let_go(r);
    set_location(r, "blobs", digest_format(&r->digest, text));
    set_digest(r, &r->digest);
    http_reply(r->x, 201, NULL, 0);
}

static void finish(struct req *r, struct store_reader *reader)
{
    struct upload_req *u = r->state;

    (void)reader;
    r->rc = upload_finish(r->api->store, u->upload, &r->digest, &r->e);
    if (r->rc == 0 || r->e.code != ERR_DIGEST)
        return;
    upload_drop(r->api->store, u->upload); /* unlinking may take long */
    u->upload = NULL;
}

static void after_finish(struct req *r)
{
    struct upload_req *u = r->state;

    if (r->rc < 0 && r->e.code == ERR_DIGEST) {
        end_session(r);
    } else if (r->rc < 0) {
        upload_req_release(r);
        reply_failure(r, &r->e);
    } else {
        store_job_blob_init(&r->write.blob, u->upload, &r->digest);
        req_write(r, after_commit);
    }
}

static void after_patch_row(struct req *r)
{
    struct upload_req *u = r->state;

    u->info.offset = upload_offset(u->upload);
    upload_req_release(r);
    if (r->rc < 0) {
        reply_failure(r, &r->e);
        return;
    }
    set_session(r, &u->info);
    http_reply(r->x, 202, NULL, 0);
}

static void sync_patch(struct req *r, struct store_reader *reader)
{
    struct upload_req *u = r->state;

    (void)reader;
    r->rc = upload_sync(r->api->store, u->upload, &r->e);
}

static void after_sync_patch(struct req *r)
{
    struct upload_req *u = r->state;

    if (r->rc < 0 || upload_offset(u->upload) == 0) {
        after_patch_row(r);
        return;
    }
    store_job_offset_init(&r->write.offset, u->upload);
    req_write(r, after_patch_row);
}

static void on_end(struct http_exchange *x, void *arg)
{
    struct req *r = arg;
    struct upload_req *u = r->state;

    (void)x;
    if (u->phase != PHASE_BODY)
        return;
    u->phase = PHASE_COMMIT;
    if (u->finishes)
        req_work(r, WORK_SLOW, finish, after_finish);
    else
        req_work(r, WORK_BODY, sync_patch, after_sync_patch);
}

static void start_body(struct req *r)
{
    static const struct http_sink sink = {on_block, on_end};

    http_on_abort(r->x, on_abort, r);
    http_body_start(r->x, &sink, r);
}

static void check_space(struct req *r, struct store_reader *reader)
{
    (void)reader;
    r->rc = upload_check_space(r->api->store, &r->e);
}

static void after_check(struct req *r)
{
    if (r->rc == 0 && http_is_alive(r->x)) {
        start_body(r);
        return;
    }
    upload_req_release(r);
    if (r->rc < 0)
        reply_failure(r, &r->e);
}

/* Who asks before sending is told now what would be told after the body. */
void upload_req_body(struct req *r)
{
    if (http_expects_continue(r->x))
        req_work(r, WORK_READ, check_space, after_check);
    else
        start_body(r);
}
