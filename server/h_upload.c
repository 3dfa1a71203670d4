/*
 * One upload session: PATCH, PUT, GET, DELETE.
 * Spec: OCI distribution, end-5, end-6, end-13, end-14.
 *
 * A body goes block by block to a worker that hashes and writes it.  Whatever
 * ends the body early (client gone, disk full), the bytes that arrived are
 * synced and recorded before the session is given back, so that its status
 * tells the truth (settle()).
 */
#include <stdio.h>
#include <string.h>

#include "server/range.h"
#include "server/req.h"

enum phase {
    PHASE_BODY,   /* blocks come */
    PHASE_SETTLE, /* ended early: keep what arrived */
    PHASE_COMMIT, /* the body is whole */
};

struct upload_req {
    struct upload *upload;
    struct upload_info info;
    enum phase phase;
    bool finishes;   /* PUT, or POST with a digest */
    bool is_aborted; /* the client left while a block was out */
    bool has_failed; /* failure holds why */
    struct err failure;
    struct http_block *block; /* at the worker */
    struct http_block *tail;  /* came last before the client left */
};

static void set_session(struct req *r, const struct upload_info *info)
{
    set_location(r, "blobs/uploads", info->id);
    http_set(r->x, "Docker-Upload-UUID", info->id);
    http_setf(r->x, "Range", "0-%lld",
              (long long)(info->offset > 0 ? info->offset - 1 : 0));
}

static void release(struct req *r)
{
    struct upload_req *u = r->state;

    if (u->upload)
        upload_release(r->api->store, u->upload);
    u->upload = NULL;
}

/* ---- an early end -------------------------------------------------------- */

static void after_settle_row(struct req *r)
{
    struct upload_req *u = r->state;

    release(r);
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

/* ---- the body -------------------------------------------------------------
 */

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

/* ---- the end of the body ----------------------------------------------------
 */

static void after_drop_row(struct req *r)
{
    (void)r;
}

/* The bytes are not what the digest says: the session is over. */
static void end_session(struct req *r)
{
    struct upload_req *u = r->state;

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
        release(r);
        reply_failure(r, &r->e);
        return;
    }
    u->upload = NULL; /* the job dropped it */
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
        release(r);
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
    release(r);
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

/* ---- checks before a body
 * ------------------------------------------------------ */

static void refuse_range(struct req *r, const struct upload_info *info)
{
    set_session(r, info);
    reply_error_as(r, 416, OCI_BLOB_UPLOAD_INVALID, NULL,
                   "the chunk does not start where the upload ends, or "
                   "another request is writing it");
}

/* Content-Range against the body's length and the session's offset. */
static bool is_chunk_right(struct req *r, const struct upload_info *info)
{
    struct slice header = http_header(r->x, "Content-Range");
    int64_t first, last, length = http_content_length(r->x);

    if (!header.p)
        return true;
    if (!range_parse_chunk(header, &first, &last)) {
        reply_error(r, OCI_BLOB_UPLOAD_INVALID,
                    "Content-Range is not of the form first-last");
        return false;
    }
    if (length >= 0 && length != last - first + 1) {
        reply_error(r, OCI_SIZE_INVALID,
                    "Content-Range and Content-Length disagree");
        return false;
    }
    if (first != info->offset) {
        refuse_range(r, info);
        return false;
    }
    return true;
}

static bool is_encoded(struct req *r)
{
    struct slice coding = http_header(r->x, "Content-Encoding");

    if (!coding.p || slice_is_nocase(coding, "identity"))
        return false;
    reply_error_as(r, 415, OCI_UNSUPPORTED, NULL,
                   "bodies with a Content-Encoding are not accepted");
    return true;
}

/* Take the session, or answer why not. */
static bool take(struct req *r, const char *id)
{
    struct upload_req *u = r->state;

    if (upload_take(r->api->store, r->name, id, &u->upload, &u->info, &r->e) ==
        0)
        return true;
    if (r->e.code == ERR_BUSY)
        refuse_range(r, &u->info);
    else
        reply_error(r, OCI_BLOB_UPLOAD_UNKNOWN,
                    "the upload is unknown or has expired: start again");
    return false;
}

/* The digest parameter of a PUT: exactly one, and one that we keep. */
static bool has_digest(struct req *r)
{
    const char *text = NULL;
    unsigned count = 0;

    if (http_query_get(r->x, "digest", &text, &count) == 0 && count == 1 &&
        digest_parse(slice_of(text), &r->digest) == DIGEST_OK)
        return true;
    reply_error(r, OCI_DIGEST_INVALID,
                "the request needs one digest of sha256 or sha512");
    return false;
}

static void h_write(struct req *r)
{
    struct upload_req *u = r->state;

    u->finishes = http_method(r->x) == HTTP_PUT;
    if (is_encoded(r) || !take(r, r->ref))
        return;
    if ((u->finishes && !has_digest(r)) || !is_chunk_right(r, &u->info)) {
        release(r);
        return;
    }
    start_body(r);
}

/* ---- status and cancel
 * ------------------------------------------------------------ */

static void h_status(struct req *r)
{
    struct upload_req *u = r->state;

    if (upload_status(r->api->store, r->name, r->ref, &u->info, &r->e) < 0) {
        reply_error(r, OCI_BLOB_UPLOAD_UNKNOWN,
                    "the upload is unknown or has expired: start again");
        return;
    }
    set_session(r, &u->info);
    http_reply(r->x, 204, NULL, 0);
}

static void after_cancel(struct req *r)
{
    if (r->rc < 0)
        reply_failure(r, &r->e);
    else
        http_reply(r->x, 204, NULL, 0);
}

static void drop(struct req *r, struct store_reader *reader)
{
    struct upload_req *u = r->state;

    (void)reader;
    upload_drop(r->api->store, u->upload);
    u->upload = NULL;
    r->rc = 0;
}

static void after_drop(struct req *r)
{
    struct upload_req *u = r->state;

    store_job_upload_gone_init(&r->write.gone, u->info.id);
    req_write(r, after_cancel);
}

static void h_cancel(struct req *r)
{
    if (take(r, r->ref))
        req_work(r, WORK_SLOW, drop, after_drop);
}

void h_upload(struct req *r)
{
    r->state = req_alloc(r, sizeof(struct upload_req));
    if (!r->state)
        return;
    switch (http_method(r->x)) {
    case HTTP_GET:
    case HTTP_HEAD:
        h_status(r);
        break;
    case HTTP_DELETE:
        h_cancel(r);
        break;
    case HTTP_PATCH:
    case HTTP_PUT:
    case HTTP_POST:
    case HTTP_OPTIONS:
    default:
        h_write(r);
    }
}

void upload_whole_body(struct req *r, const char *id)
{
    struct upload_req *u = req_alloc(r, sizeof(*u));

    r->state = u;
    if (!u || is_encoded(r) || !take(r, id))
        return;
    u->finishes = true;
    start_body(r);
}
