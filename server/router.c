#include "server/router.h"

#include <string.h>

#include "storage/name.h"

/* Cut the last segment off *rest and return it. */
static struct slice pop(struct slice *rest)
{
    size_t i = rest->n;
    struct slice last;

    while (i > 0 && rest->p[i - 1] != '/')
        i--;
    last = (struct slice){rest->p + i, rest->n - i};
    rest->n = i > 0 ? i - 1 : 0;
    return last;
}

static struct route named(enum route_kind kind, struct slice name,
                          struct slice ref)
{
    struct route r = {kind, name, ref};

    if (!name_is_repository(name))
        r.kind = ROUTE_BAD_NAME;
    return r;
}

static struct route parse_repository_path(struct slice rest)
{
    struct slice last = pop(&rest), before = pop(&rest), name = rest;

    /* A trailing slash is right only on the uploads collection. */
    if (last.n == 0) {
        struct slice third = pop(&name);

        if (slice_is(before, "uploads") && slice_is(third, "blobs"))
            return named(ROUTE_UPLOADS, name, last);
        return named(ROUTE_NONE, rest, last);
    }
    if (slice_is(before, "blobs"))
        return named(slice_is(last, "uploads") ? ROUTE_UPLOADS : ROUTE_BLOB,
                     rest, last);
    if (slice_is(before, "manifests"))
        return named(ROUTE_MANIFEST, rest, last);
    if (slice_is(before, "referrers"))
        return named(ROUTE_REFERRERS, rest, last);
    if (slice_is(before, "tags") && slice_is(last, "list"))
        return named(ROUTE_TAGS, rest, last);
    if (slice_is(before, "uploads") && slice_is(pop(&name), "blobs"))
        return named(ROUTE_UPLOAD, name, last);
    return (struct route){.kind = ROUTE_NONE};
}

struct route router_parse(const char *path)
{
    if (!path)
        return (struct route){.kind = ROUTE_BAD_NAME};
    if (strcmp(path, "/v2") == 0 || strcmp(path, "/v2/") == 0)
        return (struct route){.kind = ROUTE_PING};
    if (strcmp(path, "/v2/_catalog") == 0)
        return (struct route){.kind = ROUTE_CATALOG};
    if (strcmp(path, "/livez") == 0)
        return (struct route){.kind = ROUTE_LIVEZ};
    if (strcmp(path, "/readyz") == 0)
        return (struct route){.kind = ROUTE_READYZ};
    if (strncmp(path, "/v2/", 4) != 0)
        return (struct route){.kind = ROUTE_NONE};
    return parse_repository_path(slice_of(path + 4));
}
