/*
 * What requests ask of the policy, and what a "no" does.
 *
 * The policy of this version lets everybody pull.  Here policy_may() is
 * replaced by one that says no where a test wants it, so that the places that
 * ask are tested before there are users: a mount takes nothing from where the
 * caller may not pull, and does not tell whether it was there.
 */
#include "tests/unit/server/http/engine_kit.h"
#include "tests/unit/storage/store_kit.h"

#include <event2/thread.h>

#include "server/api.h"

#define DATA   "what is mounted"
#define ABSENT "sha256:" ZEROS ZEROS
#define ZEROS  "00000000000000000000000000000000"

/* ---- the policy of these tests ------------------------------------------ */

static struct {
    pthread_mutex_t lock;
    const char *closed[3]; /* repositories nobody may pull; "": the server */
    unsigned refused;      /* bits of actions that are refused everywhere */
    unsigned asked;        /* bits of actions, since the last ask() */
} rule = {.lock = PTHREAD_MUTEX_INITIALIZER};

enum policy_answer __wrap_policy_may(const struct policy *p,
                                     enum policy_action action,
                                     struct slice repository);

static bool is_open(enum policy_action action, struct slice repository)
{
    if (rule.refused & (1U << action))
        return false;
    for (size_t i = 0; i < array_len(rule.closed) && rule.closed[i]; i++) {
        if (action == POLICY_PULL && slice_is(repository, rule.closed[i]))
            return false;
    }
    return true;
}

enum policy_answer __wrap_policy_may(const struct policy *p,
                                     enum policy_action action,
                                     struct slice repository)
{
    bool is_yes;

    (void)p;
    pthread_mutex_lock(&rule.lock);
    rule.asked |= 1U << action;
    is_yes = is_open(action, repository);
    pthread_mutex_unlock(&rule.lock);
    return is_yes ? POLICY_YES : POLICY_DISABLED;
}

static void set_rule(const char *one, const char *two, unsigned refused)
{
    pthread_mutex_lock(&rule.lock);
    rule.closed[0] = one;
    rule.closed[1] = two;
    rule.refused = refused;
    pthread_mutex_unlock(&rule.lock);
}

static unsigned asked(void)
{
    unsigned bits;

    pthread_mutex_lock(&rule.lock);
    bits = rule.asked;
    pthread_mutex_unlock(&rule.lock);
    return bits;
}

/* ---- the registry ------------------------------------------------------- */

struct registry {
    struct kit *kit;
    struct fix http; /* its lanes, server and port */
    struct api_opts api;
    char digest[DIGEST_TEXT_MAX]; /* of DATA */
};

static void start_registry(struct registry *f)
{
    static const char *const listen_on[] = {"127.0.0.1:0"};
    struct workq_opts w = {.limit = {2, 2, 1},
                           .init = api_worker_init,
                           .fini = api_worker_fini,
                           .arg = f->kit->store};
    struct http_server_opts o = {.listen = listen_on, .listen_count = 1};
    struct err e = {0};
    uint64_t port;

    f->api.store = f->kit->store;
    assert_int_equal(workq_new(&w, &f->api.workq, &e), 0);
    for (int i = 0; i < LANES; i++)
        assert_int_equal(lane_start("lane", &f->http.lanes[i], &e), 0);
    o.lanes = f->http.lanes;
    o.lane_count = LANES;
    http_limits_default(&o.limits);
    o.app = (struct http_app){.ctx = &f->api,
                              .on_request = api_on_request,
                              .error_body = api_error_body,
                              .common_headers = API_COMMON_HEADERS};
    assert_int_equal(http_server_start(&o, &f->http.server, &e), 0);
    assert_true(num_parse_u64(
        slice_of(strrchr(http_server_address(f->http.server, 0), ':') + 1),
        65535, &port));
    f->http.port = (uint16_t)port;
}

/* One request over a connection of its own. */
static void ask(struct registry *f, const char *method, const char *path,
                const char *body, struct answer *a)
{
    char text[1024];
    int fd = dial(&f->http);

    pthread_mutex_lock(&rule.lock);
    rule.asked = 0;
    pthread_mutex_unlock(&rule.lock);
    snprintf(text, sizeof(text),
             "%s %s HTTP/1.1\r\n" HOST
             "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
             method, path, strlen(body), body);
    say(fd, text);
    hear(fd, a, strcmp(method, "HEAD") == 0);
    expect_end(fd);
}

static int status_of(struct registry *f, const char *method, const char *path)
{
    struct answer a;

    ask(f, method, path, "", &a);
    return a.status;
}

static void push(struct registry *f, const char *repo)
{
    char path[512];
    struct answer a;

    snprintf(path, sizeof(path), "/v2/%s/blobs/uploads/?digest=%s", repo,
             f->digest);
    ask(f, "POST", path, DATA, &a);
    assert_int_equal(a.status, 201);
}

static int setup(void **state)
{
    struct registry *f = calloc(1, sizeof(*f));
    void *kit = NULL;
    struct digest d;

    if (!f || kit_setup(&kit) != 0)
        return -1;
    f->kit = kit;
    start_registry(f);
    d = kit_digest(HASH_SHA256, DATA, strlen(DATA));
    digest_format(&d, f->digest);
    set_rule(NULL, NULL, 0);
    push(f, "open/a");
    push(f, "closed/b");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct registry *f = *state;
    void *kit = f->kit;

    http_server_stop(f->http.server);
    for (int i = 0; i < LANES; i++)
        lane_stop(f->http.lanes[i]);
    workq_free(f->api.workq);
    free(f);
    return kit_teardown(&kit);
}

/* ---- mounts ------------------------------------------------------------- */

/* Mount digest into repo; from may be NULL. Is it there afterwards? */
static bool mounts(struct registry *f, const char *repo, const char *digest,
                   const char *from, struct answer *a)
{
    char path[512];
    bool is_there;

    snprintf(path, sizeof(path), "/v2/%s/blobs/uploads/?mount=%s%s%s", repo,
             digest, from ? "&from=" : "", from ? from : "");
    ask(f, "POST", path, "", a);
    assert_true(asked() & (1U << POLICY_PULL));
    snprintf(path, sizeof(path), "/v2/%s/blobs/%s", repo, digest);
    is_there = status_of(f, "HEAD", path) == 200;
    assert_int_equal(a->status, is_there ? 201 : 202);
    return is_there;
}

static void test_mount_from_a_closed_repository(void **state)
{
    struct registry *f = *state;
    struct answer a;

    set_rule("closed/b", NULL, 0);
    assert_false(mounts(f, "mine/1", f->digest, "closed/b", &a));
    assert_true(mounts(f, "mine/1", f->digest, "open/a", &a));
    set_rule(NULL, NULL, 0);
    assert_true(mounts(f, "mine/2", f->digest, "closed/b", &a));
}

/* Asked about any repository: yes only when no repository is closed. */
static void test_mount_from_anywhere(void **state)
{
    struct registry *f = *state;
    struct answer a;

    set_rule("", "closed/b", 0);
    assert_false(mounts(f, "mine/1", f->digest, NULL, &a));
    set_rule(NULL, NULL, 0);
    assert_true(mounts(f, "mine/1", f->digest, NULL, &a));
}

/* Blank what differs between any two sessions. */
static void blank(char *head)
{
    static const char *const names[] = {
        "Location: ", "Docker-Upload-UUID: ", "Date: "};

    for (size_t i = 0; i < array_len(names); i++) {
        char *p = strstr(head, names[i]);

        assert_non_null(p);
        for (p += strlen(names[i]); *p != '\r'; p++)
            *p = 'x';
    }
}

/* A refused mount says no more than that of a blob that is nowhere. */
static void test_refusal_tells_nothing(void **state)
{
    struct registry *f = *state;
    struct answer hidden, nowhere;

    set_rule("closed/b", "", 0);
    assert_false(mounts(f, "mine/1", f->digest, "closed/b", &hidden));
    assert_false(mounts(f, "mine/1", ABSENT, "closed/b", &nowhere));
    blank(hidden.head);
    blank(nowhere.head);
    assert_string_equal(hidden.head, nowhere.head);
}

/* ---- every route -------------------------------------------------------- */

static const struct {
    const char *method, *path;
    enum policy_action action;
} requests[] = {
    {"GET", "/v2/", POLICY_PING},
    {"GET", "/livez", POLICY_PING},
    {"GET", "/v2/_catalog", POLICY_CATALOG},
    {"GET", "/v2/a/blobs/" ABSENT, POLICY_PULL},
    {"HEAD", "/v2/a/blobs/" ABSENT, POLICY_PULL},
    {"DELETE", "/v2/a/blobs/" ABSENT, POLICY_DELETE},
    {"GET", "/v2/a/manifests/v", POLICY_PULL},
    {"PUT", "/v2/a/manifests/v", POLICY_PUSH},
    {"DELETE", "/v2/a/manifests/v", POLICY_DELETE},
    {"GET", "/v2/a/tags/list", POLICY_PULL},
    {"GET", "/v2/a/referrers/" ABSENT, POLICY_PULL},
    {"POST", "/v2/a/blobs/uploads/", POLICY_PUSH},
    {"GET", "/v2/a/blobs/uploads/x", POLICY_PUSH},
    {"PATCH", "/v2/a/blobs/uploads/x", POLICY_PUSH},
    {"PUT", "/v2/a/blobs/uploads/x", POLICY_PUSH},
    {"DELETE", "/v2/a/blobs/uploads/x", POLICY_PUSH},
};

/* Each asks for its action before anything else, and heeds the answer. */
static void test_each_request_asks(void **state)
{
    struct registry *f = *state;

    for (size_t i = 0; i < array_len(requests); i++) {
        unsigned bit = 1U << requests[i].action;

        set_rule(NULL, NULL, 0);
        assert_int_not_equal(status_of(f, requests[i].method, requests[i].path),
                             405);
        assert_int_equal(asked(), bit);
        set_rule(NULL, NULL, bit);
        assert_int_equal(status_of(f, requests[i].method, requests[i].path),
                         405);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mount_from_a_closed_repository,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_mount_from_anywhere, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_refusal_tells_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_each_request_asks, setup,
                                        teardown),
    };

    evthread_use_pthreads();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
