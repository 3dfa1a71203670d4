/* Inside of the API: one request and its steps. See api.h. */
#ifndef BERTH_SERVER_REQ_H
#define BERTH_SERVER_REQ_H

#include "server/api.h"

struct req;
typedef void req_step(struct req *r);
typedef void req_worker(struct req *r, struct store_reader *reader);

struct req {
    const struct api_opts *api;
    struct http_exchange *x;
    struct route route;
    const char *name; /* repository, terminated */
    const char *ref;  /* terminated */

    /* The step under way. */
    struct work work;
    struct lane_msg msg;
    req_worker *on_worker;
    req_step *then;
    int rc; /* result of the last step */
    struct err e;

    struct digest digest; /* what the request names */
    bool by_tag;
    void *state; /* the handler's own, in the exchange's arena */

    union {
        struct store_job job;
        struct store_job_offset offset;
        struct store_job_blob blob;
        struct store_job_upload_gone gone;
        struct store_job_mount mount;
        struct store_job_manifest manifest;
        struct store_job_delete del;
        struct store_job_touch touch;
    } write;
};

/* Run on_worker on a worker, then `then` on the lane. */
void req_work(struct req *r, enum work_class class, req_worker *on_worker,
              req_step *then);
/* Run r->write on the index writer, then `then`; r->rc and r->e are set. */
void req_write(struct req *r, req_step *then);
/* Zeroed memory of the exchange; replies 503 and returns NULL when gone. */
void *req_alloc(struct req *r, size_t size);

void reply_error(struct req *r, enum oci_code code, const char *fmt, ...)
    printf_like(3, 4);
/* With another status than the code's own, and JSON detail or NULL. */
void reply_error_as(struct req *r, int status, enum oci_code code,
                    const char *detail, const char *message);
/* 405 to a DELETE of what, which something else needs; r->e names that. */
void reply_in_use(struct req *r, const char *what);
/* A failure of the store that no handler knows better. */
void reply_failure(struct req *r, const struct err *e);
void reply_json(struct req *r, char *text); /* frees text; NULL: 503 */

/* Parse r->ref as a digest; replies 400 when malformed. Returns 0, or -1. */
must_check int req_digest(struct req *r, enum oci_code unsupported_code);
/* Is the body in some coding?  Then it was refused with 415. */
must_check bool req_is_encoded(struct req *r);
/* If-Match and If-None-Match of a write; replies 400 when malformed. */
must_check int req_condition(struct req *r, struct store_condition *when);
/*
 * Answer 412 or 304 to a read of d when the request's conditions say so;
 * false: go on.  cache is the Cache-Control of d, or NULL.
 */
must_check bool is_condition_answered(struct req *r, const struct digest *d,
                                      const char *cache);
/* Set Location to a blob / manifest / session of this repository. */
void set_location(struct req *r, const char *what, const char *last);
void set_digest(struct req *r, const struct digest *d);
/* Where an upload goes on: its Location, id and Range. */
void set_session(struct req *r, const struct upload_info *info);
/* n= and last= of a listing; replies 400 and returns -1 when bad. */
must_check int req_page(struct req *r, size_t fallback, size_t *n,
                        const char **last);
/* Append s percent-encoded to out (for Link). */
void append_encoded(char *out, size_t size, const char *s);

/* Handlers, by resource. The method was checked and access was allowed. */
void h_ping(struct req *r);
void h_livez(struct req *r);
void h_readyz(struct req *r);
void h_catalog(struct req *r);
void h_blob(struct req *r);
void h_uploads(struct req *r);
void h_upload(struct req *r);
void h_manifest(struct req *r);
void h_tags(struct req *r);
void h_referrers(struct req *r);

/* h_upload.c, for h_uploads.c: a POST that carries the whole blob. */
void upload_whole_body(struct req *r, const char *id);

#endif
