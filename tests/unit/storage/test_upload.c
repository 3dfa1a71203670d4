/*
 * Upload sessions: who holds one, when one ends; and in trouble: disturbed
 * between the blob's name and the commit (the file is then a session's and a
 * blob's at once), or short of what the process may have.
 */
#include "tests/unit/storage/store_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

static long free_blocks = -1; /* of 1 byte, when not -1 */

int fstatvfs(int fd, struct statvfs *out)
{
    struct statfs fs = {0};

    if (syscall(SYS_fstatfs, fd, &fs) < 0)
        return -1;
    *out = (struct statvfs){.f_frsize = (unsigned long)fs.f_frsize,
                            .f_blocks = (fsblkcnt_t)fs.f_blocks,
                            .f_bavail = (fsblkcnt_t)fs.f_bavail};
    if (free_blocks >= 0) {
        out->f_frsize = 1;
        out->f_bavail = (fsblkcnt_t)free_blocks;
    }
    return 0;
}

/* A session is bound to its repository and held by one at a time. */
static void test_sessions(void **state)
{
    struct kit *k = *state;
    struct upload_info info, got;
    struct upload *u, *v;
    struct err e = {0};

    assert_int_equal(upload_begin(k->store, "r", HASH_SHA256, &info, &e), 0);
    u = kit_take(k, "r", info.id);
    assert_int_equal(upload_take(k->store, "r", info.id, &v, &got, &e), -1);
    assert_int_equal(e.code, ERR_BUSY);
    assert_int_equal(upload_take(k->store, "q", info.id, &v, &got, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(upload_take(k->store, "r", "../x", &v, &got, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(kit_count(k, "uploads"), 0);
    upload_release(k->store, u);
    upload_release(k->store, kit_take(k, "r", info.id));
}

static void test_resume_after_restart(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_digest(HASH_SHA256, "hello world", 11);
    struct upload *u = kit_begin(k, "r");
    char id[UPLOAD_ID_LEN + 1];
    struct err e = {0};

    upload_id(u, id);
    assert_int_equal(upload_append(k->store, u, "hello ", 6, &e), 0);
    kit_record(k, u);
    /* Bytes that nobody acknowledged: the row's offset is the truth. */
    assert_int_equal(upload_append(k->store, u, "garbage", 7, &e), 0);
    kit_begin(k, "r"); /* held at the end, never written */
    kit_close(k);
    kit_open(k);
    u = kit_take(k, "r", id);
    assert_int_equal(upload_offset(u), 6);
    assert_int_equal(upload_append(k->store, u, "world", 5, &e), 0);
    assert_int_equal(kit_commit(k, u, &d), ERR_NONE);
    kit_check_bytes(k, "r", &d, "hello world");
    kit_close(k);
    kit_open(k);
    assert_int_equal(kit_count(k, "uploads"), 0);
}

static void test_expiry(void **state)
{
    struct kit *k = *state;
    struct upload *u, *held;
    struct err e = {0};

    kit_close(k);
    k->opts.upload_idle_s = 0;
    kit_open(k);
    upload_release(k->store, kit_begin(k, "r"));
    held = kit_begin(k, "r");
    u = kit_begin(k, "r");
    assert_int_equal(upload_append(k->store, u, "x", 1, &e), 0);
    kit_record(k, u);
    upload_release(k->store, u);
    assert_int_equal(store_expire_uploads(k->store), 1); /* the empty one */
    upload_release(k->store, held);
    kit_close(k);
    k->opts.upload_ttl_s = 0;
    kit_open(k);
    assert_int_equal(store_expire_uploads(k->store), 1);
    assert_int_equal(kit_count(k, "uploads"), 0);
    kit_close(k);
    kit_open(k); /* its row is gone too */
    assert_int_equal(store_expire_uploads(k->store), 0);
}

/* At the limit the session that was idle longest makes room. */
static void test_session_limit(void **state)
{
    struct kit *k = *state;
    struct upload_info first, second, info;
    struct upload *held, *u;
    struct err e = {0};

    assert_int_equal(upload_begin(k->store, "r", HASH_SHA256, &first, &e), 0);
    held = kit_take(k, "r", first.id);
    assert_int_equal(upload_begin(k->store, "r", HASH_SHA256, &second, &e), 0);
    usleep(2000); /* the clock of idleness counts milliseconds */
    for (int i = 0; i < 9999; i++)
        assert_int_equal(upload_begin(k->store, "r", HASH_SHA256, &info, &e),
                         0);
    assert_int_equal(upload_take(k->store, "r", second.id, &u, &info, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    upload_release(k->store, held);
    upload_release(k->store, kit_take(k, "r", first.id));
}

static void append(struct kit *k, struct upload *u, const char *text)
{
    struct err e = {0};

    if (upload_append(k->store, u, text, strlen(text), &e) < 0)
        fail_msg("append: %s", e.msg);
}

/* As PUT does it, up to the commit, which never comes. */
static struct digest finish(struct kit *k, struct upload *u, const char *text)
{
    struct digest d = kit_digest(HASH_SHA256, text, strlen(text));
    struct err e = {0};

    if (upload_finish(k->store, u, &d, &e) < 0)
        fail_msg("finish: %s", e.msg);
    return d;
}

/* The commit failed, the session goes on, and the blob is somebody else's. */
static void test_failed_commit(void **state)
{
    struct kit *k = *state;
    struct upload *u = kit_begin(k, "r");
    struct digest d, longer = kit_digest(HASH_SHA256, "hello world", 11);
    char id[UPLOAD_ID_LEN + 1];

    upload_id(u, id);
    append(k, u, "hello");
    d = finish(k, u, "hello");
    upload_release(k->store, u);
    kit_push(k, "q", "hello");
    u = kit_take(k, "r", id);
    append(k, u, " world");
    kit_check_bytes(k, "q", &d, "hello");
    kit_record(k, u);
    kit_check_bytes(k, "q", &d, "hello");
    assert_int_equal(kit_commit(k, u, &longer), ERR_NONE);
    kit_check_bytes(k, "r", &longer, "hello world");
    kit_check_bytes(k, "q", &d, "hello");
    assert_int_equal(kit_count(k, "uploads"), 0);
}

/* The same when the bytes go back to what was acknowledged. */
static void test_failed_commit_and_rewind(void **state)
{
    struct kit *k = *state;
    struct upload *u = kit_begin(k, "r");
    struct digest d;
    char id[UPLOAD_ID_LEN + 1];

    upload_id(u, id);
    append(k, u, "hello");
    d = finish(k, u, "hello");
    kit_push(k, "q", "hello");
    append(k, u, " unacknowledged");
    kit_check_bytes(k, "q", &d, "hello");
    upload_release(k->store, u);
    u = kit_take(k, "r", id);
    assert_int_equal(upload_offset(u), 5);
    kit_check_bytes(k, "q", &d, "hello");
    assert_int_equal(kit_commit(k, u, &d), ERR_NONE);
    kit_check_bytes(k, "q", &d, "hello");
    kit_check_bytes(k, "r", &d, "hello");
}

/*
 * "hello " is recorded, "hello world" has its blob's name when the server
 * dies; then somebody else pushes that blob.  The session's id is in `id`.
 */
static struct digest crash_and_push(struct kit *k, char id[UPLOAD_ID_LEN + 1])
{
    struct upload *u = kit_begin(k, "r");
    struct digest d;

    upload_id(u, id);
    append(k, u, "hello ");
    kit_record(k, u);
    append(k, u, "world");
    d = finish(k, u, "hello world");
    kit_close(k);
    kit_open(k);
    kit_push(k, "q", "hello world");
    return d;
}

/* The session's offset of before the crash is less than the blob's size. */
static void test_crash_before_commit(void **state)
{
    struct kit *k = *state;
    struct upload *u;
    struct digest d, other = kit_digest(HASH_SHA256, "hello you", 9);
    char id[UPLOAD_ID_LEN + 1];

    d = crash_and_push(k, id);
    u = kit_take(k, "r", id);
    assert_int_equal(upload_offset(u), 6);
    append(k, u, "you");
    kit_check_bytes(k, "q", &d, "hello world");
    assert_int_equal(kit_commit(k, u, &other), ERR_NONE);
    kit_check_bytes(k, "q", &d, "hello world");
    kit_check_bytes(k, "r", &other, "hello you");
    kit_close(k);
    kit_open(k);
    assert_int_equal(kit_count(k, "uploads"), 0);
}

/* Also when nothing is written any more: the offset alone cuts the file. */
static void test_crash_and_finish(void **state)
{
    struct kit *k = *state;
    struct digest d, start = kit_digest(HASH_SHA256, "hello ", 6);
    char id[UPLOAD_ID_LEN + 1];

    d = crash_and_push(k, id);
    assert_int_equal(kit_commit(k, kit_take(k, "r", id), &start), ERR_NONE);
    kit_check_bytes(k, "q", &d, "hello world");
    kit_check_bytes(k, "r", &start, "hello ");
}

/* The copy that the session then needs leaves the floor free as well. */
static void test_no_room_for_a_copy(void **state)
{
    struct kit *k = *state;
    struct digest other = kit_digest(HASH_SHA256, "hello world you", 15);
    struct upload *u;
    struct err e = {0};
    struct digest d;

    kit_close(k);
    k->opts.min_free_bytes = 100;
    kit_open(k);
    u = kit_begin(k, "r");
    append(k, u, "hello world");
    d = finish(k, u, "hello world");
    kit_push(k, "q", "hello world");
    free_blocks = 110;
    assert_int_equal(upload_append(k->store, u, " you", 4, &e), -1);
    assert_int_equal(e.code, ERR_NO_SPACE);
    assert_int_equal(kit_count(k, "uploads"), 1);
    free_blocks = 111;
    append(k, u, " you");
    free_blocks = -1;
    assert_int_equal(kit_commit(k, u, &other), ERR_NONE);
    kit_check_bytes(k, "q", &d, "hello world");
    kit_check_bytes(k, "r", &other, "hello world you");
}

/* A damaged file was replaced, and the commit failed: PUT again works. */
static void test_healed_and_failed(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_push(k, "r", "hello");
    struct upload *u = kit_begin(k, "r");
    char cmd[160], id[UPLOAD_ID_LEN + 1];

    snprintf(cmd, sizeof(cmd), "find %s/blobs -type f -exec truncate -s 2 {} +",
             k->root);
    assert_int_equal(system(cmd), 0);
    upload_id(u, id);
    append(k, u, "hello");
    finish(k, u, "hello");
    kit_record(k, u);
    kit_close(k);
    kit_open(k);
    kit_check_bytes(k, "r", &d, "hello");
    u = kit_take(k, "r", id);
    assert_int_equal(kit_commit(k, u, &d), ERR_NONE);
    kit_check_bytes(k, "r", &d, "hello");
    assert_int_equal(kit_count(k, "uploads"), 0);
    assert_int_equal(kit_count(k, "trash"), 0);
}

/* ---- limits of the process ----------------------------------------------- */

/* Set a soft limit; returns the old one. */
static rlim_t limit(__rlimit_resource_t what, rlim_t value)
{
    struct rlimit r;
    rlim_t old;

    assert_int_equal(getrlimit(what, &r), 0);
    old = r.rlim_cur;
    r.rlim_cur = value;
    assert_int_equal(setrlimit(what, &r), 0);
    return old;
}

static int lowest_free_fd(void)
{
    int fd = dup(0);

    assert_true(fd >= 0);
    close(fd);
    return fd;
}

/* No descriptor left says nothing about the disk: no fault, try again. */
static void test_no_descriptor(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_digest(HASH_SHA256, "hello", 5);
    struct upload *u = kit_begin(k, "r");
    struct err e = {0};
    rlim_t old;
    int fd = -1, rc;

    append(k, u, "hello");
    old = limit(RLIMIT_NOFILE, (rlim_t)lowest_free_fd());
    rc = upload_finish(k->store, u, &d, &e);
    limit(RLIMIT_NOFILE, old);
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_NO_MEMORY);
    assert_null(store_fault(k->store));
    assert_int_equal(kit_commit(k, u, &d), ERR_NONE);
    kit_check_bytes(k, "r", &d, "hello");
    old = limit(RLIMIT_NOFILE, (rlim_t)lowest_free_fd());
    rc = store_blob_open(k->store, &d, 5, &fd, &e);
    limit(RLIMIT_NOFILE, old);
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_NO_MEMORY);
}

/* Nor does a file that is larger than files may be. */
static void test_file_too_large(void **state)
{
    struct kit *k = *state;
    struct upload *u = kit_begin(k, "r");
    struct err e = {0};
    char big[4096];
    rlim_t old;
    int rc;

    memset(big, 'x', sizeof(big));
    signal(SIGXFSZ, SIG_IGN);
    old = limit(RLIMIT_FSIZE, 1000);
    rc = upload_append(k->store, u, big, sizeof(big), &e);
    limit(RLIMIT_FSIZE, old);
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_null(store_fault(k->store));
    assert_int_equal(upload_offset(u), 0);
    upload_drop(k->store, u);
    kit_push(k, "r", "small");
}

/* Sessions at rest keep no descriptor, however many they are. */
static void test_sessions_at_rest(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_digest(HASH_SHA256, "hello you", 9);
    struct upload *u = NULL;
    char id[UPLOAD_ID_LEN + 1];
    int before = lowest_free_fd();

    for (int i = 0; i < 50; i++) {
        u = kit_begin(k, "r");
        append(k, u, "hello");
        kit_record(k, u);
        upload_id(u, id);
        upload_release(k->store, u);
        assert_int_equal(lowest_free_fd(), before);
    }
    u = kit_take(k, "r", id);
    append(k, u, " you");
    assert_int_equal(kit_commit(k, u, &d), ERR_NONE);
    kit_check_bytes(k, "r", &d, "hello you");
    assert_int_equal(lowest_free_fd(), before);
}

/* Thousands of empty sessions cost nobody an upload that has bytes. */
static void test_flood_of_sessions(void **state)
{
    struct kit *k = *state;
    struct upload *u = kit_begin(k, "r");
    char id[UPLOAD_ID_LEN + 1];
    struct upload_info info;
    struct err e = {0};

    upload_id(u, id);
    append(k, u, "hello");
    kit_record(k, u);
    upload_release(k->store, u);
    usleep(2000); /* the clock of idleness counts milliseconds */
    for (int i = 0; i < 10050; i++)
        assert_int_equal(upload_begin(k->store, "q", HASH_SHA256, &info, &e),
                         0);
    assert_int_equal(upload_offset(kit_take(k, "r", id)), 5);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_sessions),
        T(test_resume_after_restart),
        T(test_expiry),
        T(test_session_limit),
        T(test_failed_commit),
        T(test_failed_commit_and_rewind),
        T(test_crash_before_commit),
        T(test_crash_and_finish),
        T(test_no_room_for_a_copy),
        T(test_healed_and_failed),
        T(test_no_descriptor),
        T(test_file_too_large),
        T(test_sessions_at_rest),
        T(test_flood_of_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
