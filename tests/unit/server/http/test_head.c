/*
 * The request head as data: what must be accepted, and each malformed input
 * with the status it must get.  Every row is fed whole and split at every
 * byte boundary; the outcome must be the same.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http/head.h"

#define H   "Host: r.example\r\n"
#define GET "GET /v2/ HTTP/1.1\r\n"
#define PUT "PUT /v2/ HTTP/1.1\r\n" H
#define ROW(text, status)              \
    {                                  \
        text, sizeof(text) - 1, status \
    }

static const struct {
    const char *text;
    size_t len;
    int status; /* 0: accepted */
} rows[] = {
    ROW(GET H "\r\n", 0),
    ROW("\r\n\r\n" GET H "\r\n", 0),
    ROW("\r\n\r\n\r\n" GET H "\r\n", 400),
    ROW("GET /v2/ HTTP/1.0\r\n\r\n", 0),
    ROW("GET /v2/ HTTP/1.2\r\n" H "\r\n", 0),
    ROW("GET /v2/ HTTP/1.9\r\n" H "\r\n", 0),
    /* versions */
    ROW("GET /v2/ HTTP/2.0\r\n" H "\r\n", 505),
    ROW("GET /v2/ HTTP/3.1\r\n" H "\r\n", 505),
    ROW("GET /v2/ HTTP/0.9\r\n" H "\r\n", 400),
    ROW("GET /v2/\r\n", 400),
    ROW("GET /v2/ http/1.1\r\n" H "\r\n", 400),
    ROW("GET /v2/ HTTP/01.1\r\n" H "\r\n", 400),
    ROW("GET /v2/ HTTP/1\r\n" H "\r\n", 400),
    ROW("GET /v2/ HTTP/1.1 \r\n" H "\r\n", 400),
    ROW("GET /v2/ HTTP/1.:\r\n" H "\r\n", 400),
    ROW("GET /v2/ HTTP/1./\r\n" H "\r\n", 400),
    ROW("GET /v2/ HTTP/:.1\r\n" H "\r\n", 400),
    ROW("GET /v2/ HTTP//.1\r\n" H "\r\n", 400),
    ROW("GET /v2/ HTTP/1-1\r\n" H "\r\n", 400),
    ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ROW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    /* request line */
    ROW("GET  /v2/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET /v2/  HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET\t/v2/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW(" GET /v2/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("G(T /v2/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("get /v2/ HTTP/1.1\r\n" H "\r\n", 501),
    ROW("BREW /v2/ HTTP/1.1\r\n" H "\r\n", 501),
    ROW("CONNECT r:443 HTTP/1.1\r\n" H "\r\n", 405),
    ROW("TRACE /v2/ HTTP/1.1\r\n" H "\r\n", 405),
    ROW("OPTIONS * HTTP/1.1\r\n" H "\r\n", 0),
    ROW("OPTIONS /v2/ HTTP/1.1\r\n" H "\r\n", 0),
    ROW("GET * HTTP/1.1\r\n" H "\r\n", 400),
    /* target */
    ROW("GET http://r.example/v2/ HTTP/1.1\r\n" H "\r\n", 0),
    ROW("GET HTTP://R.Example/v2/ HTTP/1.1\r\n" H "\r\n", 0),
    ROW("GET http://other/v2/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET http:///v2/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET http://r.example HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET ftp://r.example/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET v2/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET http://r.example?a HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET http://r.examplf/v2/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET http://r.example:1/ HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET http://R.exampLE/ HTTP/1.1\r\nHost: r.ExAmple\r\n\r\n", 0),
    ROW("GET http://r/ HTTP/1.0\r\n\r\n", 0),
    ROW("GETHTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET \r\n" H "\r\n", 400),
    ROW("GET /v2/#a HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET /v2/\\a HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET /v2/\"a HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET /v2/<a> HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET /v2/\x80 HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET /v2/\x01 HTTP/1.1\r\n" H "\r\n", 400),
    ROW("GET /v2/\x7f HTTP/1.1\r\n" H "\r\n", 400),
    /* line ends */
    ROW("GET /v2/ HTTP/1.1\n" H "\r\n", 400),
    ROW(GET "Host: r\n\r\n", 400),
    ROW(GET H "\n", 400),
    ROW(GET H "A: b\rc\r\n\r\n", 400),
    ROW(GET H "A: b\r\r\n\r\n", 400),
    ROW(GET H "A: b\0c\r\n\r\n", 400),
    ROW(GET H "A: b\x0b\r\n\r\n", 400),
    ROW(GET H "A: b\tc\r\n\r\n", 0),
    ROW(GET H "A: b\xc3\xa9\r\n\r\n", 0),
    ROW(GET H "A:\r\n\r\n", 0),
    /* header names */
    ROW(GET H "A : b\r\n\r\n", 400),
    ROW(GET H "A\t: b\r\n\r\n", 400),
    ROW(GET H "A: b\r\n c\r\n\r\n", 400),
    ROW(GET H "A: b\r\n\tc\r\n\r\n", 400),
    ROW(GET " " H "\r\n", 400),
    ROW(GET H ": b\r\n\r\n", 400),
    ROW(GET H "A b: c\r\n\r\n", 400),
    ROW(GET H "A(: c\r\n\r\n", 400),
    ROW(GET H "nocolon\r\n\r\n", 400),
    /* Host */
    ROW(GET "\r\n", 400),
    ROW(GET H H "\r\n", 400),
    ROW(GET "Host: a\r\nhost: b\r\n\r\n", 400),
    ROW(GET "Host: u@r\r\n\r\n", 400),
    ROW(GET "Host: r/x\r\n\r\n", 400),
    ROW(GET "Host: a,b\r\n\r\n", 400),
    ROW(GET "Host: a b\r\n\r\n", 400),
    ROW(GET "Host:\r\n\r\n", 400),
    ROW(GET "Host: r:5000\r\n\r\n", 0),
    ROW(GET "Host: r:\r\n\r\n", 0),
    ROW(GET "Host: r:50x\r\n\r\n", 400),
    ROW(GET "Host: :5000\r\n\r\n", 400),
    ROW(GET "Host: [::1]:5000\r\n\r\n", 0),
    ROW(GET "Host: [::1\r\n\r\n", 400),
    ROW(GET "Host: [::g]\r\n\r\n", 400),
    ROW(GET "Host: [::1]x\r\n\r\n", 400),
    ROW(GET "Host: r:123456\r\n\r\n", 400),
    ROW(GET "Host: r:50/\r\n\r\n", 400),
    ROW(GET H "A: \t b \t\r\n\r\n", 0),
    ROW("X\x16\r\n" H "\r\n", 400),
    ROW("\x15\x03\x01", 400),
    ROW("POST / HTTP/1.1\r\n" H "Content-Length: 65537\r\n\r\n", 0),
    ROW("PATCH / HTTP/1.1\r\n" H "Content-Length: 65537\r\n\r\n", 0),
    ROW("DELETE / HTTP/1.1\r\n" H "Content-Length: 65537\r\n\r\n", 413),
    ROW(GET "Host: []\r\n\r\n", 400),
    /* framing */
    ROW(PUT "Content-Length: 3\r\n\r\n", 0),
    ROW(PUT "Content-Length: 0\r\n\r\n", 0),
    ROW(PUT "Content-Length: 9223372036854775807\r\n\r\n", 0),
    ROW(PUT "Content-Length: 9223372036854775808\r\n\r\n", 400),
    ROW(PUT "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400),
    ROW(PUT "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    ROW(PUT "Content-Length: 3, 3\r\n\r\n", 400),
    ROW(PUT "Content-Length: +3\r\n\r\n", 400),
    ROW(PUT "Content-Length: -1\r\n\r\n", 400),
    ROW(PUT "Content-Length: 0x3\r\n\r\n", 400),
    ROW(PUT "Content-Length: 3abc\r\n\r\n", 400),
    ROW(PUT "Content-Length: 1_0\r\n\r\n", 400),
    ROW(PUT "Content-Length:\r\n\r\n", 400),
    ROW(PUT "Content_Length: 3\r\n\r\n", 0),
    ROW(PUT "Transfer-Encoding: chunked\r\n\r\n", 0),
    ROW(PUT "Transfer-Encoding: Chunked\r\n\r\n", 0),
    ROW(PUT "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
    ROW(PUT "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ROW(PUT "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ROW(PUT "Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    ROW(PUT "Transfer-Encoding: xchunked\r\n\r\n", 501),
    ROW(PUT "Transfer-Encoding: gzip\r\n\r\n", 501),
    ROW(PUT "Transfer-Encoding: identity\r\n\r\n", 400),
    ROW(PUT "Transfer-Encoding:\r\n\r\n", 400),
    ROW(PUT "Transfer-Encoding: \x0b"
            "chunked\r\n\r\n",
        400),
    ROW(PUT "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400),
    ROW("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ROW(GET H "Content-Length: 65536\r\n\r\n", 0),
    ROW(GET H "Content-Length: 65537\r\n\r\n", 413),
    /* Expect */
    ROW(PUT "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n", 0),
    ROW(PUT "Content-Length: 3\r\nExpect: tea\r\n\r\n", 417),
};

static enum head_result feed_whole(struct head *h, const char *p, size_t n)
{
    static struct http_limits limits;

    http_limits_default(&limits);
    head_init(h, &limits);
    return head_feed(h, p, n);
}

/* In memory of exactly that size, so that a read beyond is seen. */
static char *exact(const char *p, size_t n)
{
    char *copy = malloc(n ? n : 1);

    assert_non_null(copy);
    memcpy(copy, p, n);
    return copy;
}

static void check_split(const char *p, size_t n, size_t at,
                        const struct head *whole, enum head_result want)
{
    struct http_limits limits;
    struct head h;
    char *first = exact(p, at);
    char *all = exact(p, n);
    enum head_result r;

    http_limits_default(&limits);
    head_init(&h, &limits);
    r = head_feed(&h, first, at);
    if (r == HEAD_MORE)
        r = head_feed(&h, all, n);
    assert_int_equal(r, want);
    assert_int_equal(h.status, whole->status);
    assert_int_equal(h.scan, whole->scan);
    assert_int_equal(h.header_count, whole->header_count);
    assert_int_equal(h.length, whole->length);
    free(first);
    free(all);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct head h;
        enum head_result r = feed_whole(&h, rows[i].text, rows[i].len);
        enum head_result want = rows[i].status ? HEAD_BAD : HEAD_DONE;

        if (r != want || (r == HEAD_BAD && h.status != rows[i].status))
            fail_msg("row %zu <%s>: result %d status %d, want %d", i,
                     rows[i].text, r, h.status, rows[i].status);
        for (size_t at = 0; at <= rows[i].len; at++)
            check_split(rows[i].text, rows[i].len, at, &h, r);
    }
}

static void test_fields(void **state)
{
    static const char text[] =
        "PUT http://r/a/b?x=1&y HTTP/1.1\r\nHost: r\r\n"
        "Content-Length:  12 \r\nConnection: x, Close\r\n"
        "Expect: 100-continue\r\n\r\nbody";
    struct head h;

    (void)state;
    assert_int_equal(feed_whole(&h, text, sizeof(text) - 1), HEAD_DONE);
    assert_int_equal(h.scan, sizeof(text) - 1 - 4);
    assert_int_equal(h.method, HTTP_PUT);
    assert_true(slice_is(head_slice(text, h.target), "/a/b?x=1&y"));
    assert_true(slice_is(head_slice(text, h.path), "/a/b"));
    assert_true(slice_is(head_slice(text, h.query), "x=1&y"));
    assert_true(h.has_length);
    assert_int_equal(h.length, 12);
    assert_true(h.expects_continue);
    assert_false(h.keep_alive);
    assert_int_equal(h.header_count, 4);
}

static void test_connection(void **state)
{
    static const struct {
        const char *value;
        int minor;
        bool keeps;
    } cases[] = {
        {"", 1, true},
        {"", 0, false},
        {"close", 1, false},
        {"keep-alive", 0, true},
        {"Keep-Alive", 0, true},
        {"keep-alive, close", 0, false},
        {"x ,\tkeep-alive\t,y", 0, true},
        {" , CLOSE ,", 1, false},
        {"closed", 1, true},
        {"keep-alive", 1, true},
    };

    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        char text[160];
        struct head h;
        int n = snprintf(text, sizeof(text),
                         "GET / HTTP/1.%d\r\n" H "Connection: %s\r\n\r\n",
                         cases[i].minor, cases[i].value);

        assert_int_equal(feed_whole(&h, text, (size_t)n), HEAD_DONE);
        if (h.keep_alive != cases[i].keeps)
            fail_msg("HTTP/1.%d <%s>", cases[i].minor, cases[i].value);
    }
}

/* Each byte at each place: taken exactly when it is in the place's set. */
static void test_every_byte(void **state)
{
#define ALNUM                              \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ" \
    "KLMNOPQRSTUVWXYZ0123456789"
    static const struct {
        const char *before, *after, *set;
        int ok; /* the status of a good byte */
    } places[] = {
        {"G", "T / HTTP/1.1\r\n" H "\r\n", ALNUM "!#$%&'*+-.^_`|~", 501},
        {"GET /", " HTTP/1.1\r\n" H "\r\n", ALNUM "-._~:/?[]@!$&'()*+,;=%", 0},
        {"GET / HTTP/1.1\r\nHost: a", "b\r\n\r\n", ALNUM "-._~", 0},
        {"GET / HTTP/1.1\r\n" H "A", "b: c\r\n\r\n",
         ALNUM "!#$%&'*+-.^_`|~:", 0},
        {"GET / HTTP/1.1\r\nHost: [a", "a]\r\n\r\n", "0123456789abcdefABCDEF:.",
         0},
    };

    (void)state;
    for (size_t i = 0; i < array_len(places); i++) {
        for (int c = 0; c < 256; c++) {
            char text[160];
            struct head h;
            int n = snprintf(text, sizeof(text), "%s%c%s", places[i].before,
                             c ? c : 'x', places[i].after);
            bool is_good = c && strchr(places[i].set, c);
            int want = is_good ? places[i].ok : 400;

            if (c == 0)
                text[strlen(places[i].before)] = '\0';
            if (i == 0 && c == 'E') /* that is a method */
                want = 0;
            feed_whole(&h, text, (size_t)n);
            if (h.status != want)
                fail_msg("place %zu byte %02x: %d, not %d", i, (unsigned)c,
                         h.status, want);
        }
    }
#undef ALNUM
}

/* Small limits, where the whole head is what is too long. */
static void test_small_limits(void **state)
{
    static char many[8192];
    static const char text[] = GET H "A: b\r\nA: b\r\nA: b\r\n\r\n";
    struct http_limits l;
    struct head h;

    (void)state;
    http_limits_default(&l);
    l.head_bytes = sizeof(text) - 4;
    head_init(&h, &l);
    assert_int_equal(head_feed(&h, text, sizeof(text) - 1), HEAD_BAD);
    assert_int_equal(h.status, 431);
    /* The table is what bounds the count, whatever the limit says. */
    l.head_bytes = sizeof(many);
    l.headers = 1000;
    for (size_t count = HEAD_HEADERS_MAX; count <= HEAD_HEADERS_MAX + 1;
         count++) {
        size_t n = (size_t)snprintf(many, sizeof(many), GET H);

        for (size_t i = 1; i < count; i++)
            n += (size_t)snprintf(many + n, sizeof(many) - n, "A: b\r\n");
        memcpy(many + n, "\r\n", 2);
        head_init(&h, &l);
        assert_int_equal(head_feed(&h, many, n + 2),
                         count > HEAD_HEADERS_MAX ? HEAD_BAD : HEAD_DONE);
    }
}

static int status_of(const char *start, size_t fill, const char *end)
{
    size_t a = strlen(start), b = strlen(end);
    char *p = malloc(a + fill + b);
    struct head h;
    enum head_result r;

    assert_non_null(p);
    memcpy(p, start, a);
    memset(p + a, 'a', fill);
    memcpy(p + a + fill, end, b);
    r = feed_whole(&h, p, a + fill + b);
    free(p);
    return r == HEAD_BAD ? h.status : r == HEAD_DONE ? 0 : -1;
}

static void test_limits(void **state)
{
    char many[101 * 6 + 64];
    struct head h;
    size_t n;

    (void)state;
    assert_int_equal(status_of("GET /", 8000, " HTTP/1.1\r\n" H "\r\n"), 0);
    assert_int_equal(status_of("GET /", 8200, " HTTP/1.1\r\n" H "\r\n"), 414);
    assert_int_equal(status_of(GET H "A: ", 16000, "\r\n\r\n"), 0);
    assert_int_equal(status_of(GET H "A: ", 16400, "\r\n\r\n"), 431);
    assert_int_equal(status_of(GET H "A: ", 40000, ""), 431);
    n = (size_t)snprintf(many, sizeof(many), GET H);
    for (int i = 0; i < 99; i++)
        n += (size_t)snprintf(many + n, sizeof(many) - n, "A: b\r\n");
    memcpy(many + n, "\r\n", 2);
    assert_int_equal(feed_whole(&h, many, n + 2), HEAD_DONE);
    memcpy(many + n, "A: b\r\n\r\n", 8);
    assert_int_equal(feed_whole(&h, many, n + 8), HEAD_BAD);
    assert_int_equal(h.status, 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_fields),
        cmocka_unit_test(test_limits),     cmocka_unit_test(test_connection),
        cmocka_unit_test(test_every_byte), cmocka_unit_test(test_small_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
