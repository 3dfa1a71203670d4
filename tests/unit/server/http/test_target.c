/* Paths and queries: decoded once, or refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "server/http/target.h"

static const struct {
    const char *raw, *want; /* NULL: illegal */
} paths[] = {
    {"/", "/"},
    {"/v2", "/v2"},
    {"/v2/", "/v2/"},
    {"/v2/a/blobs/sha256%3Aab", "/v2/a/blobs/sha256:ab"},
    {"/v2/%61/b", "/v2/a/b"},
    {"/v2/%C3%A9", "/v2/\xc3\xa9"},
    {"/v2/%", NULL},
    {"/v2/%4", NULL},
    {"/v2/%4g", NULL},
    {"/v2/%00", NULL},
    {"/v2/%0a", NULL},
    {"/v2/%7f", NULL},
    {"/v2/a%2fb", NULL},
    {"/v2/a%2Fb", NULL},
    {"/v2/a%5cb", NULL},
    {"/v2/a%2561", NULL},
    {"/v2/./a", NULL},
    {"/v2/../a", NULL},
    {"/v2/..", NULL},
    {"/v2/.", NULL},
    {"/v2/%2e%2e/a", NULL},
    {"/v2/.%2e/a", NULL},
    {"/v2//a", NULL},
    {"//v2/a", NULL},
    {"/v2/a//", NULL},
    {"/v2/...", "/v2/..."},
    {"/v2/.a", "/v2/.a"},
    {"/v2/%c0%ae", NULL},
    {"/v2/%e0%80%af", NULL},
    {"/v2/%ff", NULL},
    {"/v2/%ed%a0%80", NULL},
    {"/v2/%f4%90%80%80", NULL},
    {"/v2/%c3", NULL},
};

static void test_paths(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(paths); i++) {
        struct arena a;
        const char *got;

        arena_init(&a, 4096);
        got = target_path(&a, slice_of(paths[i].raw));
        if (!got != !paths[i].want || (got && strcmp(got, paths[i].want)))
            fail_msg("%s: got %s", paths[i].raw, got ? got : "(refused)");
        arena_free(&a);
    }
}

static void test_query(void **state)
{
    static const char text[] = "&a=1&b=%2F+x&&c&=d&e=f=g";
    static const char *const want[] = {"a", "1", "b", "/ x", "c",
                                       "",  "",  "d", "e",   "f=g"};
    struct arena a;
    struct http_param p;
    size_t pos = 0, i = 0;
    int rc;

    (void)state;
    arena_init(&a, 4096);
    while ((rc = target_query_next(&a, slice_of(text), &pos, &p)) > 0) {
        assert_true(i + 1 < array_len(want));
        assert_string_equal(p.name.p, want[i++]);
        assert_string_equal(p.value.p, want[i++]);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(i, array_len(want));
    pos = 0;
    assert_int_equal(target_query_next(&a, slice_of("a=%0"), &pos, &p), -1);
    pos = 0;
    assert_int_equal(target_query_next(&a, slice_of("a=%00"), &pos, &p), -1);
    pos = 0;
    assert_int_equal(target_query_next(&a, slice_of("%zz=1"), &pos, &p), -1);
    arena_free(&a);
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {"",          "127.0.0.1",    ":5000",
                                      "a:1",       "127.0.0.1:x",  "[::1]",
                                      "::1:5000:", "1.2.3.4:65536"};
    struct err e;
    bool is_loopback = false;

    (void)state;
    assert_int_equal(http_address_check("127.0.0.1:0", &is_loopback, &e), 0);
    assert_true(is_loopback);
    assert_int_equal(http_address_check("[::1]:5000", &is_loopback, &e), 0);
    assert_true(is_loopback);
    assert_int_equal(http_address_check("0.0.0.0:5000", &is_loopback, &e), 0);
    assert_false(is_loopback);
    assert_int_equal(http_address_check("[::]:5000", &is_loopback, &e), 0);
    assert_false(is_loopback);
    for (size_t i = 0; i < array_len(bad); i++) {
        e.code = ERR_NONE;
        assert_int_equal(http_address_check(bad[i], NULL, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
