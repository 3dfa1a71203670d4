/*
 * Dispatch: route, method, access, handler; and the steps of a request.
 *
 * Invariant: access is decided here, before any handler runs, from one table
 * of route and method; what the table does not name is refused.
 */
#include "server/api.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "server/etag.h"
#include "server/req.h"

/* ---- steps -------------------------------------------------------------- */

static void on_message(struct lane_msg *m)
{
    struct req *r = (struct req *)((char *)m - offsetof(struct req, msg));
    struct http_exchange *x = r->x;

    r->then(r);
    http_release(x);
}

static void on_work(struct work *w, void *ctx)
{
    struct req *r = (struct req *)((char *)w - offsetof(struct req, work));

    r->rc = 0;
    if (ctx)
        r->on_worker(r, ctx);
    else
        r->rc = err_set(&r->e, ERR_IO, "this worker could not open the index");
    lane_post(http_lane(r->x), &r->msg);
}

void req_work(struct req *r, enum work_class class, req_worker *on_worker,
              req_step *then)
{
    r->on_worker = on_worker;
    r->then = then;
    r->msg.run = on_message;
    r->work.run = on_work;
    http_hold(r->x);
    workq_submit(r->api->workq, class, &r->work);
}

static void on_written(struct store_job *j)
{
    struct req *r = (struct req *)((char *)j - offsetof(struct req, write));

    r->rc = j->rc;
    if (j->rc < 0)
        r->e = j->e;
    lane_post(http_lane(r->x), &r->msg);
}

void req_write(struct req *r, req_step *then)
{
    r->then = then;
    r->msg.run = on_message;
    r->write.job.done = on_written;
    http_hold(r->x);
    store_submit(r->api->store, &r->write.job);
}

void *req_alloc(struct req *r, size_t size)
{
    void *p = arena_alloc(http_arena(r->x), size);

    if (!p)
        reply_error(r, OCI_UNAVAILABLE, "out of memory");
    else
        memset(p, 0, size);
    return p;
}

/* ---- replies ------------------------------------------------------------ */

void reply_error_as(struct req *r, int status, enum oci_code code,
                    const char *detail, const char *message)
{
    char body[4096];
    size_t len = oci_error_body(code, message, detail, body, sizeof(body));

    http_set(r->x, "Content-Type", "application/json");
    if (status == 503 || status == 429)
        http_set(r->x, "Retry-After", "5");
    http_reply(r->x, status, body, len);
}

void reply_error(struct req *r, enum oci_code code, const char *fmt, ...)
{
    char message[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    reply_error_as(r, oci_error_status(code), code, NULL, message);
}

void reply_failure(struct req *r, const struct err *e)
{
    switch ((int)e->code) {
    case ERR_NO_SPACE:
        reply_error_as(r, 507, OCI_UNAVAILABLE, NULL,
                       "the registry's disk is full");
        break;
    case ERR_TOO_LARGE:
        reply_error_as(r, 413, OCI_SIZE_INVALID, NULL,
                       "the registry's disk takes no file of this size");
        break;
    case ERR_NO_MEMORY:
    case ERR_CANCELLED:
    case ERR_BUSY: /* somebody has locked the index file */
        reply_error(r, OCI_UNAVAILABLE, "the registry is short of resources");
        break;
    case ERR_READ_ONLY:
        reply_error(r, OCI_UNKNOWN,
                    "the registry's storage is read-only "
                    "after an i/o error");
        break;
    default:
        /* What went wrong inside is for the log, not for the client. */
        reply_error(r, OCI_UNKNOWN,
                    "internal error, see the log of the "
                    "registry for request %s",
                    http_id(r->x));
    }
    log_line(LOG_LEVEL_ERROR, "request %s failed: %s: %s", http_id(r->x),
             err_name(e->code), e->msg);
}

void reply_json(struct req *r, char *text)
{
    if (!text) {
        reply_error(r, OCI_UNAVAILABLE, "out of memory");
        return;
    }
    http_set(r->x, "Content-Type", "application/json");
    http_reply_owned(r->x, 200, text, strlen(text));
}

size_t api_error_body(int status, const char *why, char *out, size_t cap,
                      void *ctx)
{
    (void)ctx;
    return oci_error_body(oci_error_for_status(status), why, NULL, out, cap);
}

/* ---- shared by handlers ------------------------------------------------- */

int req_digest(struct req *r, enum oci_code unsupported_code)
{
    switch (digest_parse(slice_of(r->ref), &r->digest)) {
    case DIGEST_OK:
        return 0;
    case DIGEST_UNSUPPORTED:
        reply_error(r, unsupported_code,
                    "digests of this algorithm are not kept here");
        return -1;
    case DIGEST_MALFORMED:
    default:
        reply_error(r, OCI_DIGEST_INVALID, "the digest is malformed");
        return -1;
    }
}

bool req_is_encoded(struct req *r)
{
    struct slice coding = http_header(r->x, "Content-Encoding");

    if (!coding.p || slice_is_nocase(coding, "identity"))
        return false;
    http_set(r->x, "Accept-Encoding", "identity");
    reply_error_as(r, 415, OCI_UNSUPPORTED, NULL,
                   "bodies with a Content-Encoding are not accepted");
    return true;
}

int req_condition(struct req *r, struct store_condition *when)
{
    if (etag_read_condition(r->x, when, &r->e) == 0)
        return 0;
    reply_error(r, OCI_MANIFEST_INVALID, "%s", r->e.msg);
    return -1;
}

bool is_condition_answered(struct req *r, const struct digest *d,
                           const char *cache)
{
    char text[DIGEST_TEXT_MAX];

    /* RFC 9110 13.2.2: If-Match first, and If-None-Match when it holds. */
    if (http_header(r->x, "If-Match").p &&
        !etag_is_listed(r->x, "If-Match", d, false)) {
        reply_error_as(r, 412, OCI_DENIED, NULL,
                       "If-Match names another version");
        return true;
    }
    if (!etag_is_listed(r->x, "If-None-Match", d, true))
        return false;
    set_digest(r, d);
    http_setf(r->x, "ETag", "\"%s\"", digest_format(d, text));
    if (cache)
        http_set(r->x, "Cache-Control", cache);
    http_reply(r->x, 304, NULL, 0);
    return true;
}

void set_location(struct req *r, const char *what, const char *last)
{
    http_setf(r->x, "Location", "/v2/%s/%s/%s", r->name, what, last);
}

void set_digest(struct req *r, const struct digest *d)
{
    char text[DIGEST_TEXT_MAX];

    http_set(r->x, "Docker-Content-Digest", digest_format(d, text));
}

void set_session(struct req *r, const struct upload_info *info)
{
    set_location(r, "blobs/uploads", info->id);
    http_set(r->x, "Docker-Upload-UUID", info->id);
    http_setf(r->x, "Range", "0-%lld",
              (long long)(info->offset > 0 ? info->offset - 1 : 0));
}

int req_page(struct req *r, size_t fallback, size_t *n, const char **last)
{
    const char *text = NULL;
    uint64_t value;

    if (http_query_get(r->x, "n", &text, NULL) < 0 ||
        http_query_get(r->x, "last", last, NULL) < 0) {
        reply_error_as(r, 400, OCI_UNSUPPORTED, NULL, "malformed query");
        return -1;
    }
    *n = fallback;
    if (!text)
        return 0;
    /* Larger than any number we know is still a number: it is clamped. */
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9')
            text = "";
    }
    if (!text[0]) {
        reply_error_as(r, 400, OCI_UNSUPPORTED, NULL,
                       "n is no number of entries");
        return -1;
    }
    if (!num_parse_u64(slice_of(text), UINT64_MAX, &value) || value > 1000)
        value = 1000;
    *n = (size_t)value;
    return 0;
}

void append_encoded(char *out, size_t size, const char *s)
{
    size_t o = strlen(out);

    for (; *s && o + 4 < size; s++) {
        unsigned char c = (unsigned char)*s;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c >= '0' && c <= '9') || strchr("-._~/:@!$()*,;?", c))
            out[o++] = (char)c;
        else
            o += (size_t)snprintf(out + o, size - o, "%%%02X", c);
    }
    out[o] = '\0';
}

/* ---- dispatch ----------------------------------------------------------- */

#define BIT(method) (1U << (method))
#define READS       (BIT(HTTP_GET) | BIT(HTTP_HEAD))

static const struct {
    unsigned methods;
    void (*handler)(struct req *r);
} routes[] = {
    [ROUTE_PING] = {READS, h_ping},
    [ROUTE_CATALOG] = {READS, h_catalog},
    [ROUTE_LIVEZ] = {READS, h_livez},
    [ROUTE_READYZ] = {READS, h_readyz},
    [ROUTE_BLOB] = {READS | BIT(HTTP_DELETE), h_blob},
    [ROUTE_UPLOADS] = {BIT(HTTP_POST), h_uploads},
    [ROUTE_UPLOAD] = {READS | BIT(HTTP_PATCH) | BIT(HTTP_PUT) |
                          BIT(HTTP_DELETE),
                      h_upload},
    [ROUTE_MANIFEST] = {READS | BIT(HTTP_PUT) | BIT(HTTP_DELETE), h_manifest},
    [ROUTE_TAGS] = {READS, h_tags},
    [ROUTE_REFERRERS] = {READS, h_referrers},
};

/* The action a request asks for: the one table of rights. */
static enum policy_action action_of(const struct route *route,
                                    enum http_method method)
{
    switch (route->kind) {
    case ROUTE_PING:
    case ROUTE_LIVEZ:
    case ROUTE_READYZ:
        return POLICY_PING;
    case ROUTE_CATALOG:
        return POLICY_CATALOG;
    case ROUTE_UPLOADS:
    case ROUTE_UPLOAD:
        return POLICY_PUSH; /* also to cancel: no delete right is needed */
    case ROUTE_BLOB:
    case ROUTE_MANIFEST:
    case ROUTE_TAGS:
    case ROUTE_REFERRERS:
    case ROUTE_NONE:
    case ROUTE_BAD_NAME:
    default:
        if (method == HTTP_DELETE)
            return POLICY_DELETE;
        return method == HTTP_GET || method == HTTP_HEAD ? POLICY_PULL
                                                         : POLICY_PUSH;
    }
}

static enum policy_answer ask(struct req *r, enum http_method method)
{
    return policy_may(&r->api->policy, action_of(&r->route, method),
                      r->route.name);
}

/* Allow: those of methods that the caller may use here. */
static void set_allow(struct req *r, unsigned methods)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT", [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE"};
    char text[64] = "";

    for (size_t i = 0; i < array_len(names); i++) {
        size_t used = strlen(text);

        if ((methods & BIT(i)) && ask(r, (enum http_method)i) == POLICY_YES)
            snprintf(text + used, sizeof(text) - used, "%s%s", used ? ", " : "",
                     names[i]);
    }
    http_set(r->x, "Allow", text);
}

static const char *copy_slice(struct req *r, struct slice s)
{
    char *p = req_alloc(r, s.n + 1);

    if (p && s.n)
        memcpy(p, s.p, s.n);
    return p;
}

static bool is_allowed(struct req *r)
{
    enum policy_answer answer = ask(r, http_method(r->x));

    if (answer == POLICY_YES)
        return true;
    set_allow(r, routes[r->route.kind].methods);
    reply_error(r, OCI_UNSUPPORTED,
                answer == POLICY_READ_ONLY ? "the registry is read-only"
                                           : "deleting is switched off");
    return false;
}

void reply_in_use(struct req *r, const char *what)
{
    set_allow(r, routes[r->route.kind].methods & ~BIT(HTTP_DELETE));
    reply_error(r, OCI_UNSUPPORTED, "the %s is in use: %s", what, r->e.msg);
}

static void dispatch(struct req *r)
{
    unsigned methods =
        r->route.kind < array_len(routes) ? routes[r->route.kind].methods : 0;

    if (r->route.kind == ROUTE_BAD_NAME) {
        reply_error(r, OCI_NAME_INVALID, "the repository name is invalid");
        return;
    }
    if (methods == 0) {
        reply_error(r, OCI_NAME_UNKNOWN, "there is nothing at this path");
        return;
    }
    if (http_method(r->x) == HTTP_OPTIONS) {
        set_allow(r, methods);
        http_reply(r->x, 204, NULL, 0);
        return;
    }
    if (!(methods & BIT(http_method(r->x)))) {
        set_allow(r, methods);
        /* Without its name: HEAD is answered as GET, to the length. */
        reply_error(r, OCI_UNSUPPORTED,
                    "the method is not supported at this path");
        return;
    }
    r->name = copy_slice(r, r->route.name);
    r->ref = r->name ? copy_slice(r, r->route.ref) : NULL;
    if (r->ref && is_allowed(r))
        routes[r->route.kind].handler(r);
}

void api_on_request(struct http_exchange *x, void *ctx)
{
    struct req *r = arena_alloc(http_arena(x), sizeof(*r));

    if (!r) {
        http_reply(x, 503, NULL, 0);
        return;
    }
    *r = (struct req){.api = ctx, .x = x, .route = router_parse(http_path(x))};
    dispatch(r);
}

/* ---- worker contexts ---------------------------------------------------- */

int api_worker_init(void *arg, void **ctx, struct err *e)
{
    struct store_reader *reader = NULL;

    if (store_reader_open(arg, &reader, e) < 0)
        return -1;
    *ctx = reader;
    return 0;
}

void api_worker_fini(void *ctx)
{
    store_reader_close(ctx);
}
