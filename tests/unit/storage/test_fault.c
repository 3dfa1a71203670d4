/*
 * Every write-side system call fails once: for n = 1, 2, ... the n-th call of
 * the list below answers EIO in a fixed scenario, until a run has no n-th
 * call.  Each time the store must refuse what follows, and after a restart
 * everything it acknowledged must be there.
 *
 * The functions are defined here, so that both our objects and libsqlite3
 * call these instead of libc's.
 */
#include "tests/unit/storage/store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/log.h"

static atomic_int countdown; /* 0: off */
static atomic_int hits;

/* Is this the call that fails? */
static bool is_hit(void)
{
    int n = atomic_load(&countdown);

    while (n > 0) {
        if (!atomic_compare_exchange_weak(&countdown, &n, n - 1))
            continue;
        if (n != 1)
            return false;
        atomic_fetch_add(&hits, 1);
        errno = EIO;
        return true;
    }
    return false;
}

int fsync(int fd)
{
    return is_hit() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return is_hit() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int sync_file_range(int fd, off64_t off, off64_t n, unsigned flags)
{
    return is_hit() ? -1 : (int)syscall(SYS_sync_file_range, fd, off, n, flags);
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    return is_hit() ? -1 : (int)syscall(SYS_linkat, a, from, b, to, flags);
}

int renameat(int a, const char *from, int b, const char *to)
{
    return is_hit() ? -1 : (int)syscall(SYS_renameat, a, from, b, to);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    return is_hit() ? -1 : syscall(SYS_pwrite64, fd, p, n, off);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
    return is_hit() ? -1 : syscall(SYS_pwrite64, fd, p, n, off);
}

int ftruncate(int fd, off_t n)
{
    return is_hit() ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

/* What a run acknowledged. */
struct acked {
    char blob[32], parts[32], shared[32], manifest[512];
    struct digest blob_digest, parts_digest, shared_digest, manifest_digest,
        gone_digest;
    bool has_blob, has_offset, has_parts, has_shared, has_manifest, is_gone,
        was_error;
    char id[UPLOAD_ID_LEN + 1];
};

/* No asserts inside: everything here may fail. */
static enum err_code try_blob(struct kit *k, const char *text,
                              struct digest *out)
{
    struct upload_info info;
    struct upload *u;
    struct err e = {0};

    *out = kit_digest(HASH_SHA256, text, strlen(text));
    if (upload_begin(k->store, "r", HASH_SHA256, &info, &e) < 0 ||
        upload_take(k->store, "r", info.id, &u, &info, &e) < 0 ||
        upload_append(k->store, u, text, strlen(text), &e) < 0)
        return e.code;
    return kit_commit(k, u, out);
}

static enum err_code try_parts(struct kit *k, struct acked *a)
{
    size_t half = strlen(a->parts) / 2;
    struct store_job_offset j;
    struct upload_info info;
    struct upload *u;
    struct err e = {0};
    enum err_code code;

    a->parts_digest = kit_digest(HASH_SHA256, a->parts, strlen(a->parts));
    if (upload_begin(k->store, "r", HASH_SHA256, &info, &e) < 0 ||
        upload_take(k->store, "r", info.id, &u, &info, &e) < 0 ||
        upload_append(k->store, u, a->parts, half, &e) < 0 ||
        upload_sync(k->store, u, &e) < 0)
        return e.code;
    store_job_offset_init(&j, u);
    if (store_run(k->store, &j.job) < 0)
        return j.job.e.code;
    a->has_offset = true;
    memcpy(a->id, info.id, sizeof(a->id));
    if (upload_append(k->store, u, a->parts + half, strlen(a->parts) - half,
                      &e) < 0)
        return e.code;
    code = kit_commit(k, u, &a->parts_digest);
    a->has_parts = code == ERR_NONE;
    return code;
}

/* A session goes on behind a blob that shares its file. */
static enum err_code try_shared(struct kit *k, struct acked *a)
{
    struct upload_info info;
    struct upload *u;
    struct err e = {0};
    enum err_code code;

    a->shared_digest = kit_digest(HASH_SHA256, a->shared, strlen(a->shared));
    if (upload_begin(k->store, "q", HASH_SHA256, &info, &e) < 0 ||
        upload_take(k->store, "q", info.id, &u, &info, &e) < 0 ||
        upload_append(k->store, u, a->shared, strlen(a->shared), &e) < 0 ||
        upload_finish(k->store, u, &a->shared_digest, &e) < 0)
        return e.code;
    code = try_blob(k, a->shared, &a->shared_digest);
    if (code != ERR_NONE)
        return code;
    a->has_shared = true;
    if (upload_append(k->store, u, "more", 4, &e) < 0 ||
        upload_sync(k->store, u, &e) < 0)
        return e.code;
    return ERR_NONE;
}

static void note(struct kit *k, struct acked *a, enum err_code code)
{
    if (code == ERR_NONE)
        return;
    a->was_error = true;
    /* An I/O error must leave a fault: nothing is tried again. */
    if (code == ERR_IO && !store_fault(k->store))
        fail_msg("an I/O error left no fault");
}

static void scenario(struct kit *k, struct acked *a)
{
    enum err_code code = try_blob(k, a->blob, &a->blob_digest);

    note(k, a, code);
    a->has_blob = code == ERR_NONE;
    note(k, a, try_parts(k, a));
    note(k, a, try_shared(k, a));
    if (a->has_blob) {
        kit_image(a->manifest, sizeof(a->manifest), &a->blob_digest,
                  (int64_t)strlen(a->blob), "");
        code =
            kit_manifest(k, "r", a->manifest, "t", NULL, &a->manifest_digest);
        note(k, a, code);
        a->has_manifest = code == ERR_NONE;
    }
    if (try_blob(k, "gone", &a->gone_digest) == ERR_NONE) {
        struct store_job_reap reap;

        code = kit_delete(k, DELETE_BLOB, "r", NULL, &a->gone_digest);
        note(k, a, code);
        a->is_gone = code == ERR_NONE;
        store_job_reap_init(&reap);
        if (store_run(k->store, &reap.job) < 0)
            note(k, a, reap.job.e.code);
    }
}

static void check_offset(struct kit *k, const struct acked *a)
{
    struct upload *u = kit_take(k, "r", a->id);
    size_t half = strlen(a->parts) / 2;
    struct err e = {0};

    assert_int_equal(upload_offset(u), half);
    assert_int_equal(upload_append(k->store, u, a->parts + half,
                                   strlen(a->parts) - half, &e),
                     0);
    assert_int_equal(kit_commit(k, u, &a->parts_digest), ERR_NONE);
}

static void check_acked(struct kit *k, const struct acked *a)
{
    struct store_manifest m;
    struct err e = {0};

    if (a->has_blob)
        kit_check_bytes(k, "r", &a->blob_digest, a->blob);
    if (a->has_offset && !a->has_parts &&
        kit_size(k, "r", &a->parts_digest) < 0)
        check_offset(k, a);
    if (a->has_offset)
        kit_check_bytes(k, "r", &a->parts_digest, a->parts);
    if (a->has_shared)
        kit_check_bytes(k, "r", &a->shared_digest, a->shared);
    if (a->has_manifest) {
        assert_int_equal(
            store_manifest_get(k->reader, "r", "t", NULL, true, &m, &e), 0);
        assert_true(digest_eq(&m.digest, &a->manifest_digest));
        free(m.bytes);
    }
    if (a->is_gone)
        assert_int_equal(kit_size(k, "r", &a->gone_digest), -1);
}

static void test_each_call(void **state)
{
    struct kit *k = *state;
    int n, with_error = 0;

    kit_close(k);
    k->opts.reap_delay_s = -1;
    for (n = 1; n < 2000; n++) {
        struct acked a = {.has_blob = false};
        struct err e = {0};

        snprintf(a.blob, sizeof(a.blob), "blob %d", n);
        snprintf(a.parts, sizeof(a.parts), "some parts %d", n);
        snprintf(a.shared, sizeof(a.shared), "of two %d", n);
        atomic_store(&hits, 0);
        atomic_store(&countdown, n);
        if (store_open(&k->opts, &k->store, &e) == 0) {
            if (store_reader_open(k->store, &k->reader, &e) == 0)
                scenario(k, &a);
            kit_close(k);
        }
        atomic_store(&countdown, 0);
        with_error += a.was_error;
        kit_open(k);
        check_acked(k, &a);
        kit_close(k);
        if (atomic_load(&hits) == 0)
            break;
    }
    kit_open(k);
    print_message("%d calls failed in turn, %d runs saw an error\n", n - 1,
                  with_error);
    assert_true(n > 40 && n < 2000);
    assert_true(with_error > 20);
}

/* After a fault reads go on and every write is refused with the reason. */
static void test_read_only(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_push(k, "r", "before"), no;
    struct upload_info info;
    struct err e = {0};

    atomic_store(&countdown, 3);
    while (try_blob(k, "during", &no) == ERR_NONE)
        atomic_store(&countdown, 3);
    atomic_store(&countdown, 0);
    assert_non_null(store_fault(k->store));
    kit_check_bytes(k, "r", &d, "before");
    assert_int_equal(upload_begin(k->store, "r", HASH_SHA256, &info, &e), -1);
    assert_int_equal(e.code, ERR_READ_ONLY);
    assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &d), ERR_READ_ONLY);
    kit_close(k);
    kit_open(k);
    assert_null(store_fault(k->store));
    kit_push(k, "r", "after");
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_each_call), T(test_read_only)};
    struct err e;

    /* The faults are made here; their log lines would bury the results. */
    if (log_open("/dev/null", &e) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
