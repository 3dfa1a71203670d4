/*
 * One repository of a registry, over libcurl.
 *
 * 1. Credentials and tokens go to the registry's own origin only; a redirect
 *    elsewhere is followed without them (GET and HEAD, at most five).
 * 2. Plain HTTP to loopback, else TLS; with is_insecure an unverified TLS,
 *    and plain HTTP where there is none.
 * 3. What comes is bounded: a sink counts, the rest is capped.
 */
#ifndef BERTH_CLIENT_IMAGE_REMOTE_H
#define BERTH_CLIENT_IMAGE_REMOTE_H

#include <stdint.h>

#include "base/err.h"
#include "client/image/reference.h"

#define REMOTE_TEXT_MAX 1024

struct remote;

typedef int remote_sink(void *arg, const void *data, size_t n, struct err *e);
typedef void remote_progress(void *arg, uint64_t sent);

struct remote_call {
    const char *method; /* "GET" */
    const char *path;   /* "manifests/x" of the repository, or a Location */
    const char *accept; /* header value, or NULL */
    const char *type;   /* Content-Type of the body, or NULL */
    const void *body;   /* bytes to send, or NULL */
    int body_fd;        /* else a file to send from its start; -1: none */
    uint64_t body_len;
    remote_sink *sink; /* for the body of a 2xx answer, or NULL */
    void *sink_arg;
    remote_progress *on_sent;
    void *progress_arg;
    /* answer */
    long status;
    char content_type[REMOTE_TEXT_MAX];
    char location[4 * REMOTE_TEXT_MAX];
    char digest[REMOTE_TEXT_MAX];
};

/* Connect (GET /v2/) and authenticate for pull, or pull and push. */
must_check int remote_new(const struct reference *r, bool is_insecure,
                          bool is_push, struct remote **out, struct err *e);
void remote_free(struct remote *rm); /* NULL is fine */
/*
 * One request.  4xx and 5xx are errors with the registry's message (404:
 * ERR_NOT_FOUND), c->status is set all the same.
 */
must_check int remote_do(struct remote *rm, struct remote_call *c,
                         struct err *e);

#endif
