/* The engine at its limits, and clients that leave: see engine_kit.h. */
#include "tests/unit/server/http/engine_kit.h"

static void get(int fd, const char *path)
{
    char text[128];

    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", path);
    say(fd, text);
}

/* A connection that had its answer, and is idle. */
static int idle_connection(const struct fix *f)
{
    int fd = dial(f);

    get(fd, "/a");
    expect(fd, 200, "/a");
    return fd;
}

static bool is_ended(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/*
 * Whichever lane takes the newcomer, and whichever lanes have the idle ones:
 * it is served, and an old connection goes for it, the oldest of all lanes.
 */
static void test_newcomer_replaces_idle(void **state)
{
    enum { CAP = 4, ROUNDS = 40 };
    struct http_limits l;
    struct fix f;
    int fds[CAP + ROUNDS];

    (void)state;
    http_limits_default(&l);
    l.connections = CAP;
    start(&f, &l);
    for (int i = 0; i < CAP + ROUNDS; i++) {
        int ended = 0;

        fds[i] = idle_connection(&f);
        for (int wait = 0; i >= CAP && ended <= i - CAP; wait++) {
            assert_true(wait < WAIT_S * 1000);
            usleep(1000);
            ended = 0;
            for (int k = 0; k < i; k++)
                ended += is_ended(fds[k]);
        }
        assert_true(ended <= (i < CAP ? 0 : i - CAP + 1));
        assert_false(is_ended(fds[i]));
    }
    /* Two that became idle at nearly the same time may change places. */
    for (int i = 0; i < ROUNDS - 2; i++)
        assert_true(is_ended(fds[i]));
    for (int i = 0; i < CAP + ROUNDS; i++)
        close(fds[i]);
    stop(&f);
}

static void test_old_protocol(void **state)
{
    struct answer a;
    struct fix f;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    for (int i = 0; i < 3; i++) {
        say(fd, "GET /a HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n");
        hear(fd, &a, false);
        assert_string_equal(a.body, "/a");
        assert_false(a.is_closing);
        assert_non_null(strstr(a.head, "\r\nConnection: keep-alive\r\n"));
    }
    say(fd, "POST /echo HTTP/1.0\r\nContent-Length: 2\r\n"
            "Connection: keep-alive\r\nConnection: close\r\n\r\nab");
    hear(fd, &a, false);
    assert_string_equal(a.body, "ab");
    assert_true(a.is_closing);
    expect_end(fd);
    fd = dial(&f);
    say(fd, "GET /a HTTP/1.1\r\n" HOST "Connection: keep-alive\r\n\r\n");
    hear(fd, &a, false);
    assert_null(strstr(a.head, "\r\nConnection:"));
    say(fd, "GET /a HTTP/1.0\r\n\r\n");
    hear(fd, &a, false);
    assert_true(a.is_closing);
    expect_end(fd);
    stop(&f);
}

/*
 * A client that writes much more than is taken from it, and reads only then:
 * it gets the answer and an orderly end, never a reset.
 */
static void test_lingering(void **state)
{
    static char much[1 << 20];
    struct http_limits l;
    struct fix f;
    int fd, small = 4096;

    (void)state;
    http_limits_default(&l);
    l.linger_bytes = 1000;
    start(&f, &l);
    fd = dial(&f);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    say(fd, "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
            "1000000\r\n");
    say_n(fd, much, 2000);
    expect(fd, 413, "too large");
    /* Nobody reads any more, and nobody resets either. */
    for (int i = 0; i < 500; i++) {
        if (send(fd, much, sizeof(much), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
            errno != EAGAIN)
            fail_msg("reset while sending: %s", strerror(errno));
        usleep(200);
    }
    expect_end(fd);
    wait_done(&f, 1);
    stop(&f);
}

/*
 * A reset is noticed while the application works; a client that has only
 * ended its own side gets its answer.
 */
static void test_leaving_while_it_works(void **state)
{
    struct linger now = {.l_onoff = 1};
    struct fix f;
    int half, gone;

    (void)state;
    start(&f, NULL);
    half = dial(&f);
    get(half, "/gate");
    wait_count(&f, &f.toy.runs, 1);
    shutdown(half, SHUT_WR);
    gone = dial(&f);
    get(gone, "/gate");
    wait_count(&f, &f.toy.runs, 2);
    setsockopt(gone, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(gone);
    wait_done(&f, 1);
    assert_int_equal(f.toy.last_status, 499);
    assert_int_equal(f.toy.aborts, 1);
    open_gate(&f);
    expect(half, 200, "worked");
    expect_end(half);
    stop(&f);
}

/* In the middle of a body that is read whole, by every way of leaving. */
static void test_leaving_in_a_body(void **state)
{
    static const char *const texts[] = {
        "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc",
        "PUT /echo HTTP/1.1\r\n" HOST
        "Transfer-Encoding: chunked\r\n\r\n3\r\nab",
    };
    struct linger now = {.l_onoff = 1};
    struct fix f;
    unsigned n = 0;

    (void)state;
    start(&f, NULL);
    for (int reset = 0; reset < 2; reset++) {
        for (size_t i = 0; i < array_len(texts); i++) {
            int fd = dial(&f);

            say(fd, texts[i]);
            if (reset)
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
            close(fd);
            wait_done(&f, ++n);
            assert_int_equal(f.toy.last_status, 499);
            assert_int_equal(f.toy.aborts, n);
        }
    }
    stop(&f);
}

/*
 * An answer when nearly all of a large body has come: what is left is little,
 * and the connection goes on, as the answer said.
 */
static void test_answer_near_the_end(void **state)
{
    static char body[300000];
    struct answer a;
    struct fix f;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    for (int i = 0; i < 3; i++) {
        say(fd, "PUT /early HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n"
                "\r\n");
        say_n(fd, body, 270000);
        hear(fd, &a, false);
        assert_string_equal(a.body, "early");
        assert_false(a.is_closing);
        say_n(fd, body, sizeof(body) - 270000);
    }
    get(fd, "/a");
    expect(fd, 200, "/a");
    close(fd);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newcomer_replaces_idle),
        cmocka_unit_test(test_old_protocol),
        cmocka_unit_test(test_lingering),
        cmocka_unit_test(test_leaving_while_it_works),
        cmocka_unit_test(test_leaving_in_a_body),
        cmocka_unit_test(test_answer_near_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
