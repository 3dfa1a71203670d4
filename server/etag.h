/*
 * Entity tags and the conditions of a request.  Ours are strong and are the
 * digest in quotes, so two tags are equal exactly when the bytes are.
 * Spec: RFC 9110, sections 8.8.3 and 13.
 */
#ifndef BERTH_SERVER_ETAG_H
#define BERTH_SERVER_ETAG_H

#include "server/http/http.h"
#include "storage/store.h"

struct etag {
    struct slice text; /* between the quotes */
    bool is_weak;      /* W/"..." */
    bool is_any;       /* "*" */
};

/* Cut the next tag off a list: 1 with *out, 0 at the end, -1: malformed. */
must_check int etag_next(struct slice *rest, struct etag *out);

/*
 * Does a header (in all its lines) name this digest, or "*"?  A malformed
 * list names nothing.  weak: W/"x" counts as "x", as for If-None-Match.
 */
bool etag_is_listed(const struct http_exchange *x, const char *header,
                    const struct digest *d, bool weak);

/* Is the If-Range header, if there is one, this digest's strong tag? */
bool etag_allows_range(const struct http_exchange *x, const struct digest *d);

/*
 * Read If-Match and If-None-Match for a write.
 * Errors: ERR_INVALID when one is malformed or lists too many.
 */
must_check int etag_read_condition(const struct http_exchange *x,
                                   struct store_condition *out, struct err *e);

#endif
