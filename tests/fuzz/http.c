/*
 * libFuzzer target for what parses bytes of strangers in the HTTP engine:
 * head, path, query and body framing.
 *
 * Input: two bytes say where to split, the rest is a connection's bytes.
 * Checked besides memory errors: split and whole give the same result, and so
 * do bytes received as the decoder asks for them, of which few are read beyond
 * the body; an accepted path stays inside its segments, payload never exceeds
 * input.
 * `make fuzz` runs it; the corpus is replayed by the unit test test_fuzz.
 */
#include <stdlib.h>
#include <string.h>

#include "server/http/body.h"
#include "server/http/head.h"
#include "server/http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define AHEAD 16
#define ROOM  64 /* of a receive buffer */

struct decoded {
    enum body_result result;
    size_t used, len;
};

static enum head_result parse(struct head *h, const struct http_limits *l,
                              const char *p, size_t n, size_t at)
{
    enum head_result r;

    head_init(h, l);
    r = head_feed(h, p, at);
    return r == HEAD_MORE ? head_feed(h, p, n) : r;
}

static void check_target(const struct head *h, const char *p)
{
    struct http_param param;
    struct arena a;
    size_t pos = 0;
    char *path;
    int rc;

    arena_init(&a, 1024 * 1024);
    path = target_path(&a, head_slice(p, h->path));
    if (path) {
        berth_assert(path[0] == '/' && !strstr(path, "/../"));
        berth_assert(!strstr(path, "//") && !strstr(path, "/./"));
        berth_assert(strlen(path) <= h->path.len);
    }
    do
        rc = target_query_next(&a, head_slice(p, h->query), &pos, &param);
    while (rc > 0);
    berth_assert(rc < 0 || pos >= h->query.len);
    arena_free(&a);
}

static void piece(struct body *b, char *p, size_t n, char *out,
                  struct decoded *d)
{
    size_t used = 0, len = 0;

    if (d->result != BODY_MORE || n == 0)
        return;
    d->result = b->ops->decode(b, p, n, &used, &len);
    berth_assert(used <= n && len <= used);
    berth_assert(d->result != BODY_MORE || used == n);
    memcpy(out + d->len, p, len);
    d->used += used;
    d->len += len;
}

static void start_body(struct body *b, const struct head *h)
{
    if (h->is_chunked)
        body_init_chunked(b, AHEAD);
    else
        body_init_length(b, h->length);
}

static struct decoded decode(const struct head *h, const char *p, size_t n,
                             size_t at, char *out)
{
    struct decoded d = {BODY_MORE, 0, 0};
    char *copy = malloc(n + 1);
    struct body b;

    berth_assert(copy);
    memcpy(copy, p, n);
    start_body(&b, h);
    piece(&b, copy, at, out, &d);
    piece(&b, copy + at, n - at, out, &d);
    free(copy);
    return d;
}

/* As the engine receives: what want() says, while there is something. */
static struct decoded receive(const struct head *h, const char *p, size_t n,
                              char *out)
{
    struct decoded d = {BODY_MORE, 0, 0};
    size_t at = 0;
    struct body b;

    start_body(&b, h);
    while (d.result == BODY_MORE && at < n) {
        char some[ROOM];
        size_t want = b.ops->want(&b, ROOM);
        size_t take = want < n - at ? want : n - at;

        berth_assert(want >= 1 && want <= ROOM);
        memcpy(some, p + at, take);
        piece(&b, some, take, out, &d);
        at += take;
    }
    berth_assert(d.result == BODY_BAD || at - d.used < AHEAD);
    return d;
}

static void check_same(const struct decoded *a, const char *one,
                       const struct decoded *b, const char *two)
{
    berth_assert(a->result == b->result && a->len == b->len);
    berth_assert(a->result == BODY_BAD || a->used == b->used);
    berth_assert(memcmp(one, two, a->len) == 0);
}

static void check_body(const struct head *h, const char *p, size_t n, size_t at)
{
    char *one = malloc(n + 1), *two = malloc(n + 1);
    struct decoded a, b;

    berth_assert(one && two);
    a = decode(h, p, n, n, one);
    b = decode(h, p, n, n ? at % n : 0, two);
    check_same(&a, one, &b, two);
    b = receive(h, p, n, two);
    check_same(&a, one, &b, two);
    free(one);
    free(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_limits limits;
    struct head whole, split;
    enum head_result r;
    size_t at, n;
    char *p;

    if (size < 2)
        return 0;
    at = (size_t)data[0] * 256 + data[1];
    n = size - 2;
    p = malloc(n + 1);
    berth_assert(p);
    memcpy(p, data + 2, n);
    http_limits_default(&limits);
    r = parse(&whole, &limits, p, n, n);
    berth_assert(parse(&split, &limits, p, n, n ? at % n : 0) == r);
    berth_assert(whole.status == split.status && whole.scan == split.scan);
    berth_assert(whole.length == split.length);
    berth_assert(whole.header_count == split.header_count);
    if (r == HEAD_DONE) {
        check_target(&whole, p);
        if (whole.is_chunked || whole.length > 0)
            check_body(&whole, p + whole.scan, n - whole.scan, at);
    }
    free(p);
    return 0;
}
