/*
 * What the tests of the whole engine share: a toy application, a server over
 * loopback, a client that says exactly what it is told.
 */
#ifndef BERTH_TESTS_ENGINE_KIT_H
#define BERTH_TESTS_ENGINE_KIT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/workq.h"
#include "server/http/http.h"

#define LANES    2
#define BIG      (24 * 1024 * 1024)
#define HOST     "Host: r\r\n"
#define WAIT_S   10
#define SMALL_MS 50

/* ---- the toy application ------------------------------------------------ */

struct toy {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under lock. */
    unsigned aborts, dones, ended, kept_bytes, runs;
    int last_status;
    bool is_last_cut;
    bool is_gate_open; /* /gate's worker waits for it */
    struct workq *workers;
    int big_fd;
};

/* One request that a worker serves: /work, /gate, or a streamed body. */
struct job {
    struct work work;
    struct lane_msg msg;
    struct http_exchange *x;
    struct toy *toy;
    struct http_block *block;
    uint64_t sum, bytes;
    bool is_gate, is_early;
};

static inline void job_run(struct work *w, void *ctx)
{
    struct job *j = (struct job *)w;

    (void)ctx;
    for (size_t i = 0; j->block && i < j->block->len; i++)
        j->sum += (unsigned char)j->block->data[i];
    pthread_mutex_lock(&j->toy->lock);
    j->toy->runs++;
    pthread_cond_broadcast(&j->toy->changed);
    while (j->is_gate && !j->toy->is_gate_open)
        pthread_cond_wait(&j->toy->changed, &j->toy->lock);
    pthread_mutex_unlock(&j->toy->lock);
    lane_post(http_lane(j->x), &j->msg);
}

static inline void job_done(struct lane_msg *m)
{
    struct job *j = (struct job *)((char *)m - offsetof(struct job, msg));
    struct http_exchange *x = j->x;

    if (j->block) {
        struct http_block *b = j->block;

        j->bytes += b->len;
        j->block = NULL;
        http_block_done(x, b);
    } else {
        http_reply(x, 200, "worked", 6);
    }
    http_release(x);
}

static inline struct job *job_new(struct http_exchange *x, struct toy *t)
{
    struct job *j = arena_alloc(http_arena(x), sizeof(*j));

    berth_assert(j);
    j->work.run = job_run;
    j->msg.run = job_done;
    j->x = x;
    j->toy = t;
    return j;
}

static inline void submit(struct job *j)
{
    http_hold(j->x);
    workq_submit(j->toy->workers, WORK_BODY, &j->work);
}

static inline void on_block(struct http_exchange *x, void *arg,
                            struct http_block *b)
{
    struct job *j = arg;

    if (j->is_early) {
        http_block_done(x, b);
        http_reply(x, 200, "early", 5);
        return;
    }
    j->block = b;
    submit(j);
}

static inline void on_end(struct http_exchange *x, void *arg)
{
    struct job *j = arg;
    char text[64];
    int n = snprintf(text, sizeof(text), "%llu %llu",
                     (unsigned long long)j->bytes, (unsigned long long)j->sum);

    http_reply(x, 201, text, (size_t)n);
    pthread_mutex_lock(&j->toy->lock);
    j->toy->ended++;
    pthread_mutex_unlock(&j->toy->lock);
}

static const struct http_sink sink = {on_block, on_end};

static inline void on_abort(struct http_exchange *x, void *arg)
{
    struct toy *t = arg;
    struct http_block *b = http_body_take(x);

    pthread_mutex_lock(&t->lock);
    t->aborts++;
    t->kept_bytes = b ? (unsigned)b->len : 0;
    pthread_mutex_unlock(&t->lock);
    if (b)
        http_block_done(x, b);
    /* Ignored: the exchange is dead. */
    http_reply(x, 200, "never", 5);
}

static inline void on_whole(struct http_exchange *x, void *arg, char *data,
                            size_t len, bool is_too_large)
{
    (void)arg;
    if (is_too_large)
        http_reply(x, 413, "too large", 9);
    else
        http_reply(x, 200, data, len);
}

static inline void on_request(struct http_exchange *x, void *ctx)
{
    struct toy *t = ctx;
    const char *path = http_path(x);
    struct job *j = job_new(x, t);

    http_on_abort(x, on_abort, t);
    if (!path) {
        http_reply(x, 400, "path", 4);
    } else if (strcmp(path, "/echo") == 0) {
        http_body_read(x, 1000, on_whole, NULL);
    } else if (strcmp(path, "/sink") == 0 || strcmp(path, "/early") == 0) {
        j->is_early = path[1] == 'e';
        http_body_start(x, &sink, j);
    } else if (strcmp(path, "/work") == 0 || strcmp(path, "/gate") == 0) {
        j->is_gate = path[1] == 'g';
        submit(j);
    } else if (strcmp(path, "/big") == 0) {
        http_reply_file(x, 200, dup(t->big_fd), 0, BIG);
    } else if (strcmp(path, "/short") == 0) {
        http_reply_file(x, 200, dup(t->big_fd), BIG - 10, 1000);
    } else if (strcmp(path, "/split") == 0) {
        http_set(x, "X-Text", "a\r\nSet-Cookie: b");
    } else if (strcmp(path, "/split-name") == 0) {
        http_set(x, "X-Text: a\nX-Other", "b");
    } else if (strcmp(path, "/deny") == 0) {
        http_set(x, "WWW-Authenticate", "Basic realm=\"r\"");
        http_reply(x, 401, "denied", 6);
    } else {
        http_setf(x, "X-Path", "%s", path);
        http_reply_owned(x, 200, strdup(path), strlen(path));
    }
}

static inline void on_done(const struct http_record *r, void *ctx)
{
    struct toy *t = ctx;

    pthread_mutex_lock(&t->lock);
    t->dones++;
    t->last_status = r->status;
    t->is_last_cut = r->is_cut;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

static inline size_t error_body(int status, const char *why, char *out,
                                size_t cap, void *ctx)
{
    (void)ctx;
    return (size_t)snprintf(out, cap, "{\"s\":%d,\"w\":\"%s\"}", status, why);
}

/* ---- fixture ------------------------------------------------------------ */

struct fix {
    struct toy toy;
    struct lane *lanes[LANES];
    struct http_server *server;
    uint16_t port;
};

static inline void start(struct fix *f, const struct http_limits *limits)
{
    static const char *const listen_on[] = {"127.0.0.1:0"};
    struct workq_opts w = {.limit = {2, 1, 1}};
    struct http_server_opts o = {.listen = listen_on, .listen_count = 1};
    struct err e;
    uint64_t port;

    memset(f, 0, sizeof(*f));
    pthread_mutex_init(&f->toy.lock, NULL);
    pthread_cond_init(&f->toy.changed, NULL);
    f->toy.big_fd = memfd_create("big", MFD_CLOEXEC);
    assert_int_equal(ftruncate(f->toy.big_fd, BIG), 0);
    assert_int_equal(workq_new(&w, &f->toy.workers, &e), 0);
    for (int i = 0; i < LANES; i++)
        assert_int_equal(lane_start("lane", &f->lanes[i], &e), 0);
    o.lanes = f->lanes;
    o.lane_count = LANES;
    if (limits)
        o.limits = *limits;
    else
        http_limits_default(&o.limits);
    o.app = (struct http_app){&f->toy, on_request, on_done, error_body,
                              "X-Common: yes\r\n"};
    assert_int_equal(http_server_start(&o, &f->server, &e), 0);
    assert_true(num_parse_u64(
        slice_of(strrchr(http_server_address(f->server, 0), ':') + 1), 65535,
        &port));
    assert_null(http_server_address(f->server, 1));
    f->port = (uint16_t)port;
}

static inline void stop(struct fix *f)
{
    http_server_stop(f->server);
    workq_free(f->toy.workers);
    for (int i = 0; i < LANES; i++)
        lane_stop(f->lanes[i]);
    close(f->toy.big_fd);
    pthread_cond_destroy(&f->toy.changed);
    pthread_mutex_destroy(&f->toy.lock);
}

/* Wait until a counter of the toy has reached n. */
static inline void wait_count(struct fix *f, const unsigned *count, unsigned n)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&f->toy.lock);
    while (*count < n)
        assert_int_equal(
            pthread_cond_timedwait(&f->toy.changed, &f->toy.lock, &until), 0);
    pthread_mutex_unlock(&f->toy.lock);
}

static inline void wait_done(struct fix *f, unsigned n)
{
    wait_count(f, &f->toy.dones, n);
}

static inline void open_gate(struct fix *f)
{
    pthread_mutex_lock(&f->toy.lock);
    f->toy.is_gate_open = true;
    pthread_cond_broadcast(&f->toy.changed);
    pthread_mutex_unlock(&f->toy.lock);
}

/* ---- the client --------------------------------------------------------- */

static inline int dial(const struct fix *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(f->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval tv = {WAIT_S, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static inline void say_n(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

        assert_true(k > 0);
        p += k;
        n -= (size_t)k;
    }
}

static inline void say(int fd, const char *text)
{
    say_n(fd, text, strlen(text));
}

struct answer {
    int status;
    uint64_t length, got;
    bool is_closing;
    char head[2048];
    char body[256];
};

static inline void hear_head(int fd, struct answer *a)
{
    size_t n = 0;
    char *p;

    memset(a, 0, sizeof(*a));
    while (n < 4 || memcmp(a->head + n - 4, "\r\n\r\n", 4) != 0) {
        assert_true(n < sizeof(a->head) - 1);
        if (recv(fd, a->head + n, 1, 0) != 1)
            fail_msg("no answer, only <%s>", a->head);
        n++;
    }
    assert_memory_equal(a->head, "HTTP/1.1 ", 9);
    a->status = (a->head[9] - '0') * 100 + (a->head[10] - '0') * 10 +
                (a->head[11] - '0');
    a->is_closing = strstr(a->head, "Connection: close\r\n") != NULL;
    p = strstr(a->head, "Content-Length: ");
    if (p) {
        p += strlen("Content-Length: ");
        assert_true(num_parse_u64((struct slice){p, strcspn(p, "\r")},
                                  UINT64_MAX, &a->length));
    }
}

/* Read one answer; for is_head it has no body. */
static inline void hear(int fd, struct answer *a, bool is_head)
{
    static char chunk[65536];

    hear_head(fd, a);
    while (!is_head && a->got < a->length) {
        uint64_t left = a->length - a->got;
        ssize_t n =
            recv(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk), 0);

        if (n <= 0)
            return;
        if (a->got + (uint64_t)n < sizeof(a->body))
            memcpy(a->body + a->got, chunk, (size_t)n);
        a->got += (uint64_t)n;
    }
}

static inline void expect(int fd, int status, const char *body)
{
    struct answer a;

    hear(fd, &a, false);
    assert_int_equal(a.status, status);
    if (body)
        assert_string_equal(a.body, body);
}

static inline void expect_end(int fd)
{
    char c;

    assert_int_equal(recv(fd, &c, 1, 0), 0);
    close(fd);
}

#endif
