/* Image names: what docker accepts, refuses and fills in. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/store/reference.h"

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct {
    const char *text, *full, *familiar;
    bool loopback;
} good[] = {
    {"nginx", "docker.io/library/nginx:latest", "nginx", false},
    {"nginx:1.2", "docker.io/library/nginx:1.2", "nginx", false},
    {"a/b", "docker.io/a/b:latest", "a/b", false},
    {"docker.io/nginx", "docker.io/library/nginx:latest", "nginx", false},
    {"index.docker.io/a/b", "docker.io/a/b:latest", "a/b", false},
    {"localhost/x", "localhost/x:latest", "localhost/x", true},
    {"localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x", true},
    {"127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b",
     true},
    {"127.9.9.9/a", "127.9.9.9/a:latest", "127.9.9.9/a", true},
    {"127.0.0.1.example:80/a", "127.0.0.1.example:80/a:latest",
     "127.0.0.1.example:80/a", false},
    {"[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a", true},
    {"[fe80::1]/a", "[fe80::1]/a:latest", "[fe80::1]/a", false},
    {"reg.example/a@sha256:" HEX, "reg.example/a@sha256:" HEX, "reg.example/a",
     false},
    {"a:1@sha256:" HEX, "docker.io/library/a:1@sha256:" HEX, "a", false},
    {"x/a__b--c.d", "docker.io/x/a__b--c.d:latest", "x/a__b--c.d", false},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        struct reference r;
        struct err e = {.msg = ""};
        char out[REFERENCE_MAX];
        if (reference_parse(good[i].text, &r, &e) != 0)
            fail_msg("%s: %s", good[i].text, e.msg);
        reference_format(&r, out);
        assert_string_equal(out, good[i].full);
        reference_familiar(&r, out);
        assert_string_equal(out, good[i].familiar);
        assert_int_equal(reference_is_loopback(&r), good[i].loopback);
    }
}

static const char *const bad[] = {
    "",       ":",      "/",     "a/",    "/a",          "A",
    "a/B",    "a b",    "a:",    "a:-x",  "a:x:y",       "a..b",
    "a/../b", "-a",     "a-",    "a@",    "a@sha256:00", "a@sha512:00",
    "a@" HEX, "a_.b",   "h:/a",  "h:0/a", "h:99999/a",   "h:x/a",
    "h./a",   "[::1/a", "[]/a",  ".h/a",  "h..x:80/a",   "http://h/a",
    "a//b",   "a\n",    "a:x/b", "a%2fb", "a?b",
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        struct reference r;
        struct err e;
        if (reference_parse(bad[i], &r, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(e.code, ERR_INVALID);
    }
}

static void test_untagged(void **state)
{
    (void)state;
    struct reference r;
    struct err e;
    assert_int_equal(reference_parse_untagged("nginx", &r, &e), 0);
    assert_string_equal(r.tag, "");
    assert_string_equal(reference_host(&r), "registry-1.docker.io");
}

static void test_same_repository(void **state)
{
    (void)state;
    struct reference a, b, c;
    struct err e;
    assert_int_equal(reference_parse("nginx:1", &a, &e), 0);
    assert_int_equal(
        reference_parse("docker.io/library/nginx@sha256:" HEX, &b, &e), 0);
    assert_int_equal(reference_parse("localhost/library/nginx:1", &c, &e), 0);
    assert_true(reference_same_repository(&a, &b));
    assert_false(reference_same_repository(&a, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_untagged),
        cmocka_unit_test(test_same_repository),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
