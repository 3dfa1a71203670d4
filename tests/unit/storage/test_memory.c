/*
 * Every allocation of SQLite fails once: for n = 1, 2, ... the n-th one in a
 * fixed scenario.  Whatever a step answers, no row may be left that names what
 * is not there, and what failed must work the next time.
 */
#include "tests/unit/storage/store_kit.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/log.h"

/* Nothing is cut here, and a sync takes most of the time. */
int fsync(int fd)
{
    return fd < 0 ? -1 : 0;
}

int fdatasync(int fd)
{
    return fd < 0 ? -1 : 0;
}

int syncfs(int fd)
{
    return fd < 0 ? -1 : 0;
}

static sqlite3_mem_methods plain;
static atomic_int countdown; /* 0: off */
static atomic_int hits;

static bool is_hit(void)
{
    int n = atomic_load(&countdown);

    while (n > 0) {
        if (!atomic_compare_exchange_weak(&countdown, &n, n - 1))
            continue;
        if (n == 1)
            atomic_fetch_add(&hits, 1);
        return n == 1;
    }
    return false;
}

static void *failing_malloc(int n)
{
    return is_hit() ? NULL : plain.xMalloc(n);
}

static void *failing_realloc(void *p, int n)
{
    return is_hit() ? NULL : plain.xRealloc(p, n);
}

/* What lookaside gives would not come here. */
static int install(void)
{
    sqlite3_mem_methods failing;

    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain) != SQLITE_OK)
        return -1;
    failing = plain;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK)
        return -1;
    return 0;
}

/* Push without asserts: false when it failed, and then nothing is left. */
static bool try_push(struct kit *k, const char *repo, const char *text,
                     struct digest *d)
{
    struct upload *u = kit_begin(k, repo);
    enum err_code code;
    struct err e = {0};

    *d = kit_digest(HASH_SHA256, text, strlen(text));
    if (upload_append(k->store, u, text, strlen(text), &e) < 0)
        fail_msg("append: %s", e.msg);
    code = kit_commit(k, u, d);
    if (code != ERR_NONE)
        upload_drop(k->store, u);
    assert_true(code == ERR_NONE || code == ERR_NO_MEMORY);
    return code == ERR_NONE;
}

static void reap_now(struct kit *k)
{
    struct store_job_reap j;

    store_job_reap_init(&j);
    assert_true(store_run(k->store, &j.job) == 0 ||
                j.job.e.code == ERR_NO_MEMORY);
}

static void mount_blob(struct kit *k, const struct digest *d)
{
    struct store_job_mount j;

    store_job_mount_init(&j);
    snprintf(j.repo, sizeof(j.repo), "m");
    snprintf(j.from, sizeof(j.from), "r");
    j.digest = *d;
    if (store_run(k->store, &j.job) < 0)
        assert_true(j.job.e.code == ERR_NO_MEMORY ||
                    j.job.e.code == ERR_NOT_FOUND);
}

/*
 * A blob dies and comes back before its file is taken, and an image lives on
 * it.  Steps may fail: whatever is there must be whole.
 */
static void scenario(struct kit *k, struct digest *d)
{
    char text[512];
    struct digest m;

    try_push(k, "r", "blob", d);
    kit_delete(k, DELETE_BLOB, "r", NULL, d);
    try_push(k, "r", "blob", d);
    reap_now(k);
    mount_blob(k, d);
    kit_image(text, sizeof(text), d, 4, "");
    kit_manifest(k, "r", text, "t", "u", &m);
    kit_delete(k, DELETE_TAG, "r", "u", NULL);
    kit_delete(k, DELETE_MANIFEST, "r", NULL, &m);
    kit_delete(k, DELETE_BLOB, "r", NULL, d);
    reap_now(k);
}

/* Rows of the index that a query finds; the server must be closed. */
static int count_rows(struct kit *k, const char *sql)
{
    sqlite3_stmt *st;
    char path[120];
    sqlite3 *db;
    int n;

    snprintf(path, sizeof(path), "%s/index.db", k->root);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

static void check(struct kit *k, const struct digest *d)
{
    static const char *const wrong[] = {
        "SELECT count(*) FROM repo WHERE name IS NULL OR name=''",
        "SELECT count(*) FROM dead_object JOIN blob USING(digest)",
        "SELECT count(*) FROM repo_blob WHERE digest NOT IN"
        " (SELECT digest FROM blob)",
        "SELECT count(*) FROM blob WHERE digest NOT IN"
        " (SELECT digest FROM repo_blob)",
        "SELECT count(*) FROM ref WHERE manifest NOT IN"
        " (SELECT id FROM manifest)",
        "SELECT count(*) FROM ref WHERE (repo, digest) NOT IN"
        " (SELECT repo, digest FROM repo_blob)",
        "SELECT count(*) FROM tag WHERE manifest NOT IN"
        " (SELECT id FROM manifest)",
    };

    assert_null(store_fault(k->store));
    if (kit_size(k, "r", d) >= 0)
        kit_check_bytes(k, "r", d, "blob");
    if (kit_size(k, "m", d) >= 0)
        kit_check_bytes(k, "m", d, "blob");
    kit_close(k);
    for (size_t i = 0; i < array_len(wrong); i++) {
        if (count_rows(k, wrong[i]) != 0)
            fail_msg("%s", wrong[i]);
    }
    kit_open(k);
    reap_now(k);
    if (kit_size(k, "m", d) >= 0)
        kit_check_bytes(k, "m", d, "blob");
}

static void test_each_allocation(void **state)
{
    struct kit *k = *state;
    struct digest d;
    int n;

    kit_close(k);
    k->opts.reap_delay_s = -1;
    kit_open(k);
    for (n = 1; n < 20000; n++) {
        atomic_store(&hits, 0);
        atomic_store(&countdown, n);
        scenario(k, &d);
        atomic_store(&countdown, 0);
        check(k, &d);
        scenario(k, &d); /* all of it, with memory */
        assert_int_equal(kit_size(k, "r", &d), -1);
        assert_int_equal(kit_delete(k, DELETE_BLOB, "m", NULL, &d), ERR_NONE);
        reap_now(k);
        if (atomic_load(&hits) == 0)
            break;
    }
    assert_int_equal(kit_count(k, "blobs"), 0);
    print_message("%d allocations failed in turn\n", n - 1);
    assert_true(n > 40 && n < 20000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_each_allocation)};
    struct err e;

    if (install() < 0 || log_open("/dev/null", &e) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
