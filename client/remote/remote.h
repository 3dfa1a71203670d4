/*
 * One repository of a registry: who asks, where to, and how often.
 *
 * 1. Credentials and tokens go to the registry's own origin; the user's
 *    password also to its token server when that is the registry's host or
 *    one that is known for it.  What is followed elsewhere goes without.
 * 2. Plain HTTP to loopback, else TLS with checked certificates.  Only
 *    is_insecure allows an unknown certificate, and plain HTTP where the peer
 *    speaks no TLS.
 * 3. What may be asked again is asked again, a bounded number of times.
 */
#ifndef BERTH_CLIENT_REMOTE_REMOTE_H
#define BERTH_CLIENT_REMOTE_REMOTE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "client/remote/credential.h"
#include "client/remote/transfer.h"
#include "client/store/reference.h"

#define REMOTE_SOURCES_MAX 8

struct remote;

struct remote_options {
    bool is_insecure;
    bool is_push;
    const char *cert_dir;      /* or NULL */
    const atomic_bool *cancel; /* or NULL */
};

/*
 * Connect (GET /v2/) and authenticate for pull, or pull and push.
 * Owns:   borrows what the options point to for its life.
 * Errors: ERR_DENIED with what to do about it, ERR_IO, ERR_PROTOCOL.
 */
must_check int remote_new(const struct reference *r,
                          const struct remote_options *o, struct remote **out,
                          struct err *e);
/*
 * Try a user and a password (remote_new() looks into the files); is_asked
 * false: the registry lets everybody in.
 */
must_check int remote_login(const char *domain, const struct remote_options *o,
                            const struct credential *c, bool *is_asked,
                            struct err *e);
/*
 * Another connection of the same, for another thread; cancel ends it.  rm
 * must outlive it.
 */
must_check int remote_clone(const struct remote *rm, const atomic_bool *cancel,
                            struct remote **out, struct err *e);
void remote_free(struct remote *rm); /* NULL is fine */
/* Ask for the right to read another repository too, to mount from it. */
void remote_add_source(struct remote *rm, const char *path);

/*
 * One request, authenticated and redirected.  t->path is "manifests/x" of the
 * repository, "/v2/..." or a Location that came before.
 * A Location in the answer is made absolute; it may be on another host, which
 * then gets no credentials.
 * Errors: 4xx and 5xx are errors with the registry's message (404:
 *         ERR_NOT_FOUND), t->status is set all the same.
 */
must_check int remote_do(struct remote *rm, struct transfer *t, struct err *e);
/* As above, asked again when that may help; for requests without a sink. */
must_check int remote_do_again(struct remote *rm, struct transfer *t,
                               struct err *e);
/* A whole body of at most max bytes; *out is malloc'd and terminated. */
must_check int remote_get(struct remote *rm, const char *path,
                          const char *accept, size_t max, char **out,
                          size_t *len, struct err *e);
/*
 * After a failed request: may it help to ask again?  Waits as long as the
 * registry wants, or doubling from half a second.
 * Inputs: *tries counts; 0 at first.
 */
bool remote_wait(struct remote *rm, const struct transfer *t, int *tries);

#endif
