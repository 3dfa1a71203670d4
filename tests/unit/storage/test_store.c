/* Blobs in and out, and the opening of a store. */
#include "tests/unit/storage/store_kit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>

static void test_push_and_read(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_push(k, "a/b", "hello");
    bool has = false;
    struct err e = {0};

    kit_check_bytes(k, "a/b", &d, "hello");
    assert_int_equal(kit_size(k, "a/c", &d), -1);
    assert_int_equal(store_has_repository(k->reader, "a/b", &has, &e), 0);
    assert_true(has);
    assert_int_equal(store_has_repository(k->reader, "a/c", &has, &e), 0);
    assert_false(has);
    kit_close(k);
    kit_open(k);
    kit_check_bytes(k, "a/b", &d, "hello");
    assert_int_equal(kit_count(k, "uploads"), 0);
}

static void test_empty_blob(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_digest(HASH_SHA256, "", 0);

    assert_int_equal(kit_commit(k, kit_begin(k, "r"), &d), ERR_NONE);
    kit_check_bytes(k, "r", &d, "");
}

static void test_sha512(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_digest(HASH_SHA512, "hello", 5);
    struct upload_info info;
    struct upload *u;
    struct err e = {0};

    /* Announced, and found out only at the end (one re-read). */
    assert_int_equal(upload_begin(k->store, "r", HASH_SHA512, &info, &e), 0);
    u = kit_take(k, "r", info.id);
    assert_int_equal(upload_append(k->store, u, "hello", 5, &e), 0);
    assert_int_equal(kit_commit(k, u, &d), ERR_NONE);
    u = kit_begin(k, "s");
    assert_int_equal(upload_append(k->store, u, "hello", 5, &e), 0);
    assert_int_equal(kit_commit(k, u, &d), ERR_NONE);
    kit_check_bytes(k, "s", &d, "hello");
    assert_int_equal(kit_count(k, "blobs/sha512"), 1);
    assert_int_equal(kit_count(k, "blobs/sha256"), 0);
}

static void test_wrong_digest(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_digest(HASH_SHA256, "other", 5);
    struct upload *u = kit_begin(k, "r");
    struct err e = {0};

    assert_int_equal(upload_append(k->store, u, "hello", 5, &e), 0);
    assert_int_equal(kit_commit(k, u, &d), ERR_DIGEST);
    upload_drop(k->store, u);
    assert_int_equal(kit_size(k, "r", &d), -1);
    assert_int_equal(kit_count(k, "blobs"), 0);
    assert_int_equal(kit_count(k, "uploads"), 0);
}

/* A file without a row and a row without a file both go at the start. */
static void test_recovery(void **state)
{
    struct kit *k = *state;
    struct upload *u = kit_begin(k, "r"), *v = NULL;
    char id[UPLOAD_ID_LEN + 1], path[160];
    struct upload_info info;
    struct err e = {0};

    upload_id(u, id);
    assert_int_equal(upload_append(k->store, u, "x", 1, &e), 0);
    kit_record(k, u);
    u = kit_begin(k, "r");
    assert_int_equal(upload_append(k->store, u, "y", 1, &e), 0);
    kit_close(k);
    snprintf(path, sizeof(path), "%s/uploads/%s", k->root, id);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/trash/x", k->root);
    assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    kit_open(k);
    assert_int_equal(kit_count(k, "uploads"), 0);
    assert_int_equal(kit_count(k, "trash"), 0);
    assert_int_equal(upload_take(k->store, "r", id, &v, &info, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

struct twin {
    struct kit *k;
    enum err_code code;
};

static void *push_twin(void *arg)
{
    struct twin *t = arg;
    struct digest d = kit_digest(HASH_SHA256, "twin", 4);
    struct upload_info info;
    struct upload *u;
    struct err e = {0};

    if (upload_begin(t->k->store, "r", HASH_SHA256, &info, &e) < 0 ||
        upload_take(t->k->store, "r", info.id, &u, &info, &e) < 0 ||
        upload_append(t->k->store, u, "twin", 4, &e) < 0)
        t->code = e.code;
    else
        t->code = kit_commit(t->k, u, &d);
    return NULL;
}

/* Clients that push one blob at once all get it, and one copy remains. */
static void test_twins(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_digest(HASH_SHA256, "twin", 4);
    struct twin twins[8];
    pthread_t threads[8];

    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 8; i++) {
            twins[i] = (struct twin){k, ERR_INTERNAL};
            assert_int_equal(
                pthread_create(&threads[i], NULL, push_twin, &twins[i]), 0);
        }
        for (int i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(twins[i].code, ERR_NONE);
        }
        kit_check_bytes(k, "r", &d, "twin");
        assert_int_equal(kit_count(k, "blobs"), 1);
        assert_int_equal(kit_count(k, "uploads"), 0);
        assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &d), ERR_NONE);
    }
}

/* A blob file of a wrong size is reported, and a push heals it. */
static void test_damage(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_push(k, "r", "hello");
    struct err e = {0};
    char cmd[160];
    int fd = -1;

    snprintf(cmd, sizeof(cmd), "find %s/blobs -type f -exec truncate -s 2 {} +",
             k->root);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(store_blob_open(k->store, &d, 5, &fd, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    assert_null(store_fault(k->store));
    kit_push(k, "r", "hello");
    kit_check_bytes(k, "r", &d, "hello");
    /* A planted link is damage too, whatever it points to. */
    snprintf(cmd, sizeof(cmd),
             "find %s/blobs -type f -exec ln -sf /etc/passwd {} \\;", k->root);
    assert_int_equal(system(cmd), 0);
    assert_int_equal(store_blob_open(k->store, &d, 5, &fd, &e), -1);
    assert_int_equal(e.code, ERR_IO);
}

static void test_second_opener(void **state)
{
    struct kit *k = *state;
    struct store *other = NULL;
    struct err e = {0};
    char pid[32];

    assert_int_equal(store_open(&k->opts, &other, &e), -1);
    assert_int_equal(e.code, ERR_BUSY);
    snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
    assert_non_null(strstr(e.msg, pid));
}

static void test_unsafe_root(void **state)
{
    struct kit *k = *state;
    struct store *s = NULL;
    struct err e = {0};

    kit_close(k);
    assert_int_equal(chmod(k->root, 0707), 0);
    assert_int_equal(store_open(&k->opts, &s, &e), -1);
    assert_int_equal(e.code, ERR_DENIED);
    assert_int_equal(chmod(k->root, 0700), 0);
    kit_open(k);
}

static void test_format(void **state)
{
    struct kit *k = *state;
    struct store *s = NULL;
    struct err e = {0};
    char path[96];
    sqlite3 *db;

    kit_close(k);
    snprintf(path, sizeof(path), "%s/index.db", k->root);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), 0);
    sqlite3_close(db);
    assert_int_equal(store_open(&k->opts, &s, &e), -1);
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA user_version=1", NULL, NULL, NULL), 0);
    sqlite3_close(db);
    kit_open(k);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_push_and_read), T(test_empty_blob),    T(test_sha512),
        T(test_wrong_digest),  T(test_recovery),      T(test_twins),
        T(test_damage),        T(test_second_opener), T(test_unsafe_root),
        T(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
