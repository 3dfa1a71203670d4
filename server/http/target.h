/*
 * The request target: path and query, percent-decoded exactly once.
 *
 * Nothing is normalised: a path that another program might read differently
 * (encoded slash, dot segments, double encoding) is refused, not repaired.
 */
#ifndef BERTH_SERVER_HTTP_TARGET_H
#define BERTH_SERVER_HTTP_TARGET_H

#include "base/arena.h"
#include "server/http/http.h"

/*
 * Decode a path (see http_path() for what is illegal) into a NUL-terminated
 * arena string; NULL when it is illegal or memory is out.
 */
char *target_path(struct arena *a, struct slice raw);
/* See http_query_next(); query is what follows '?'. */
must_check int target_query_next(struct arena *a, struct slice query,
                                 size_t *pos, struct http_param *out);

#endif
