/* Blobs: GET, HEAD, DELETE. Spec: OCI distribution, end-2 and end-10. */
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "server/etag.h"
#include "server/range.h"
#include "server/req.h"

/* The bytes of a digest never change. */
#define CACHE "max-age=31536000"

struct blob_get {
    int64_t size;
    int fd;
    bool due_soon;
    struct range *ranges; /* RANGE_MAX of them when a range is asked for */
    size_t range_count;
    char boundary[33];
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
    http_set(r->x, "Cache-Control", CACHE);
}

static void send_range(struct req *r, const struct range *range)
{
    struct blob_get *get = r->state;

    http_set(r->x, "Content-Type", "application/octet-stream");
    http_setf(r->x, "Content-Range", "bytes %lld-%lld/%lld",
              (long long)range->first, (long long)range->last,
              (long long)get->size);
    http_reply_file(r->x, 206, get->fd, (uint64_t)range->first,
                    (uint64_t)(range->last - range->first + 1));
}

/* Part i of multipart/byteranges; the one behind the last is the end. */
static void make_part(void *arg, size_t i, struct http_piece *out)
{
    struct blob_get *get = arg;
    const struct range *range = &get->ranges[i];
    int n;

    if (i == get->range_count) {
        n = snprintf(out->text, sizeof(out->text), "\r\n--%s--\r\n",
                     get->boundary);
    } else {
        n = snprintf(out->text, sizeof(out->text),
                     "%s--%s\r\nContent-Type: application/octet-stream\r\n"
                     "Content-Range: bytes %lld-%lld/%lld\r\n\r\n",
                     i ? "\r\n" : "", get->boundary, (long long)range->first,
                     (long long)range->last, (long long)get->size);
        out->off = (uint64_t)range->first;
        out->len = (uint64_t)(range->last - range->first + 1);
    }
    out->text_len = (size_t)n;
}

static void send_parts(struct req *r)
{
    struct blob_get *get = r->state;
    unsigned char raw[16];

    /* Random, so that no blob can hold the boundary on purpose. */
    io_random(raw, sizeof(raw));
    num_hex(raw, sizeof(raw), get->boundary);
    http_setf(r->x, "Content-Type", "multipart/byteranges; boundary=%s",
              get->boundary);
    http_reply_pieces(r->x, 206, get->fd, make_part, get, get->range_count + 1);
}

/* The ranges asked for; none on HEAD, nor when If-Range names another one. */
static enum range_result read_ranges(struct req *r)
{
    struct blob_get *get = r->state;
    struct slice header = http_header(r->x, "Range");

    if (!header.p || http_method(r->x) == HTTP_HEAD ||
        !etag_allows_range(r->x, &r->digest))
        return RANGE_NONE;
    return range_parse(header, get->size, get->ranges, &get->range_count);
}

static void send_blob(struct req *r)
{
    struct blob_get *get = r->state;
    enum range_result ranges;

    if (is_condition_answered(r, &r->digest, CACHE)) {
        if (get->fd >= 0)
            close(get->fd);
        return;
    }
    ranges = read_ranges(r);
    if (ranges == RANGE_UNSATISFIABLE) {
        close(get->fd);
        http_setf(r->x, "Content-Range", "bytes */%lld", (long long)get->size);
        reply_error_as(r, 416, OCI_SIZE_INVALID, NULL,
                       "the range is outside of the blob");
        return;
    }
    set_blob_headers(r);
    if (ranges == RANGE_SOME && get->range_count > 1) {
        send_parts(r);
    } else if (ranges == RANGE_SOME) {
        send_range(r, &get->ranges[0]);
    } else {
        http_set(r->x, "Content-Type", "application/octet-stream");
        http_reply_file(r->x, 200, get->fd, 0, (uint64_t)get->size);
    }
}

static void after_touch(struct req *r)
{
    if (r->rc == 0 || r->e.code == ERR_READ_ONLY || r->e.code == ERR_NO_SPACE)
        send_blob(r); /* who can write nothing now pushes nothing either */
    else if (r->e.code == ERR_NOT_FOUND)
        reply_error(r, OCI_BLOB_UNKNOWN, "the blob is not in the repository");
    else
        reply_failure(r, &r->e);
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
    } else if (r->e.code == ERR_DENIED) {
        reply_in_use(r, "blob");
    } else if (r->e.code == ERR_CONDITION) {
        reply_error_as(r, 412, OCI_DENIED, NULL, r->e.msg);
    } else {
        reply_failure(r, &r->e);
    }
}

void h_blob(struct req *r)
{
    struct blob_get *get;

    if (req_digest(r, OCI_BLOB_UNKNOWN) < 0)
        return;
    if (http_method(r->x) == HTTP_DELETE) {
        store_job_delete_init(&r->write.del);
        r->write.del.what = DELETE_BLOB;
        snprintf(r->write.del.repo, sizeof(r->write.del.repo), "%s", r->name);
        r->write.del.digest = r->digest;
        r->write.del.force = r->api->policy.deletes_used;
        if (req_condition(r, &r->write.del.when) == 0)
            req_write(r, after_delete);
        return;
    }
    get = r->state = req_alloc(r, sizeof(*get));
    if (!get)
        return;
    get->fd = -1;
    if (http_header(r->x, "Range").p) {
        get->ranges = req_alloc(r, RANGE_MAX * sizeof(*get->ranges));
        if (!get->ranges)
            return;
    }
    req_work(r, WORK_READ, find_blob, after_find);
}
