/* Counting connections by source address. */
#include "server/http/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <string.h>
#include <cmocka.h>

#include "base/defs.h"

static struct peer *enter(struct peers *p, const char *text)
{
    struct ip ip;

    assert_true(ip_parse(slice_of(text), &ip));
    return peers_enter(p, &ip, 2);
}

static void test_limit(void **state)
{
    static struct peers p;
    struct peer *a, *b, *c;

    (void)state;
    peers_init(&p);
    a = enter(&p, "192.0.2.1");
    b = enter(&p, "192.0.2.1");
    assert_ptr_equal(a, b);
    assert_null(enter(&p, "192.0.2.1"));
    c = enter(&p, "192.0.2.2");
    assert_non_null(c);
    peers_leave(&p, a);
    assert_ptr_equal(enter(&p, "192.0.2.1"), b);
    peers_leave(&p, b);
    peers_leave(&p, b);
    peers_leave(&p, c);
    peers_leave(&p, NULL);
    peers_free(&p); /* asserts that nobody is left */
}

/* One host has a whole /64; a mapped IPv4 address is that IPv4 address. */
static void test_what_is_one_address(void **state)
{
    static struct peers p;
    struct peer *net, *other, *four;

    (void)state;
    peers_init(&p);
    net = enter(&p, "2001:db8::1");
    assert_ptr_equal(enter(&p, "2001:db8::ffff:1:2:3"), net);
    assert_null(enter(&p, "2001:db8::2"));
    other = enter(&p, "2001:db8:0:1::1");
    assert_ptr_not_equal(other, net);
    four = enter(&p, "192.0.2.7");
    assert_ptr_equal(enter(&p, "::ffff:192.0.2.7"), four);
    peers_leave(&p, net);
    peers_leave(&p, net);
    peers_leave(&p, other);
    peers_leave(&p, four);
    peers_leave(&p, four);
    peers_free(&p);
}

/* Far more addresses than buckets, in and out again. */
static void test_many(void **state)
{
    static struct peer *all[20000];
    static struct peers p;
    char text[INET_ADDRSTRLEN];

    (void)state;
    peers_init(&p);
    for (size_t i = 0; i < array_len(all); i++) {
        struct in_addr a = {htonl(0x0a000000U + (uint32_t)i)};

        all[i] = enter(&p, inet_ntop(AF_INET, &a, text, sizeof(text)));
        assert_non_null(all[i]);
    }
    for (size_t i = 0; i < array_len(all); i++)
        peers_leave(&p, all[i]);
    peers_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_what_is_one_address),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
