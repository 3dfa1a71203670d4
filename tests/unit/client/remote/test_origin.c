/* Where a registry may send us: origins, redirects, internal addresses. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/remote/origin.h"

static void test_origins(void **state)
{
    static const struct {
        const char *a, *b;
        bool is_same;
    } pairs[] = {
        {"https://r.example/v2/", "https://R.Example:443/x?y", true},
        {"https://r.example", "https://r.example.:443", false},
        {"https://r.example", "http://r.example", false},
        {"https://r.example", "https://r.example:444", false},
        {"https://r.example", "https://r.example.evil", false},
        {"http://127.0.0.1:5000/", "http://0x7f.1:5000/a", true},
        {"http://[::1]:5000", "http://[0:0::1]:5000/", true},
        {"http://localhost:5000", "http://127.0.0.1:5000", false},
    };
    (void)state;
    for (size_t i = 0; i < array_len(pairs); i++) {
        struct origin a, b;
        struct err e;
        assert_int_equal(origin_parse(pairs[i].a, &a, &e), 0);
        assert_int_equal(origin_parse(pairs[i].b, &b, &e), 0);
        if (origin_same(&a, &b) != pairs[i].is_same)
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
    }
}

static void test_bad_urls(void **state)
{
    static const char *const bad[] = {
        "",
        "r.example/x",
        "ftp://r.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "https://user@r.example/",
        "https://user:pw@r.example/",
        "https://r.example@evil.example/",
        "https://r.example/a b",
        "https://r.example/\x1b[31m",
        "https://r.example:0/",
        "https://r.example:99999/",
        "https://[fe80::1%25eth0]/",
        "https://",
        "https://r.ex\xc3\xa4mple/",
        "https://0x7%66.1/", /* 0x7f.1 when decoded: 127.0.0.1 */
        "https://33%333333333/",
    };
    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        struct origin o;
        struct err e;
        if (origin_parse(bad[i], &o, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(e.code, ERR_PROTOCOL);
        assert_null(strchr(e.msg, 0x1b));
    }
}

static void test_resolve(void **state)
{
    static const struct {
        const char *location, *url;
    } cases[] = {
        {"/v2/a/blobs/uploads/1?s=2", "https://r.example/v2/a/blobs/uploads/1"
                                      "?s=2"},
        {"x", "https://r.example/v2/a/blobs/x"},
        {"?q", "https://r.example/v2/a/blobs/uploads?q"},
        {"//cdn.example/y", "https://cdn.example/y"},
        {"http://cdn.example/y#f", "http://cdn.example/y"},
    };
    char out[ORIGIN_URL_MAX];
    struct err e;
    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        assert_int_equal(origin_resolve("https://r.example/v2/a/blobs/uploads",
                                        cases[i].location, out, &e),
                         0);
        assert_string_equal(out, cases[i].url);
    }
    assert_int_equal(
        origin_resolve("https://r.example/", "file:///etc/passwd", out, &e),
        -1);
    assert_int_equal(
        origin_resolve("https://r.example/", "https://u:p@r.example/", out, &e),
        -1);
    assert_int_equal(
        origin_resolve("https://r.example/", "//33%333333333#x", out, &e), -1);
    char big[ORIGIN_URL_MAX + 16];
    memset(big, 'a', sizeof(big));
    big[0] = '/';
    big[sizeof(big) - 1] = '\0';
    assert_int_equal(origin_resolve("https://r.example/", big, out, &e), -1);
}

static enum reach reach_of(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return origin_reach((const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return origin_reach((const struct sockaddr *)&v6);
}

static void test_reach(void **state)
{
    static const struct {
        const char *address;
        enum reach reach;
    } cases[] = {
        {"8.8.8.8", REACH_PUBLIC},
        {"9.255.255.255", REACH_PUBLIC},
        {"11.0.0.0", REACH_PUBLIC},
        {"172.15.255.255", REACH_PUBLIC},
        {"172.32.0.0", REACH_PUBLIC},
        {"100.63.255.255", REACH_PUBLIC},
        {"100.128.0.0", REACH_PUBLIC},
        {"10.0.0.1", REACH_PRIVATE},
        {"172.16.0.1", REACH_PRIVATE},
        {"172.31.255.255", REACH_PRIVATE},
        {"192.168.1.1", REACH_PRIVATE},
        {"100.64.0.1", REACH_PRIVATE},
        {"127.0.0.1", REACH_HOST},
        {"127.255.255.254", REACH_HOST},
        {"0.0.0.0", REACH_HOST},
        {"169.254.169.254", REACH_NEVER},
        {"169.254.0.1", REACH_NEVER},
        {"100.100.100.200", REACH_NEVER},
        {"224.0.0.1", REACH_NEVER},
        {"255.255.255.255", REACH_NEVER},
        {"2606:4700::1", REACH_PUBLIC},
        {"::1", REACH_HOST},
        {"::", REACH_HOST},
        {"::2", REACH_NEVER},
        {"fe80::1", REACH_NEVER},
        {"ff02::1", REACH_NEVER},
        {"fc00::1", REACH_PRIVATE},
        {"fd12::1", REACH_PRIVATE},
        {"fd00:ec2::254", REACH_NEVER},
        {"::ffff:127.0.0.1", REACH_HOST},
        {"::ffff:169.254.169.254", REACH_NEVER},
        {"::ffff:8.8.8.8", REACH_PUBLIC},
        {"64:ff9b::a00:1", REACH_PRIVATE},
        {"64:ff9b::a9fe:a9fe", REACH_NEVER},
        {"2002:7f00:1::", REACH_HOST},
    };
    struct sockaddr local = {.sa_family = AF_UNIX};
    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        if (reach_of(cases[i].address) != cases[i].reach)
            fail_msg("%s", cases[i].address);
    }
    assert_int_equal(origin_reach(&local), REACH_NEVER);
}

static void test_may_reach(void **state)
{
    (void)state;
    for (int from = REACH_PUBLIC; from <= REACH_NEVER; from++) {
        for (int to = REACH_PUBLIC; to <= REACH_NEVER; to++) {
            bool want = to != REACH_NEVER && to <= from;
            assert_int_equal(origin_may_reach((enum reach)from, (enum reach)to),
                             want);
        }
    }
}

static void test_redirects(void **state)
{
    static const struct {
        struct redirect r;
        const char *url; /* NULL: refused */
    } cases[] = {
        {{"GET", "https://r/a", "https://cdn/b", 0}, "https://cdn/b"},
        {{"HEAD", "https://r/a", "/b", 4}, "https://r/b"},
        {{"GET", "http://r/a", "https://cdn/b", 0}, "https://cdn/b"},
        {{"GET", "http://r/a", "http://cdn/b", 0}, "http://cdn/b"},
        {{"GET", "https://r/a", "http://cdn/b", 0}, NULL},
        {{"GET", "https://r/a", "http://r/b", 0}, NULL},
        {{"GET", "https://r/a", "/b", 5}, NULL},
        {{"GET", "https://r/a", "", 0}, NULL},
        {{"GET", "https://r/a", "ftp://r/b", 0}, NULL},
        {{"PUT", "https://r/a", "/b", 0}, NULL},
        {{"PATCH", "https://r/a", "/b", 0}, NULL},
        {{"POST", "https://r/a", "/b", 0}, NULL},
        {{"DELETE", "https://r/a", "/b", 0}, NULL},
    };
    char out[ORIGIN_URL_MAX];
    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        struct err e;
        int rc = origin_redirect(&cases[i].r, out, &e);
        assert_int_equal(rc, cases[i].url != NULL ? 0 : -1);
        if (rc == 0)
            assert_string_equal(out, cases[i].url);
        else
            assert_int_equal(e.code, ERR_PROTOCOL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origins),   cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_resolve),   cmocka_unit_test(test_reach),
        cmocka_unit_test(test_may_reach), cmocka_unit_test(test_redirects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
