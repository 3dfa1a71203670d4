/*
 * Who the client is: bytes of header lines in, one address out.
 *
 * 10.0.0.0/8 and fd00::/8 are trusted, and 10.0.0.1 is who is connected.
 */
#include "server/http/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/defs.h"

#define PROXY "10.0.0.1"

struct row {
    const char *lines[4]; /* in the order in which they came */
    const char *client;
};

static const struct row x_rows[] = {
    {{"192.0.2.9"}, "192.0.2.9"},
    {{"2001:db8::9"}, "2001:db8::9"},
    {{"[2001:db8::9]"}, "2001:db8::9"},
    {{"[2001:db8::9]:443"}, "2001:db8::9"},
    {{"192.0.2.9:65535"}, "192.0.2.9"},
    {{"::ffff:192.0.2.9"}, "192.0.2.9"},
    /* The nearest one that is not trusted; what stands before it is said by
     * itself. */
    {{"203.0.113.1, 192.0.2.9"}, "192.0.2.9"},
    {{"203.0.113.1,192.0.2.9"}, "192.0.2.9"},
    {{"203.0.113.1 \t,\t 192.0.2.9"}, "192.0.2.9"},
    {{"10.9.9.9, 192.0.2.9"}, "192.0.2.9"},
    {{"127.0.0.1, 192.0.2.9"}, "192.0.2.9"},
    {{"\"\", ',\x01\xff, <script>, 192.0.2.9"}, "192.0.2.9"},
    {{"\", 192.0.2.9"}, "192.0.2.9"},
    /* Chains of trusted ones. */
    {{"192.0.2.9, 10.0.0.2"}, "192.0.2.9"},
    {{"192.0.2.9, 10.0.0.3, fd00::7, 10.0.0.2"}, "192.0.2.9"},
    {{"203.0.113.1, 192.0.2.9, 10.0.0.2"}, "192.0.2.9"},
    {{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
    {{"10.0.0.2"}, "10.0.0.2"},
    /* Several lines are one list. */
    {{"203.0.113.1", "192.0.2.9"}, "192.0.2.9"},
    {{"192.0.2.9", "10.0.0.2"}, "192.0.2.9"},
    {{"203.0.113.1, 192.0.2.9", "10.0.0.3", "10.0.0.2"}, "192.0.2.9"},
    {{"203.0.113.1", "x", "10.0.0.2"}, "10.0.0.2"},
    /* What cannot be read ends it. */
    {{""}, PROXY},
    {{","}, PROXY},
    {{"192.0.2.9,"}, PROXY},
    {{"192.0.2.9, ,10.0.0.2"}, "10.0.0.2"},
    {{"unknown"}, PROXY},
    {{"_hidden"}, PROXY},
    {{"client.example"}, PROXY},
    {{"unix:"}, PROXY},
    {{"192.0.2.9 10.0.0.2"}, PROXY},
    {{"192.0.2.9;10.0.0.2"}, PROXY},
    {{"\"192.0.2.9\""}, PROXY},
    {{"192.0.2.9:"}, PROXY},
    {{"192.0.2.9:65536"}, PROXY},
    {{"192.0.2.9:+1"}, PROXY},
    {{"192.0.2.9:000080"}, PROXY},
    {{"192.0.2.9:80:80"}, PROXY},
    {{"[192.0.2.9]"}, PROXY},
    {{"[2001:db8::9"}, PROXY},
    {{"[2001:db8::9]x"}, PROXY},
    {{"[2001:db8::9]:"}, PROXY},
    {{"[]"}, PROXY},
    {{"2001:db8::9%eth0"}, PROXY},
    {{"192.0.2.09"}, PROXY},
    {{"192.0.2"}, PROXY},
    {{"for=192.0.2.9"}, PROXY},
    {{NULL}, PROXY},
};

static const struct row rfc7239_rows[] = {
    {{"for=192.0.2.9"}, "192.0.2.9"},
    {{"For=\"192.0.2.9\""}, "192.0.2.9"},
    {{"FOR=\"192.0.2.9:47011\";proto=https;by=10.0.0.1"}, "192.0.2.9"},
    {{"proto=http;for=192.0.2.9;host=\"a,b;c\\\"d\""}, "192.0.2.9"},
    {{"for=\"[2001:db8::9]\""}, "2001:db8::9"},
    {{"for=\"[2001:db8::9]:443\""}, "2001:db8::9"},
    {{"for=203.0.113.1, for=192.0.2.9"}, "192.0.2.9"},
    {{"for=192.0.2.9, for=\"[fd00::7]\""}, "192.0.2.9"},
    {{"for=192.0.2.9", "for=10.0.0.2;by=10.0.0.1"}, "192.0.2.9"},
    /* Rubbish of the client's before it does not change how it is read ... */
    {{"for=\", for=192.0.2.9"}, "192.0.2.9"},
    {{"for=\"\\, for=192.0.2.9"}, "192.0.2.9"},
    {{"for=\"x, for=\"[2001:db8::9]\""}, "2001:db8::9"},
    {{"\xff;;=, for=192.0.2.9"}, "192.0.2.9"},
    /* ... nor does what a proxy copied into a quoted string. */
    {{"for=192.0.2.9;host=\"x\\\", for=203.0.113.1;y=\\\"z\""}, "192.0.2.9"},
    {{"for=192.0.2.9;host=\", for=203.0.113.1\""}, "192.0.2.9"},
    {{"for=192.0.2.9;host=\"\\\\\""}, "192.0.2.9"},
    {{"for=unknown"}, PROXY},
    {{"for=_hidden"}, PROXY},
    {{"for=192.0.2.9, for=unknown"}, PROXY},
    {{"for=192.0.2.9, for=_a, for=10.0.0.2"}, "10.0.0.2"},
    {{"proto=https"}, PROXY},
    {{"for=192.0.2.9;for=192.0.2.9"}, PROXY},
    {{"for=2001:db8::9"}, PROXY},
    {{"for=\"2001:db8::9\""}, PROXY},
    {{"for=192.0.2.9:80"}, PROXY},
    {{"for = 192.0.2.9"}, PROXY},
    {{"for=192.0.2.9; proto=http"}, PROXY},
    {{"for=192.0.2.9;"}, PROXY},
    {{"for=192.0.2.9 proto=http"}, PROXY},
    {{"for="}, PROXY},
    {{"for=\"\""}, PROXY},
    {{"for=\"192.0.2.9"}, PROXY},
    {{"for=\"192.0.2.9\\"}, PROXY},
    {{"for"}, PROXY},
    {{"=192.0.2.9"}, PROXY},
    {{"192.0.2.9"}, PROXY},
    {{""}, PROXY},
    {{NULL}, PROXY},
};

static struct forwarded_trust trust(bool is_rfc7239)
{
    struct forwarded_trust t = {.count = 2, .is_rfc7239 = is_rfc7239};

    assert_true(ip_net_parse(slice_of("10.0.0.0/8"), &t.nets[0]));
    assert_true(ip_net_parse(slice_of("fd00::/8"), &t.nets[1]));
    return t;
}

static void check(const struct forwarded_trust *t, const struct row *row)
{
    char text[IP_TEXT];
    struct ip client;
    size_t n = 0;
    bool goes_on = true;

    assert_true(ip_parse(slice_of(PROXY), &client));
    while (n < array_len(row->lines) && row->lines[n])
        n++;
    while (goes_on && n > 0)
        goes_on = forwarded_walk(t, slice_of(row->lines[--n]), &client);
    ip_format(&client, text);
    if (strcmp(text, row->client) != 0)
        fail_msg("<%s> ...: %s, want %s", row->lines[0], text, row->client);
}

static void test_x_forwarded_for(void **state)
{
    struct forwarded_trust t = trust(false);

    (void)state;
    assert_string_equal(forwarded_header(&t), "X-Forwarded-For");
    for (size_t i = 0; i < array_len(x_rows); i++)
        check(&t, &x_rows[i]);
}

static void test_rfc7239(void **state)
{
    struct forwarded_trust t = trust(true);

    (void)state;
    assert_string_equal(forwarded_header(&t), "Forwarded");
    for (size_t i = 0; i < array_len(rfc7239_rows); i++)
        check(&t, &rfc7239_rows[i]);
}

static void test_trust(void **state)
{
    struct forwarded_trust t = trust(false), none = {.count = 0};
    struct ip inside, outside;

    (void)state;
    assert_true(ip_parse(slice_of("fd00::1"), &inside));
    assert_true(ip_parse(slice_of("fc00::1"), &outside));
    assert_true(forwarded_is_trusted(&t, &inside));
    assert_false(forwarded_is_trusted(&t, &outside));
    assert_false(forwarded_is_trusted(&none, &inside));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x_forwarded_for),
        cmocka_unit_test(test_rfc7239),
        cmocka_unit_test(test_trust),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
