/*
 * One upload session: PATCH, PUT, GET, DELETE.
 * Spec: OCI distribution, end-5, end-6, end-13, end-14.
 */
#include "server/range.h"
#include "server/upload_req.h"

/* ---- checks before a body ----------------------------------------------- */

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

/* The session could not be had. */
static void refuse(struct req *r)
{
    struct upload_req *u = r->state;

    if (r->e.code == ERR_BUSY)
        refuse_range(r, &u->info);
    else
        reply_error(r, OCI_BLOB_UPLOAD_UNKNOWN,
                    "the upload is unknown or has expired: start again");
}

static bool take(struct req *r, const char *id)
{
    struct upload_req *u = r->state;

    if (upload_take(r->api->store, r->name, id, &u->upload, &u->info, &r->e) <
        0)
        return false;
    upload_req_hold(r);
    return true;
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

static void write_body(struct req *r)
{
    struct upload_req *u = r->state;

    if ((u->finishes && !has_digest(r)) || !is_chunk_right(r, &u->info))
        upload_req_release(r);
    else
        upload_req_body(r);
}

static void after_ask(struct req *r)
{
    struct upload_req *u = r->state;

    if (!u->upload)
        refuse(r);
    else if (!http_is_alive(r->x))
        upload_req_release(r);
    else
        write_body(r);
}

static void h_write(struct req *r)
{
    struct upload_req *u = r->state;

    u->finishes = http_method(r->x) == HTTP_PUT;
    if (req_is_encoded(r))
        return;
    if (take(r, r->ref))
        write_body(r);
    else if (r->e.code != ERR_BUSY || !upload_req_ask(r, after_ask))
        refuse(r);
}

/* ---- status and cancel -------------------------------------------------- */

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

    upload_req_let_go(r);
    store_job_upload_gone_init(&r->write.gone, u->info.id);
    req_write(r, after_cancel);
}

static void h_cancel(struct req *r)
{
    struct upload_req *u = r->state;

    /* No body: whoever asks for the session waits until it is gone. */
    u->phase = PHASE_COMMIT;
    if (take(r, r->ref))
        req_work(r, WORK_SLOW, drop, after_drop);
    else
        refuse(r);
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
    if (!u)
        return;
    u->finishes = true;
    if (take(r, id))
        upload_req_body(r);
    else
        refuse(r);
}
