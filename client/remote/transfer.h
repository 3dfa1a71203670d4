/*
 * One HTTP request and its answer, over libcurl.
 *
 * It knows neither registries nor credentials: an address, header values and
 * bodies go in, a status and the few headers that matter come out.
 *
 * 1. An answer is bounded in header lines, header bytes and time; only a sink
 *    may take a body of any length, everything else keeps TRANSFER_TEXT_MAX.
 * 2. An answer that could be read in two ways (two lengths, a length beside
 *    chunks, a second Location) is an error and its connection is closed.
 * 3. Nothing is decompressed: a digest is of the bytes that came.
 */
#ifndef BERTH_CLIENT_REMOTE_TRANSFER_H
#define BERTH_CLIENT_REMOTE_TRANSFER_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "client/remote/certs.h"
#include "client/remote/origin.h"

#define TRANSFER_VALUE_MAX 1024
#define TRANSFER_TEXT_MAX  8192

/* Bytes of a 2xx body, as they come; an error ends the transfer. */
typedef int transfer_sink(void *arg, const void *data, size_t n, struct err *e);
typedef void transfer_progress(void *arg, uint64_t sent);

/* Why there is no answer, for those who might ask again. */
enum transfer_fault {
    TRANSFER_OK,
    TRANSFER_NO_TLS,  /* the peer speaks something else */
    TRANSFER_CONNECT, /* nobody listens */
    TRANSFER_BROKEN,  /* it ended or stalled under way */
    TRANSFER_FINAL,   /* asking again would change nothing */
};

/* How and how far a request may go. */
struct transfer_route {
    const struct certs *certs; /* or NULL */
    const atomic_bool *cancel; /* ends the transfer; or NULL */
    bool is_unverified;        /* certificates are not checked */
    bool is_foreign;           /* not the registry's own host: */
    enum reach registry;       /* where that one is */
    bool is_direct;            /* no proxy */
};

struct transfer {
    /* request */
    const char *method;
    const char *path;          /* for remote_do(); transfer_run() takes a URL */
    const char *accept, *type; /* header values, or NULL */
    const void *body;          /* bytes to send, or NULL */
    int body_fd;               /* else a file; -1: none */
    uint64_t body_from;        /* where in the file the body begins */
    uint64_t body_len;
    bool has_range;       /* the body is a chunk: send Content-Range */
    uint64_t from;        /* ask for the bytes from here on; 0: all */
    const char *if_range; /* strong ETag that goes with it, or NULL */
    transfer_sink *sink;
    void *sink_arg;
    transfer_progress *on_sent;
    void *progress_arg;
    /* answer */
    enum transfer_fault fault;
    long status;
    enum reach peer;    /* the most public address that was dialled */
    long retry_after_s; /* 0: not said */
    int64_t length;     /* Content-Length, or -1 */
    char content_type[TRANSFER_VALUE_MAX];
    char location[4 * TRANSFER_VALUE_MAX];
    char digest[TRANSFER_VALUE_MAX];
    char etag[TRANSFER_VALUE_MAX];
    char range[128];         /* of an upload: "0-1023" */
    char content_range[128]; /* "bytes 0-1/2" */
    char challenge[4 * TRANSFER_VALUE_MAX];
    char text[TRANSFER_TEXT_MAX + 1]; /* the start of an error's body */
    size_t text_len;
};

/*
 * Send and wait; t's answer is filled.
 * Inputs: auth is the value of Authorization, or "".
 * Errors: ERR_IO, ERR_PROTOCOL, ERR_DENIED (refused address), ERR_CANCELLED
 *         or the sink's; t->fault tells their kind.  A status is no error.
 * Thread: any, one transfer per handle at a time.
 */
must_check int transfer_run(CURL *h, const struct transfer_route *route,
                            const char *url, const char *auth,
                            struct transfer *t, struct err *e);

#endif
