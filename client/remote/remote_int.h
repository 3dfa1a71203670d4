/* Inside the registry client: its struct, and what its files share. */
#ifndef BERTH_CLIENT_REMOTE_REMOTE_INT_H
#define BERTH_CLIENT_REMOTE_REMOTE_INT_H

#include "auth/challenge.h"
#include "client/remote/remote.h"

#define REMOTE_AUTH_MAX 16384

struct remote {
    CURL *curl;
    struct reference ref;
    struct remote_options opts;
    char base[600]; /* "https://host" */
    struct origin origin;
    enum reach reach; /* where the registry turned out to be */
    struct certs certs;
    bool is_clone; /* certs are another's */
    struct credential cred;
    char sources[REMOTE_SOURCES_MAX][256];
    size_t n_sources;
    /* the answer to the last challenge */
    struct challenge challenge;
    bool has_challenge;
    char auth[REMOTE_AUTH_MAX]; /* value of Authorization, or "" */
    int64_t auth_until_ms;      /* monotonic; 0: for ever */
};

/* ---- remote_send.c ---- */
/*
 * Send to a URL of the registry or of somebody else; decides what that one
 * may see.  No redirect is followed, no status is an error.
 */
must_check int remote_send(struct remote *rm, const char *url, const char *auth,
                           struct transfer *t, struct err *e);
/* The registry's own words about a status >= 400; returns -1. */
int remote_answer_error(const struct transfer *t, struct err *e);

/* ---- remote_auth.c ---- */
/* Answer the challenges of a 401: rm->auth is new afterwards. */
must_check int remote_authenticate(struct remote *rm, const char *challenges,
                                   struct err *e);
/* Get a new token when the old one is about to end. */
must_check int remote_refresh(struct remote *rm, struct err *e);
/* What a 401 after that means; returns -1. */
int remote_refused(const struct remote *rm, const struct transfer *t,
                   struct err *e);

#endif
