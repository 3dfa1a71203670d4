/* Blobs: GET, HEAD, DELETE. Spec: OCI distribution, end-2 and end-10. */
#include <stdio.h>
#include <unistd.h>

#include "server/range.h"
#include "server/req.h"

struct blob_get {
    int64_t size;
    int fd;
    bool due_soon;
};

static void find_blob(struct req *r, struct store_reader *reader)
{
    struct blob_get *get = r->state;

    r->rc = store_blob_size(reader, r->name, &r->digest, &get->size,
                            &get->due_soon, &r->e);
    if (r->rc == 0 && http_method(r->x) == HTTP_GET)
        r->rc = store_blob_open(r->api->store, &r->digest, get->size, &get->fd,
                                &r->e);
}

static void set_blob_headers(struct req *r)
{
    char text[DIGEST_TEXT_MAX];

    set_digest(r, &r->digest);
    http_setf(r->x, "ETag", "\"%s\"", digest_format(&r->digest, text));
    http_set(r->x, "Accept-Ranges", "bytes");
    http_set(r->x, "Cache-Control", "max-age=31536000");
}

/* Does the header hold this blob's entity tag, or "*"? */
static bool etag_matches(struct req *r, const char *header)
{
    char text[DIGEST_TEXT_MAX], tag[DIGEST_TEXT_MAX + 2];
    struct slice value = http_header(r->x, header);

    digest_format(&r->digest, text);
    snprintf(tag, sizeof(tag), "\"%s\"", text);
    return slice_is(value, tag) || slice_is(value, "*");
}

static void send_range(struct req *r, int64_t first, int64_t last)
{
    struct blob_get *get = r->state;

    set_blob_headers(r);
    http_set(r->x, "Content-Type", "application/octet-stream");
    http_setf(r->x, "Content-Range", "bytes %lld-%lld/%lld", (long long)first,
              (long long)last, (long long)get->size);
    http_reply_file(r->x, 206, get->fd, (uint64_t)first,
                    (uint64_t)(last - first + 1));
}

static void send_blob(struct req *r)
{
    struct blob_get *get = r->state;
    struct slice range = http_header(r->x, "Range");
    int64_t first, last;

    if (etag_matches(r, "If-None-Match")) {
        if (get->fd >= 0)
            close(get->fd);
        set_blob_headers(r);
        http_reply(r->x, 304, NULL, 0);
        return;
    }
    /* Range means nothing on HEAD, nor when If-Range names another entity. */
    if (http_method(r->x) == HTTP_HEAD ||
        (http_header(r->x, "If-Range").p && !etag_matches(r, "If-Range")))
        range = (struct slice){NULL, 0};
    switch (range_parse(range, get->size, &first, &last)) {
    case RANGE_ONE:
        send_range(r, first, last);
        return;
    case RANGE_UNSATISFIABLE:
        close(get->fd);
        http_setf(r->x, "Content-Range", "bytes */%lld", (long long)get->size);
        reply_error(r, OCI_RANGE_INVALID, "the range is outside of the blob");
        return;
    case RANGE_NONE:
    default:
        set_blob_headers(r);
        http_set(r->x, "Content-Type", "application/octet-stream");
        http_reply_file(r->x, 200, get->fd, 0, (uint64_t)get->size);
    }
}

static void after_touch(struct req *r)
{
    struct blob_get *get = r->state;

    if (r->rc < 0) {
        if (get->fd >= 0)
            close(get->fd);
        reply_failure(r, &r->e);
        return;
    }
    send_blob(r);
}

static void after_find(struct req *r)
{
    struct blob_get *get = r->state;

    if (r->rc < 0 && r->e.code == ERR_NOT_FOUND) {
        reply_error(r, OCI_BLOB_UNKNOWN, "the blob is not in the repository");
    } else if (r->rc < 0) {
        reply_failure(r, &r->e);
    } else if (get->due_soon && http_method(r->x) == HTTP_HEAD &&
               !r->api->policy.is_read_only) {
        /* Who is told that it exists may rely on it for a whole push. */
        store_job_touch_init(&r->write.touch);
        snprintf(r->write.touch.repo, sizeof(r->write.touch.repo), "%s",
                 r->name);
        r->write.touch.digest = r->digest;
        req_write(r, after_touch);
    } else {
        send_blob(r);
    }
}

static void after_delete(struct req *r)
{
    if (r->rc == 0) {
        http_reply(r->x, 202, NULL, 0);
    } else if (r->e.code == ERR_NOT_FOUND) {
        reply_error(r, OCI_BLOB_UNKNOWN, "the blob is not in the repository");
    } else if (r->e.code == ERR_BUSY) {
        reply_error(r, OCI_UNSUPPORTED, "the blob is in use: %s", r->e.msg);
    } else {
        reply_failure(r, &r->e);
    }
}

void h_blob(struct req *r)
{
    if (req_digest(r, OCI_BLOB_UNKNOWN) < 0)
        return;
    if (http_method(r->x) == HTTP_DELETE) {
        store_job_delete_init(&r->write.del);
        r->write.del.what = DELETE_BLOB;
        snprintf(r->write.del.repo, sizeof(r->write.del.repo), "%s", r->name);
        r->write.del.digest = r->digest;
        req_write(r, after_delete);
        return;
    }
    r->state = req_alloc(r, sizeof(struct blob_get));
    if (!r->state)
        return;
    ((struct blob_get *)r->state)->fd = -1;
    req_work(r, WORK_READ, find_blob, after_find);
}
