/*
 * From a path to a route.  Paths are read from the right, since `tags`,
 * `blobs`, `manifests` and `uploads` are legal parts of a repository's name.
 */
#ifndef BERTH_SERVER_ROUTER_H
#define BERTH_SERVER_ROUTER_H

#include "base/num.h"

enum route_kind {
    ROUTE_NONE,     /* no such path: 404 */
    ROUTE_BAD_NAME, /* a route, but the name breaks the grammar: 400 */
    ROUTE_PING,
    ROUTE_CATALOG,
    ROUTE_LIVEZ,
    ROUTE_READYZ,
    ROUTE_BLOB,
    ROUTE_UPLOADS, /* the collection */
    ROUTE_UPLOAD,  /* one session */
    ROUTE_MANIFEST,
    ROUTE_TAGS,
    ROUTE_REFERRERS,
};

struct route {
    enum route_kind kind;
    struct slice name; /* repository; views into the path */
    struct slice ref;  /* tag, digest or session id; not checked */
};

/*
 * Inputs: the decoded, validated path (http_path()), or NULL for an illegal
 *         one, which gives ROUTE_BAD_NAME.
 * Spec:   OCI distribution, endpoints.
 */
struct route router_parse(const char *path);

#endif
