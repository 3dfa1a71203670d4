/*
 * The whole engine over loopback, with a toy application: what a client sees
 * when it pipelines, dawdles, hangs up, sends too much or speaks TLS.
 */
#include "tests/unit/server/http/engine_kit.h"
#include "tests/unit/skip.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

static void test_keep_alive(void **state)
{
    struct fix f;
    struct answer a;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    for (int i = 0; i < 20; i++) {
        say(fd, "GET /a/b?x HTTP/1.1\r\n" HOST "\r\n");
        hear(fd, &a, false);
        assert_int_equal(a.status, 200);
        assert_false(a.is_closing);
        assert_string_equal(a.body, "/a/b");
        assert_non_null(strstr(a.head, "\r\nX-Path: /a/b\r\n"));
        assert_non_null(strstr(a.head, "\r\nX-Common: yes\r\n"));
        assert_non_null(strstr(a.head, " GMT\r\n"));
        assert_non_null(strstr(a.head, "\r\nX-Content-Type-Options: nosniff"));
    }
    say(fd, "HEAD /a/b HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &a, true);
    assert_int_equal(a.length, 4);
    say(fd, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &a, false);
    assert_int_equal(a.status, 204);
    say(fd, "GET /a%2fb HTTP/1.1\r\n" HOST "\r\n");
    expect(fd, 400, "path");
    say(fd, "GET /x HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
    hear(fd, &a, false);
    assert_true(a.is_closing);
    expect_end(fd);
    fd = dial(&f);
    say(fd, "GET /x HTTP/1.0\r\n\r\n");
    hear(fd, &a, false);
    assert_true(a.is_closing);
    expect_end(fd);
    wait_done(&f, 25);
    stop(&f);
}

static void test_pipelining(void **state)
{
    struct fix f;
    char want[16];
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    for (int i = 0; i < 100; i++) {
        char text[160];

        snprintf(text, sizeof(text),
                 "POST /work HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                 "GET /%d HTTP/1.1\r\n" HOST "\r\n",
                 i);
        say(fd, text);
    }
    for (int i = 0; i < 100; i++) {
        snprintf(want, sizeof(want), "/%d", i);
        expect(fd, 200, "worked");
        expect(fd, 200, want);
    }
    /* Chunked, and the next request in the same packet. */
    say(fd, "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
            "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"
            "GET /next HTTP/1.1\r\n" HOST "\r\n");
    expect(fd, 200, "abcde");
    expect(fd, 200, "/next");
    close(fd);
    stop(&f);
}

static void test_one_byte_writes(void **state)
{
    static const char text[] =
        "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\nPUT /echo HTTP/1.1\r\n" HOST
        "Content-Length: 2\r\n\r\nxy";
    struct fix f;
    int one = 1;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    for (size_t i = 0; i + 1 < sizeof(text); i++)
        say_n(fd, text + i, 1);
    expect(fd, 200, "abc");
    expect(fd, 200, "xy");
    close(fd);
    stop(&f);
}

/* Several blocks, both framings; count and sum come back. */
static void test_stream(void **state)
{
    size_t total = 3 * HTTP_BLOCK_SIZE + 12345;
    char *data = malloc(total);
    char want[64], head[128];
    struct http_limits l;
    uint64_t sum = 0;
    struct fix f;
    int fd;

    (void)state;
    http_limits_default(&l);
    l.pool_bytes = HTTP_BLOCK_SIZE; /* one block: every step stalls */
    start(&f, &l);
    for (size_t i = 0; i < total; i++) {
        data[i] = (char)(i * 7 + i / 251);
        sum += (unsigned char)data[i];
    }
    snprintf(want, sizeof(want), "%zu %llu", total, (unsigned long long)sum);
    fd = dial(&f);
    snprintf(head, sizeof(head),
             "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
             total);
    say(fd, head);
    say_n(fd, data, total);
    expect(fd, 201, want);
    say(fd, "PUT /sink HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < total; at += 7001) {
        size_t n = total - at < 7001 ? total - at : 7001;

        snprintf(head, sizeof(head), "%zx\r\n", n);
        say(fd, head);
        say_n(fd, data + at, n);
        say(fd, "\r\n");
    }
    say(fd, "0\r\n\r\n");
    expect(fd, 201, want);
    say(fd, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    expect(fd, 201, "0 0");
    close(fd);
    stop(&f);
    free(data);
}

/* A client that dawdles does not keep the only block from another. */
static void test_scarce_pool(void **state)
{
    static char data[600000];
    char head[128];
    struct http_limits l;
    struct fix f;
    int slow, fast;

    (void)state;
    http_limits_default(&l);
    l.pool_bytes = HTTP_BLOCK_SIZE;
    start(&f, &l);
    slow = dial(&f);
    say(slow, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\n\1\2\3");
    wait_count(&f, &f.toy.runs, 1);
    fast = dial(&f);
    snprintf(head, sizeof(head),
             "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
             sizeof(data));
    say(fast, head);
    say_n(fast, data, sizeof(data));
    expect(fast, 201, "600000 0");
    say(slow, "\1\1\1");
    expect(slow, 201, "6 9");
    close(fast);
    close(slow);
    stop(&f);
}

/* Without descriptors a client is told so, and later ones are served. */
static void test_no_descriptors(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit old, low;
    struct answer got;
    struct fix f;
    int fd, later, next;

    (void)state;
    start(&f, NULL);
    a.sin_port = htons(f.port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    next = dup(fd);
    close(next);
    low = old;
    low.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    say(fd, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &got, false);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    /*
     * One lane gives its spare descriptor up to say 503; another lane that
     * wakes at this moment may accept with it, and serve.
     */
    assert_true(got.status == 503 || got.status == 200);
    later = dial(&f);
    say(later, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect(later, 200, "/a");
    close(later);
    close(fd);
    stop(&f);
}

static void test_big_file(void **state)
{
    struct fix f;
    struct answer a;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\nGET /a HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &a, false);
    assert_int_equal(a.got, BIG);
    expect(fd, 200, "/a");
    say(fd, "HEAD /big HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &a, true);
    assert_int_equal(a.length, BIG);
    /* A file shorter than promised: the answer is cut, not padded. */
    say(fd, "GET /short HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &a, false);
    assert_int_equal(a.got, 10);
    close(fd);
    /* A client that leaves in the middle is reported as cut. */
    fd = dial(&f);
    say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    hear_head(fd, &a);
    close(fd);
    wait_done(&f, 5);
    assert_int_equal(f.toy.last_status, 200);
    assert_true(f.toy.is_last_cut);
    assert_int_equal(f.toy.aborts, 0);
    stop(&f);
}

/* Descriptors of this process that are /dev/null; d: its folder of them. */
static int null_count(DIR *d)
{
    struct dirent *entry;
    int n = 0;

    rewinddir(d);
    while ((entry = readdir(d)) != NULL) {
        char to[32] = "";

        if (readlinkat(dirfd(d), entry->d_name, to, sizeof(to) - 1) > 0)
            n += strcmp(to, "/dev/null") == 0;
    }
    return n;
}

/* Until they are at least and at most so many. */
static void wait_nulls(DIR *d, int least, int most)
{
    int n = null_count(d);

    for (int i = 0; n < least || n > most; i++) {
        assert_true(i < WAIT_S * 1000);
        usleep(1000);
        n = null_count(d);
    }
}

/*
 * A lane that lost its spare descriptor, since there was none left to open it
 * again, has one as soon as it can: the next lack of them is answered, too.
 */
static void test_spare_comes_back(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    DIR *files = opendir("/proc/self/fd");
    struct rlimit old, low;
    struct fix f;
    int all, fd;

    (void)state;
    assert_non_null(files);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    start(&f, NULL);
    a.sin_port = htons(f.port);
    all = null_count(files);
    assert_true(all >= LANES);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    low = old;
    low.rlim_cur = 3; /* below the spares' own numbers */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    wait_nulls(files, 0, all - LANES);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    wait_nulls(files, all, all);
    say(fd, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect(fd, 200, "/a");
    close(fd);
    closedir(files);
    stop(&f);
}

static void test_expect_continue(void **state)
{
    struct fix f;
    struct answer a;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    say(fd, "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n"
            "Expect: 100-continue\r\n\r\n");
    hear(fd, &a, true);
    assert_int_equal(a.status, 100);
    say(fd, "abc");
    expect(fd, 200, "abc");
    /* Refused before the body: no 100, and the connection ends. */
    say(fd, "PUT /deny HTTP/1.1\r\n" HOST "Content-Length: 3\r\n"
            "Expect: 100-continue\r\n\r\n");
    hear(fd, &a, false);
    assert_int_equal(a.status, 401);
    assert_true(a.is_closing);
    expect_end(fd);
    fd = dial(&f);
    say(fd, "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n"
            "Expect: 100-continue\r\n\r\n");
    hear(fd, &a, false);
    assert_int_equal(a.status, 413);
    expect_end(fd);
    stop(&f);
}

/* A process that answers one request; its wait status. */
static int status_of(const char *path)
{
    int status, child = fork();

    if (child == 0) {
        char text[128], c;
        struct fix f;
        int fd;

        /* It is to break an invariant: that is no news. */
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        start(&f, NULL);
        fd = dial(&f);
        snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST "\r\n", path);
        say(fd, text);
        _exit(recv(fd, &c, 1, 0) == 1 ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* What could split an answer in two is a bug that stops the program. */
static void test_headers_are_one_line(void **state)
{
    static const char *const paths[] = {"/split", "/split-name"};

    (void)state;
#ifdef BERTH_COV
    skip_because("asserts are hints in the cov variant");
#endif
    assert_int_equal(status_of("/a"), 0);
    for (size_t i = 0; i < array_len(paths); i++) {
        int status = status_of(paths[i]);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

static void test_unread_body(void **state)
{
    static char much[300000];
    struct fix f;
    struct answer a;
    int fd;

    (void)state;
    start(&f, NULL);
    /* Small: dropped, never taken for a request, and we go on. */
    fd = dial(&f);
    say(fd, "PUT /deny HTTP/1.1\r\n" HOST "Content-Length: 18\r\n\r\n"
            "GET / HTTP/1.1\r\n\r\n"
            "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect(fd, 401, "denied");
    expect(fd, 200, "/a");
    /* Large: the answer arrives although the client is still sending. */
    say(fd, "PUT /deny HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n");
    say_n(fd, much, sizeof(much));
    hear(fd, &a, false);
    assert_int_equal(a.status, 401);
    assert_true(a.is_closing);
    expect_end(fd);
    /* A body larger than the application takes. */
    fd = dial(&f);
    say(fd, "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
            "100000\r\n");
    say_n(fd, much, sizeof(much));
    expect(fd, 413, "too large");
    close(fd);
    stop(&f);
}

static void test_errors(void **state)
{
    struct fix f;
    struct answer a;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    say(fd, "\x16\x03\x01\x02");
    hear(fd, &a, false);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(a.head, "text/plain"));
    expect_end(fd);
    fd = dial(&f);
    say(fd, "GET /a HTTP/1.1\n" HOST "\n");
    hear(fd, &a, false);
    assert_int_equal(a.status, 400);
    assert_true(a.is_closing);
    assert_non_null(strstr(a.head, "application/json"));
    assert_string_equal(a.body, "{\"s\":400,\"w\":\"bare CR or LF\"}");
    expect_end(fd);
    fd = dial(&f);
    say(fd, "TRACE /a HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &a, false);
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "\r\nAllow: GET"));
    expect_end(fd);
    /* A good request before a bad one gets its answer first. */
    fd = dial(&f);
    say(fd, "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n\r\n");
    expect(fd, 200, "/a");
    expect(fd, 400, NULL);
    expect_end(fd);
    fd = dial(&f);
    say(fd, "PUT /sink HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
            "3\r\nabcX");
    expect(fd, 400, NULL);
    expect_end(fd);
    assert_int_equal(f.toy.aborts, 1);
    assert_int_equal(f.toy.kept_bytes, 3);
    stop(&f);
}

static void test_hang_up(void **state)
{
    struct fix f;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    say(fd, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nabcde");
    close(fd);
    wait_done(&f, 1);
    assert_int_equal(f.toy.aborts, 1);
    assert_int_equal(f.toy.kept_bytes, 5);
    assert_int_equal(f.toy.last_status, 499);
    assert_int_equal(f.toy.ended, 0);
    stop(&f);
}

static void test_slow(void **state)
{
    struct http_limits l;
    struct fix f;
    int fd, idle;

    (void)state;
    http_limits_default(&l);
    l.header_ms = l.idle_ms = l.window_ms = SMALL_MS;
    start(&f, &l);
    idle = dial(&f);
    fd = dial(&f);
    say(fd, "GET /a HTTP/1.1\r\nHost");
    expect(fd, 408, NULL);
    expect_end(fd);
    expect_end(idle);
    fd = dial(&f);
    say(fd, "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 900\r\n\r\nabc");
    expect(fd, 408, NULL);
    expect_end(fd);
    assert_int_equal(f.toy.aborts, 1);
    stop(&f);
}

/* The server counts a connection until it has seen its client's end too. */
static void wait_no_connection(struct fix *f)
{
    for (int i = 0; i < WAIT_S * 1000; i++) {
        if (http_server_connections(f->server) == 0)
            return;
        usleep(1000);
    }
    fail_msg("a connection stays open");
}

static void test_request_cap(void **state)
{
    struct http_limits l;
    struct answer a;
    struct fix f;
    int fd, other;

    (void)state;
    http_limits_default(&l);
    l.requests = 2;
    l.connections = 1;
    start(&f, &l);
    fd = dial(&f);
    say(fd, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &a, false);
    assert_false(a.is_closing);
    say(fd, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    hear(fd, &a, false);
    assert_true(a.is_closing);
    expect_end(fd);
    wait_no_connection(&f);
    /* A busy connection is not closed for a newcomer; it gets 503. */
    fd = dial(&f);
    say(fd,
        "GET /gate HTTP/1.1\r\n" HOST "\r\nGET /a HTTP/1.1\r\n" HOST "\r\n");
    wait_count(&f, &f.toy.runs, 1);
    other = dial(&f);
    expect(other, 503, NULL);
    close(other);
    open_gate(&f);
    expect(fd, 200, "worked");
    close(fd);
    stop(&f);
}

static void *drain_thread(void *arg)
{
    struct fix *f = arg;

    return http_server_drain(f->server, WAIT_S * 1000) ? f : NULL;
}

/* What runs is finished and says so; idle ones are closed at once. */
static void test_drain(void **state)
{
    pthread_t t;
    struct answer a;
    struct fix f;
    void *is_empty;
    int busy, idle;

    (void)state;
    start(&f, NULL);
    idle = dial(&f);
    say(idle, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect(idle, 200, "/a");
    busy = dial(&f);
    say(busy, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n"
              "Expect: 100-continue\r\n\r\n");
    hear(busy, &a, true);
    assert_int_equal(a.status, 100);
    pthread_create(&t, NULL, drain_thread, &f);
    expect_end(idle);
    say(busy, "abc");
    hear(busy, &a, false);
    assert_string_equal(a.body, "abc");
    assert_true(a.is_closing);
    expect_end(busy);
    pthread_join(t, &is_empty);
    assert_non_null(is_empty);
    stop(&f);
}

static void *stop_thread(void *arg)
{
    struct fix *f = arg;

    http_server_stop(f->server);
    return NULL;
}

/* Stop cuts the client but waits for work that still uses the exchange. */
static void test_stop_with_work(void **state)
{
    pthread_t t;
    struct fix f;
    int fd;

    (void)state;
    start(&f, NULL);
    fd = dial(&f);
    say(fd, "GET /gate HTTP/1.1\r\n" HOST "\r\n");
    wait_count(&f, &f.toy.runs, 1);
    assert_int_equal(http_server_connections(f.server), 1);
    pthread_create(&t, NULL, stop_thread, &f);
    expect_end(fd);
    open_gate(&f);
    pthread_join(t, NULL);
    f.server = NULL;
    stop(&f);
}

static void test_port_in_use(void **state)
{
    struct http_server_opts o = {.listen_count = 1, .lane_count = 1};
    struct http_server *second = NULL;
    char text[32];
    const char *list[1] = {text};
    struct fix f;
    struct err e;

    (void)state;
    start(&f, NULL);
    snprintf(text, sizeof(text), "127.0.0.1:%u", f.port);
    http_limits_default(&o.limits);
    o.listen = list;
    o.lanes = f.lanes;
    assert_int_equal(http_server_start(&o, &second, &e), -1);
    assert_int_equal(e.code, ERR_BUSY);
    assert_non_null(strstr(e.msg, text));
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_one_byte_writes),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_scarce_pool),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_spare_comes_back),
        cmocka_unit_test(test_big_file),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_headers_are_one_line),
        cmocka_unit_test(test_unread_body),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_request_cap),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_stop_with_work),
        cmocka_unit_test(test_port_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
