/* Addresses and networks as text. */
#include "server/http/ip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/defs.h"

static struct ip ip(const char *text)
{
    struct ip out;

    if (!ip_parse(slice_of(text), &out))
        fail_msg("%s is an address", text);
    return out;
}

static void test_text(void **state)
{
    static const char *const pairs[][2] = {
        {"192.0.2.1", "192.0.2.1"},         {"::1", "::1"},
        {"2001:DB8:0:0::1", "2001:db8::1"}, {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::ffff:c000:201", "192.0.2.1"},   {"::", "::"},
    };
    char text[IP_TEXT];

    (void)state;
    for (size_t i = 0; i < array_len(pairs); i++) {
        struct ip one = ip(pairs[i][0]);

        ip_format(&one, text);
        assert_string_equal(text, pairs[i][1]);
    }
}

static void test_no_address(void **state)
{
    static const char *const texts[] = {
        "",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "0x1.2.3.4",
        "1.2.3.4:80",
        "[::1]",
        "::1%lo",
        ":::",
        "1::2::3",
        "localhost",
        "1:2:3:4:5:6:7",
        "g::",
        "16909060",
        "+1.2.3.4",
        "1.2.3.4/32",
        "-",
        "1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19",
    };
    struct ip out;

    (void)state;
    for (size_t i = 0; i < array_len(texts); i++)
        if (ip_parse(slice_of(texts[i]), &out))
            fail_msg("<%s> is no address", texts[i]);
    assert_false(ip_parse((struct slice){"1.2.3.4\0", 8}, &out));
}

static void test_socket(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(0xc0000201)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct ip a = ip_of((struct sockaddr *)&v4), b = ip("192.0.2.1");

    (void)state;
    assert_memory_equal(&a, &b, sizeof(a));
    assert_true(ip_is_v4(&a));
    a = ip_of((struct sockaddr *)&v6);
    assert_false(ip_is_v4(&a));
    assert_true(ip_is_loopback(&a));
    a = ip_of(&other);
    assert_false(ip_is_loopback(&a));
}

static void test_loopback(void **state)
{
    static const struct {
        const char *text;
        bool want;
    } rows[] = {
        {"127.0.0.1", true},        {"127.255.0.9", true}, {"::1", true},
        {"::ffff:127.0.0.1", true}, {"128.0.0.1", false},  {"::2", false},
        {"7f00::1", false},         {"::7f00:1", false},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct ip one = ip(rows[i].text);

        if (ip_is_loopback(&one) != rows[i].want)
            fail_msg("%s", rows[i].text);
    }
}

static void test_networks(void **state)
{
    static const struct {
        const char *net, *in, *out;
    } rows[] = {
        {"192.0.2.7", "192.0.2.7", "192.0.2.6"},
        {"192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
        {"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
        {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
        {"10.0.0.0/8", "::ffff:10.1.1.1", "::a01:101"},
        {"172.16.0.0/12", "172.31.0.0", "172.32.0.0"},
        {"0.0.0.0/0", "203.0.113.1", "2001:db8::1"},
        {"2001:db8::/32", "2001:db8:ffff::", "2001:db9::"},
        {"2001:db8::/127", "2001:db8::1", "2001:db8::2"},
        {"::1", "::1", "127.0.0.1"},
        {"::ffff:10.0.0.0/104", "10.2.3.4", "9.2.3.4"},
        {"::/1", "7fff::", "8000::"},
    };
    struct ip_net net;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct ip in = ip(rows[i].in), out = ip(rows[i].out);

        if (!ip_net_parse(slice_of(rows[i].net), &net))
            fail_msg("%s is a network", rows[i].net);
        if (!ip_net_has(&net, &in) || ip_net_has(&net, &out))
            fail_msg("%s: %s, %s", rows[i].net, rows[i].in, rows[i].out);
    }
    assert_true(ip_net_parse(slice_of("::/0"), &net));
}

static void test_no_network(void **state)
{
    static const char *const texts[] = {
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/-1",
        "10.0.0.0/8 ",
        "10.0.0.0/+8",
        "10.0.0.0/8/8",
        "::1/127",
        "2001:db8::/129",
        "10/8",
        "example.org",
        "*",
        "[::1]/128",
    };
    struct ip_net net;

    (void)state;
    for (size_t i = 0; i < array_len(texts); i++)
        if (ip_net_parse(slice_of(texts[i]), &net))
            fail_msg("<%s> is no network", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),     cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_socket),   cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_networks), cmocka_unit_test(test_no_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
