/* Paths to routes, among them names that look like routes. */
#include "server/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

struct row {
    const char *path;
    enum route_kind kind;
    const char *name, *ref;
};

static const struct row rows[] = {
    {"/v2", ROUTE_PING, "", ""},
    {"/v2/", ROUTE_PING, "", ""},
    {"/v2/_catalog", ROUTE_CATALOG, "", ""},
    {"/livez", ROUTE_LIVEZ, "", ""},
    {"/readyz", ROUTE_READYZ, "", ""},
    {"/", ROUTE_NONE, "", ""},
    {"/v1/search", ROUTE_NONE, "", ""},
    {"/v2/a/nothing", ROUTE_NONE, NULL, NULL},
    {"/v2/a", ROUTE_NONE, NULL, NULL},
    {"/v2/a/tags/list", ROUTE_TAGS, "a", "list"},
    {"/v2/a/tags/list/tags/list", ROUTE_TAGS, "a/tags/list", "list"},
    {"/v2/a/manifests/v1", ROUTE_MANIFEST, "a", "v1"},
    {"/v2/manifests/manifests/manifests", ROUTE_MANIFEST, "manifests",
     "manifests"},
    {"/v2/a/blobs/sha256:x", ROUTE_BLOB, "a", "sha256:x"},
    {"/v2/a/b/c/blobs/x", ROUTE_BLOB, "a/b/c", "x"},
    {"/v2/a/referrers/x", ROUTE_REFERRERS, "a", "x"},
    {"/v2/a/blobs/uploads/", ROUTE_UPLOADS, "a", ""},
    {"/v2/a/blobs/uploads", ROUTE_UPLOADS, "a", NULL},
    {"/v2/a/blobs/uploads/id", ROUTE_UPLOAD, "a", "id"},
    {"/v2/blobs/uploads/blobs/uploads/id", ROUTE_UPLOAD, "blobs/uploads", "id"},
    {"/v2/a/blobs/uploads/blobs/x", ROUTE_BLOB, "a/blobs/uploads", "x"},
    {"/v2/a/blobs/uploadz/", ROUTE_NONE, NULL, NULL},
    {"/v2/a/blobz/uploads/", ROUTE_NONE, NULL, NULL},
    {"/v2/a/manifests/", ROUTE_NONE, NULL, NULL},
    {"/v2/a/tags/lisp", ROUTE_NONE, NULL, NULL},
    {"/v2/a/blobz/uploads/id", ROUTE_NONE, NULL, NULL},
    {"/v2/A/blobs/uploads/", ROUTE_BAD_NAME, "A", NULL},
    {"/v2/A/tags/list", ROUTE_BAD_NAME, "A", NULL},
    {"/v2//tags/list", ROUTE_BAD_NAME, "", NULL},
    {"/v2/tags/list", ROUTE_BAD_NAME, "", NULL},
    {"/v2/a//blobs/x", ROUTE_BAD_NAME, NULL, NULL},
    {NULL, ROUTE_BAD_NAME, "", ""},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct route r = router_parse(rows[i].path);

        if (r.kind != rows[i].kind)
            fail_msg("%s: kind %d", rows[i].path ? rows[i].path : "(null)",
                     (int)r.kind);
        if (rows[i].name && r.kind != ROUTE_NONE)
            assert_true(slice_is(r.name, rows[i].name));
        if (rows[i].ref && r.kind != ROUTE_NONE)
            assert_true(slice_is(r.ref, rows[i].ref));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
