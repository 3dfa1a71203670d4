/*
 * Body framing: chunked bodies good and bad, split at every byte boundary.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/defs.h"
#include "server/http/body.h"

#define ROW(text, want, payload)              \
    {                                         \
        text, sizeof(text) - 1, want, payload \
    }
#define AHEAD 10
#define X64   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256  X64 X64 X64 X64

static const struct {
    const char *text;
    size_t len;
    enum body_result want;
    const char *payload;
} rows[] = {
    ROW("0\r\n\r\n", BODY_END, ""),
    ROW("3\r\nabc\r\n0\r\n\r\n", BODY_END, "abc"),
    ROW("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET / HTTP/1.1", BODY_END, "abcde"),
    ROW("A\r\n0123456789\r\n00\r\n\r\n", BODY_END, "0123456789"),
    ROW("0000000000000003\r\nabc\r\n0\r\n\r\n", BODY_END, "abc"),
    ROW("3;a\r\nabc\r\n0;b=c;d=\"e f;\\\"\"\r\n\r\n", BODY_END, "abc"),
    ROW("3\r\nabc\r\n0\r\nA: b\r\nC:\r\n\r\n", BODY_END, "abc"),
    ROW("3\r\nab", BODY_MORE, "ab"),
    ROW("\r\nabc", BODY_BAD, ""),
    ROW("+3\r\nabc", BODY_BAD, ""),
    ROW("-3\r\nabc", BODY_BAD, ""),
    ROW("0x3\r\nabc", BODY_BAD, ""),
    ROW("3_0\r\nabc", BODY_BAD, ""),
    ROW(" 3\r\nabc", BODY_BAD, ""),
    ROW("3 \r\nabc", BODY_BAD, ""),
    ROW("3 ;a\r\nabc", BODY_BAD, ""),
    ROW("3;\r\nabc", BODY_BAD, ""),
    ROW("3;a=\r\nabc", BODY_BAD, ""),
    ROW("3;a=\"b\r\nabc", BODY_BAD, ""),
    ROW("3;a\x01\r\nabc", BODY_BAD, ""),
    ROW("3;" X256 "\r\nabc", BODY_BAD, ""),
    ROW("3\nabc\r\n", BODY_BAD, ""),
    ROW("3\r\rabc\r\n", BODY_BAD, ""),
    ROW("00000000000000003\r\nabc", BODY_BAD, ""),
    ROW("8000000000000000\r\nabc", BODY_BAD, ""),
    ROW("ffffffffffffffff\r\nabc", BODY_BAD, ""),
    ROW("3\r\nabcd\r\n", BODY_BAD, "abc"),
    ROW("3\r\nabc\n0\r\n\r\n", BODY_BAD, "abc"),
    ROW("3\r\nabc\r\r", BODY_BAD, "abc"),
    ROW("0\r\nA b: c\r\n\r\n", BODY_BAD, ""),
    ROW("0\r\n A: c\r\n\r\n", BODY_BAD, ""),
    ROW("0\r\n: c\r\n\r\n", BODY_BAD, ""),
    ROW("0\r\nA: c\n\r\n", BODY_BAD, ""),
    ROW("0\r\nA: c\r\n\n", BODY_BAD, ""),
    ROW("0\r\n\r\r", BODY_BAD, ""),
};

struct outcome {
    enum body_result result;
    size_t used, len;
    char payload[512];
};

static void piece(struct body *b, const char *p, size_t n, struct outcome *o)
{
    char *copy = malloc(n ? n : 1);
    size_t used = 0, out = 0;

    assert_non_null(copy);
    memcpy(copy, p, n);
    if (n > 0)
        o->result = b->ops->decode(b, copy, n, &used, &out);
    assert_true(o->result != BODY_MORE || used == n);
    memcpy(o->payload + o->len, copy, out);
    o->len += out;
    o->used += used;
    free(copy);
}

static void run(struct body *b, const char *p, size_t n, size_t at,
                struct outcome *o)
{
    memset(o, 0, sizeof(*o));
    piece(b, p, at, o);
    if (o->result == BODY_MORE)
        piece(b, p + at, n - at, o);
}

static void test_chunked(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        for (size_t at = 0; at <= rows[i].len; at++) {
            struct body b;
            struct outcome o;

            body_init_chunked(&b, AHEAD);
            run(&b, rows[i].text, rows[i].len, at, &o);
            if (o.result != rows[i].want)
                fail_msg("row %zu <%s> split at %zu: result %d", i,
                         rows[i].text, at, o.result);
            assert_int_equal(o.len, strlen(rows[i].payload));
            assert_memory_equal(o.payload, rows[i].payload, o.len);
        }
    }
}

/* What follows the body is not consumed. */
static void test_rest(void **state)
{
    static const char text[] = "3\r\nabc\r\n0\r\n\r\nGET";
    struct body b;
    struct outcome o;

    (void)state;
    body_init_chunked(&b, AHEAD);
    run(&b, text, sizeof(text) - 1, 0, &o);
    assert_int_equal(o.used, sizeof(text) - 1 - 3);
    body_init_length(&b, 5);
    assert_int_equal(b.ops->want(&b, 100), 5);
    run(&b, "abcdefgh", 8, 2, &o);
    assert_int_equal(o.result, BODY_END);
    assert_int_equal(o.used, 5);
    assert_memory_equal(o.payload, "abcde", 5);
}

/*
 * Whoever receives what want() asks for has less than AHEAD bytes of what
 * follows, and needs few calls for large chunks.
 */
static void test_want(void **state)
{
    static const char end[] = "\r\n0\r\nA: b\r\n\r\n";
    char text[4096] = "e00\r\n";
    size_t n = 5 + 0xe00, at = 0, used = 0, out, take = 0;
    enum body_result r = BODY_MORE;
    struct body b;
    int calls = 0;

    (void)state;
    memset(text + 5, 'x', 0xe00);
    memcpy(text + n, end, sizeof(end) - 1);
    n += sizeof(end) - 1;
    memset(text + n, 'G', 100);
    body_init_chunked(&b, AHEAD);
    while (r == BODY_MORE) {
        assert_int_equal(b.ops->want(&b, 1), 1);
        take = b.ops->want(&b, sizeof(text));
        assert_true(take >= 1 && at + take <= n + 100);
        r = b.ops->decode(&b, text + at, take, &used, &out);
        at += take;
        calls++;
    }
    assert_int_equal(r, BODY_END);
    assert_int_equal(at - (take - used), n);
    assert_true(take - used < AHEAD);
    assert_true(calls < 6);
}

static void test_trailer_limit(void **state)
{
    char line[128];
    struct body b;
    enum body_result r;
    char start[] = "0\r\n";
    size_t used, out, sum = 0;

    (void)state;
    body_init_chunked(&b, AHEAD);
    r = b.ops->decode(&b, start, 3, &used, &out);
    while (r == BODY_MORE) {
        memset(line, 'a', sizeof(line));
        memcpy(line, "A: ", 3);
        memcpy(line + sizeof(line) - 2, "\r\n", 2);
        r = b.ops->decode(&b, line, sizeof(line), &used, &out);
        sum += sizeof(line);
        assert_true(sum <= BODY_TRAILER_MAX + sizeof(line));
    }
    assert_int_equal(r, BODY_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_rest),
        cmocka_unit_test(test_want),
        cmocka_unit_test(test_trailer_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
