/*
 * libFuzzer target for what names something: paths, repositories, tags,
 * digests, patterns.
 *
 * Input: the bytes of a path, not terminated.
 * Checked: a route is made of the path's own parts and gives the path again;
 * the repository of a route is a legal name; what a grammar accepts
 * round-trips.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/pattern.h"
#include "server/router.h"
#include "storage/digest.h"
#include "storage/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What stands between the repository and the reference. */
static const char *middle(enum route_kind kind)
{
    switch (kind) {
    case ROUTE_BLOB:
        return "/blobs/";
    case ROUTE_UPLOADS:
    case ROUTE_UPLOAD:
        return "/blobs/uploads/";
    case ROUTE_MANIFEST:
        return "/manifests/";
    case ROUTE_TAGS:
        return "/tags/";
    case ROUTE_REFERRERS:
        return "/referrers/";
    case ROUTE_NONE:
    case ROUTE_BAD_NAME:
    case ROUTE_PING:
    case ROUTE_CATALOG:
    case ROUTE_LIVEZ:
    case ROUTE_READYZ:
    default:
        return NULL;
    }
}

static void check_route(const char *path)
{
    struct route r = router_parse(path);
    const char *between = middle(r.kind);
    char *again;

    if (!between)
        return;
    berth_assert(name_is_repository(r.name));
    berth_assert(r.name.p == path + 4);
    berth_assert(!r.ref.n || !memchr(r.ref.p, '/', r.ref.n));
    if (r.kind == ROUTE_UPLOADS)
        r.ref.n = 0; /* "uploads" itself, or nothing behind the slash */
    berth_assert(asprintf(&again, "/v2/%.*s%s%.*s", (int)r.name.n, r.name.p,
                          between, (int)r.ref.n, r.ref.n ? r.ref.p : "") >= 0);
    berth_assert(strncmp(again, path, strlen(path)) == 0);
    berth_assert(strlen(again) - strlen(path) <= 1);
    free(again);
}

static void check_digest(struct slice s)
{
    char text[DIGEST_TEXT_MAX];
    struct digest d, again;

    if (digest_parse(s, &d) != DIGEST_OK)
        return;
    berth_assert(slice_is(s, digest_format(&d, text)));
    berth_assert(digest_from_key(d.key, digest_key_len(&d), &again));
    berth_assert(digest_eq(&d, &again));
}

static void check_names(struct slice s)
{
    if (name_is_tag(s)) {
        berth_assert(s.n >= 1 && s.n <= TAG_MAX_LEN);
        berth_assert(!memchr(s.p, '/', s.n) && !memchr(s.p, ':', s.n));
        berth_assert(s.p[0] != '.' && s.p[0] != '-');
    }
    if (name_is_repository(s)) {
        berth_assert(s.n >= 1 && s.n <= NAME_MAX_LEN);
        berth_assert(s.p[0] != '/' && s.p[s.n - 1] != '/');
        berth_assert(s.p[0] != '.');
        /* A name is the pattern that matches itself. */
        berth_assert(pattern_is_valid(s) && pattern_matches(s, s));
        berth_assert(pattern_matches(slice_of("**"), s));
    }
}

/* The first half as a pattern, the second as a name. */
static void check_pattern(struct slice s)
{
    struct slice pattern = {s.p, s.n / 2};
    struct slice name = {s.p + s.n / 2, s.n - s.n / 2};

    if (pattern_is_valid(pattern) && pattern_matches(pattern, name) &&
        !memchr(pattern.p, '*', pattern.n))
        berth_assert(slice_eq(pattern, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = {NULL, size};
    char *path = malloc(size + 1), *bare = malloc(size + !size);

    berth_assert(path && bare);
    memcpy(path, data, size);
    path[size] = '\0';
    check_route(path);
    /* Without a terminator, so that a read behind the end is seen. */
    if (size)
        memcpy(bare, data, size);
    s.p = bare;
    check_digest(s);
    check_names(s);
    check_pattern(s);
    free(path);
    free(bare);
    return 0;
}
