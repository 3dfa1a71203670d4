#include "tests/unit/storage/store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/wait.h>

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

static void checkpoint(struct kit *k, struct upload *u)
{
    struct store_job_offset j;
    struct err e = {0};

    assert_int_equal(upload_sync(k->store, u, &e), 0);
    store_job_offset_init(&j, u);
    assert_int_equal(store_run(k->store, &j.job), 0);
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
    checkpoint(k, u);
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
    checkpoint(k, u);
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
    checkpoint(k, u);
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

#define MANY 200

struct many {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int done;
};

struct one {
    struct store_job_mount mount;
    struct many *all;
};

static void on_one(struct store_job *j)
{
    struct one *one = (struct one *)j;

    pthread_mutex_lock(&one->all->lock);
    one->all->done++;
    pthread_cond_signal(&one->all->changed);
    pthread_mutex_unlock(&one->all->lock);
}

/* Jobs of one group: each gets its own answer, the bad ones hurt no other. */
static void test_group(void **state)
{
    static struct one jobs[MANY];
    struct many all = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    struct kit *k = *state;
    struct digest good = kit_push(k, "from", "x");
    struct digest bad = kit_digest(HASH_SHA256, "absent", 6);

    for (int i = 0; i < MANY; i++) {
        struct store_job_mount *j = &jobs[i].mount;

        store_job_mount_init(j);
        jobs[i].all = &all;
        j->job.done = on_one;
        snprintf(j->repo, sizeof(j->repo), "to/%d", i);
        snprintf(j->from, sizeof(j->from), "from");
        j->digest = i % 3 ? good : bad;
        store_submit(k->store, &j->job);
    }
    pthread_mutex_lock(&all.lock);
    while (all.done < MANY)
        pthread_cond_wait(&all.changed, &all.lock);
    pthread_mutex_unlock(&all.lock);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(jobs[i].mount.job.rc, i % 3 ? 0 : -1);
        assert_int_equal(kit_size(k, jobs[i].mount.repo, &good),
                         i % 3 ? 1 : -1);
    }
}

static void test_sparse(void **state)
{
    struct kit *k = *state;
    struct digest c = kit_digest(HASH_SHA256, "later", 5), d;
    char text[512];

    kit_image(text, sizeof(text), &c, 5, "");
    assert_int_equal(kit_manifest(k, "r", text, "t", NULL, &d), ERR_MISSING);
    k->is_sparse = true;
    assert_int_equal(kit_manifest(k, "r", text, "t", NULL, &d), ERR_NONE);
    kit_push(k, "r", "later");
    assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &c), ERR_BUSY);
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

static enum err_code mount_blob(struct kit *k, const char *from,
                                const char *repo, const struct digest *d)
{
    struct store_job_mount j;

    store_job_mount_init(&j);
    snprintf(j.repo, sizeof(j.repo), "%s", repo);
    snprintf(j.from, sizeof(j.from), "%s", from);
    j.digest = *d;
    return store_run(k->store, &j.job) < 0 ? j.job.e.code : ERR_NONE;
}

static void test_mount(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_push(k, "from", "x");
    struct digest no = kit_digest(HASH_SHA256, "absent", 6);
    bool has = true;
    struct err e = {0};

    assert_int_equal(mount_blob(k, "nowhere", "to", &d), ERR_NOT_FOUND);
    assert_int_equal(mount_blob(k, "from", "to", &no), ERR_NOT_FOUND);
    assert_int_equal(store_has_repository(k->reader, "to", &has, &e), 0);
    assert_false(has);
    assert_int_equal(mount_blob(k, "from", "to", &d), ERR_NONE);
    assert_int_equal(mount_blob(k, "from", "to", &d), ERR_NONE);
    assert_int_equal(mount_blob(k, "", "third", &d), ERR_NONE);
    kit_check_bytes(k, "third", &d, "x");
    assert_int_equal(kit_count(k, "blobs"), 1);
}

static bool reap(struct kit *k)
{
    struct store_job_reap j;

    store_job_reap_init(&j);
    assert_int_equal(store_run(k->store, &j.job), 0);
    return j.count > 0;
}

static void test_delete_blob(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_push(k, "a", "x");

    assert_int_equal(mount_blob(k, "a", "b", &d), ERR_NONE);
    assert_int_equal(kit_delete(k, DELETE_BLOB, "a", NULL, &d), ERR_NONE);
    assert_int_equal(kit_delete(k, DELETE_BLOB, "a", NULL, &d), ERR_NOT_FOUND);
    assert_int_equal(kit_delete(k, DELETE_BLOB, "z", NULL, &d), ERR_NOT_FOUND);
    assert_int_equal(kit_size(k, "a", &d), -1);
    kit_check_bytes(k, "b", &d, "x");
    assert_false(reap(k));
    assert_int_equal(kit_delete(k, DELETE_BLOB, "b", NULL, &d), ERR_NONE);
    assert_false(reap(k)); /* not due */
    assert_int_equal(kit_count(k, "blobs"), 1);
    /* Pushed again before the reaper came: it must stay. */
    kit_push(k, "c", "x");
    kit_close(k);
    k->opts.reap_delay_s = -1;
    kit_open(k);
    assert_false(reap(k));
    kit_check_bytes(k, "c", &d, "x");
    /* Now the writer takes the file by itself, and a new push brings it. */
    assert_int_equal(kit_delete(k, DELETE_BLOB, "c", NULL, &d), ERR_NONE);
    kit_close(k);
    kit_open(k);
    reap(k);
    assert_int_equal(kit_count(k, "blobs"), 0);
    assert_int_equal(kit_count(k, "trash"), 0);
    kit_push(k, "c", "x");
    kit_check_bytes(k, "c", &d, "x");
}

/* The reaper takes the file between the worker's link and the commit. */
static void test_relink(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_digest(HASH_SHA256, "x", 1);
    struct upload *u = kit_begin(k, "r");
    struct store_job_blob j;
    struct err e = {0};
    char cmd[160];

    assert_int_equal(upload_append(k->store, u, "x", 1, &e), 0);
    assert_int_equal(upload_finish(k->store, u, &d, &e), 0);
    snprintf(cmd, sizeof(cmd), "find %s/blobs -type f -delete", k->root);
    assert_int_equal(system(cmd), 0);
    store_job_blob_init(&j, u, &d);
    assert_int_equal(store_run(k->store, &j.job), 0);
    kit_check_bytes(k, "r", &d, "x");
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

static void test_manifests(void **state)
{
    struct kit *k = *state;
    struct digest c = kit_push(k, "r", "config"), d, again;
    struct store_manifest got;
    struct err e = {0};
    char text[512];

    kit_image(text, sizeof(text), &c, 6, "");
    /* Present is what is present in its own repository. */
    assert_int_equal(kit_manifest(k, "other", text, "t", NULL, &d),
                     ERR_MISSING);
    assert_int_equal(kit_manifest(k, "r", text, "t1", "t2", &d), ERR_NONE);
    assert_int_equal(kit_manifest(k, "r", text, "t1", NULL, &again), ERR_NONE);
    for (int i = 0; i < 3; i++) {
        const char *tag = i == 0 ? "t1" : i == 1 ? "t2" : NULL;

        assert_int_equal(
            store_manifest_get(k->reader, "r", tag, &d, true, &got, &e), 0);
        assert_true(digest_eq(&got.digest, &d));
        assert_string_equal(got.media_type, TYPE_OCI_MANIFEST);
        assert_int_equal(got.len, strlen(text));
        assert_memory_equal(got.bytes, text, got.len);
        free(got.bytes);
    }
    assert_int_equal(
        store_manifest_get(k->reader, "r", "no", NULL, false, &got, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    kit_image(text, sizeof(text), &c, 7, "");
    assert_int_equal(kit_manifest(k, "r", text, "t1", NULL, &again),
                     ERR_INVALID);
    /* Deletes: what is needed stays. */
    assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &c), ERR_BUSY);
    assert_int_equal(kit_delete(k, DELETE_TAG, "r", "t1", NULL), ERR_NONE);
    assert_int_equal(kit_delete(k, DELETE_TAG, "r", "t1", NULL), ERR_NOT_FOUND);
    assert_int_equal(kit_delete(k, DELETE_MANIFEST, "r", NULL, &d), ERR_NONE);
    assert_int_equal(
        store_manifest_get(k->reader, "r", "t2", NULL, false, &got, &e), -1);
    assert_int_equal(kit_delete(k, DELETE_MANIFEST, "r", NULL, &d),
                     ERR_NOT_FOUND);
    assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &c), ERR_NONE);
}

static void test_index(void **state)
{
    struct kit *k = *state;
    struct digest c = kit_push(k, "r", "config"), d, i;
    char text[512], index[512], name[DIGEST_TEXT_MAX];

    kit_image(text, sizeof(text), &c, 6, "");
    d = kit_digest(HASH_SHA256, text, strlen(text));
    snprintf(index, sizeof(index),
             "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\","
             "\"digest\":\"%s\",\"size\":%zu},{\"mediaType\":\"a/blob\","
             "\"digest\":\"%s\",\"size\":6}]}",
             TYPE_OCI_MANIFEST, digest_format(&d, name), strlen(text),
             digest_format(&c, (char[DIGEST_TEXT_MAX]){0}));
    assert_int_equal(kit_manifest(k, "r", index, "i", NULL, &i), ERR_MISSING);
    assert_int_equal(kit_manifest(k, "r", text, NULL, NULL, &d), ERR_NONE);
    assert_int_equal(kit_manifest(k, "r", index, "i", NULL, &i), ERR_NONE);
    assert_int_equal(kit_delete(k, DELETE_MANIFEST, "r", NULL, &d), ERR_BUSY);
    assert_int_equal(kit_delete(k, DELETE_MANIFEST, "r", NULL, &i), ERR_NONE);
    assert_int_equal(kit_delete(k, DELETE_MANIFEST, "r", NULL, &d), ERR_NONE);
}

/* Put as many tags on the manifest as a job takes; number is the first. */
static void put_tags(struct kit *k, const char *text, int number)
{
    static char names[STORE_MAX_TAGS][16];
    struct store_job_manifest j;
    struct manifest m;
    struct err e = {0};

    assert_int_equal(manifest_parse(text, strlen(text), slice_of(""), &m, &e),
                     0);
    store_job_manifest_init(&j);
    j.repo = "r";
    j.parsed = &m;
    j.bytes = text;
    j.len = strlen(text);
    j.digest = kit_digest(HASH_SHA256, text, strlen(text));
    for (j.tag_count = 0; j.tag_count < STORE_MAX_TAGS; j.tag_count++) {
        snprintf(names[j.tag_count], sizeof(names[0]), "t%d",
                 number + (int)j.tag_count);
        j.tags[j.tag_count] = names[j.tag_count];
    }
    assert_int_equal(store_run(k->store, &j.job), 0);
    manifest_free(&m);
}

struct noted {
    struct store_job_delete del;
    atomic_int *clock;
    atomic_int at; /* of done(), counted in done()s */
};

/* A job that keeps the writer until the others wait behind it. */
struct gate {
    struct store_job job;
    atomic_bool is_open, is_done;
};

static int run_gate(struct store *s, struct store_job *j, struct err *e)
{
    (void)s;
    (void)e;
    while (!atomic_load(&((struct gate *)j)->is_open))
        usleep(100);
    return 0;
}

static void on_gate(struct store_job *j)
{
    atomic_store(&((struct gate *)j)->is_done, true);
}

static void on_noted(struct store_job *j)
{
    struct noted *n = (struct noted *)j;

    atomic_store(&n->at, atomic_fetch_add(n->clock, 1) + 1);
}

/*
 * A manifest with thousands of tags: jobs that come after its delete are done
 * before it, and at the end nothing of it is left.
 */
static void test_delete_in_slices(void **state)
{
    enum { TAGS = 24 * STORE_MAX_TAGS };
    struct kit *k = *state;
    struct digest c = kit_push(k, "r", "config");
    struct digest other = kit_push(k, "r", "other"), d;
    struct noted long_one, short_one;
    struct store_manifest got;
    struct store_page page;
    struct err e = {0};
    struct gate gate = {.job = {.run = run_gate, .done = on_gate}};
    atomic_int clock = 0;
    char text[512];

    kit_image(text, sizeof(text), &c, 6, "");
    assert_int_equal(kit_manifest(k, "r", text, NULL, NULL, &d), ERR_NONE);
    for (int i = 0; i < TAGS; i += STORE_MAX_TAGS)
        put_tags(k, text, i);
    store_submit(k->store, &gate.job);
    for (struct noted *n = &long_one; n;
         n = n == &long_one ? &short_one : NULL) {
        memset(n, 0, sizeof(*n));
        store_job_delete_init(&n->del);
        snprintf(n->del.repo, sizeof(n->del.repo), "r");
        n->del.what = n == &long_one ? DELETE_MANIFEST : DELETE_BLOB;
        n->del.digest = n == &long_one ? d : other;
        n->del.job.done = on_noted;
        n->clock = &clock;
        store_submit(k->store, &n->del.job);
    }
    atomic_store(&gate.is_open, true);
    while (atomic_load(&clock) < 2 || !atomic_load(&gate.is_done))
        usleep(1000);
    assert_int_equal(long_one.del.job.rc, 0);
    assert_int_equal(short_one.del.job.rc, 0);
    assert_int_equal(short_one.at, 1);
    assert_int_equal(long_one.at, 2);
    assert_int_equal(store_tags(k->reader, "r", NULL, 10, &page, &e), 0);
    assert_int_equal(page.count, 0);
    store_page_free(&page);
    assert_int_equal(
        store_manifest_get(k->reader, "r", NULL, &d, false, &got, &e), -1);
    assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &c), ERR_NONE);
}

/* A page of one type is found by index, in order, without a look at others. */
static void test_referrers_of_a_type_have_an_index(void **state)
{
    struct kit *k = *state;
    sqlite3_stmt *st = NULL;
    char path[128], plan[1024] = "";
    sqlite3 *db = NULL;

    snprintf(path, sizeof(path), "%s/index.db", k->root);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "EXPLAIN QUERY PLAN SELECT m.id FROM repo r"
                           " JOIN manifest m ON m.repo=r.id AND m.subject=?2"
                           " AND m.artifact_type=?5 AND m.id>?3"
                           " WHERE r.name=?1 ORDER BY m.id LIMIT ?4",
                           -1, &st, NULL),
        SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW)
        snprintf(plan + strlen(plan), sizeof(plan) - strlen(plan), "%s\n",
                 (const char *)sqlite3_column_text(st, 3));
    sqlite3_finalize(st);
    sqlite3_close(db);
    assert_non_null(strstr(plan, "manifest_subject_type (repo=? AND subject=?"
                                 " AND artifact_type=? AND id>?)"));
    assert_null(strstr(plan, "TEMP B-TREE"));
    assert_null(strstr(plan, "SCAN"));
}

static void test_referrers(void **state)
{
    struct kit *k = *state;
    struct digest c = kit_push(k, "r", "config"), subject, d[3];
    const char *types[] = {"t/1"};
    struct store_referrers list;
    char text[512], extra[300], name[DIGEST_TEXT_MAX];
    struct err e = {0};

    /* The subject is not there: that is legal. */
    subject = kit_digest(HASH_SHA256, "none", 4);
    for (int i = 0; i < 3; i++) {
        snprintf(extra, sizeof(extra),
                 "\"artifactType\":\"t/%d\",\"annotations\":{\"n\":\"%d\"},"
                 "\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"%s\","
                 "\"size\":4},",
                 i, i, digest_format(&subject, name));
        kit_image(text, sizeof(text), &c, 6, extra);
        assert_int_equal(kit_manifest(k, "r", text, NULL, NULL, &d[i]),
                         ERR_NONE);
    }
    assert_int_equal(
        store_referrers(k->reader, "r", &subject, NULL, 0, 0, 2, &list, &e), 0);
    assert_int_equal(list.count, 2);
    assert_true(list.has_more);
    assert_true(digest_eq(&list.list[0].digest, &d[0]));
    assert_string_equal(list.list[1].annotations, "{\"n\":\"1\"}");
    int64_t after = list.list[1].id;
    store_referrers_free(&list);
    assert_int_equal(
        store_referrers(k->reader, "r", &subject, NULL, 0, after, 2, &list, &e),
        0);
    assert_int_equal(list.count, 1);
    assert_false(list.has_more);
    store_referrers_free(&list);
    assert_int_equal(
        store_referrers(k->reader, "r", &subject, types, 1, 0, 9, &list, &e),
        0);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.list[0].artifact_type, "t/1");
    store_referrers_free(&list);
    assert_int_equal(
        store_referrers(k->reader, "no", &subject, NULL, 0, 0, 9, &list, &e),
        0);
    assert_int_equal(list.count, 0);
    store_referrers_free(&list);
}

static void test_pages(void **state)
{
    static const char *const tags[] = {"B", "_x", "a", "b", "1"};
    static const char *const sorted[] = {"1", "B", "_x", "a", "b"};
    struct kit *k = *state;
    struct digest c = kit_push(k, "r", "config"), d;
    struct store_page page;
    const char *last = NULL;
    char text[512], seen[64] = "";
    struct err e = {0};
    size_t n = 0;

    kit_image(text, sizeof(text), &c, 6, "");
    for (size_t i = 0; i < array_len(tags); i++)
        assert_int_equal(kit_manifest(k, "r", text, tags[i], NULL, &d),
                         ERR_NONE);
    do {
        assert_int_equal(store_tags(k->reader, "r", last, 2, &page, &e), 0);
        for (size_t i = 0; i < page.count; i++)
            assert_string_equal(page.names[i], sorted[n++]);
        snprintf(seen, sizeof(seen), "%s", page.names[page.count - 1]);
        last = seen;
        if (!page.has_more)
            last = NULL;
        store_page_free(&page);
    } while (last);
    assert_int_equal(n, 5);
    assert_int_equal(store_tags(k->reader, "r", "C", 9, &page, &e), 0);
    assert_int_equal(page.count, 3);
    store_page_free(&page);
    assert_int_equal(store_tags(k->reader, "r", NULL, 0, &page, &e), 0);
    assert_int_equal(page.count, 0);
    store_page_free(&page);
    kit_push(k, "a/x", "y");
    kit_push(k, "a-x", "y");
    assert_int_equal(store_repositories(k->reader, "", 2, &page, &e), 0);
    assert_int_equal(page.count, 2);
    assert_true(page.has_more);
    assert_string_equal(page.names[0], "a-x");
    assert_string_equal(page.names[1], "a/x");
    store_page_free(&page);
}

/* A fresh blob is under review; a touch pushes the entry on. */
static void test_touch(void **state)
{
    struct kit *k = *state;
    struct digest d = kit_push(k, "r", "x");
    struct store_job_touch j;
    struct err e = {0};
    int64_t size;
    bool soon = true;

    assert_int_equal(store_blob_size(k->reader, "r", &d, &size, &soon, &e), 0);
    assert_false(soon);
    kit_close(k);
    k->opts.grace_s = 1000; /* now the entry is due within 0.7 of it */
    kit_open(k);
    assert_int_equal(store_blob_size(k->reader, "r", &d, &size, &soon, &e), 0);
    assert_true(soon);
    store_job_touch_init(&j);
    snprintf(j.repo, sizeof(j.repo), "r");
    j.digest = d;
    assert_int_equal(store_run(k->store, &j.job), 0);
    assert_int_equal(store_blob_size(k->reader, "r", &d, &size, &soon, &e), 0);
    assert_false(soon);
    assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &d), ERR_NONE);
    assert_int_equal(store_run(k->store, &j.job), -1);
    assert_int_equal(j.job.e.code, ERR_NOT_FOUND);
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
        T(test_push_and_read),
        T(test_empty_blob),
        T(test_sha512),
        T(test_wrong_digest),
        T(test_sessions),
        T(test_resume_after_restart),
        T(test_recovery),
        T(test_expiry),
        T(test_twins),
        T(test_mount),
        T(test_delete_blob),
        T(test_relink),
        T(test_damage),
        T(test_manifests),
        T(test_index),
        T(test_referrers),
        T(test_pages),
        T(test_touch),
        T(test_second_opener),
        T(test_unsafe_root),
        T(test_format),
        T(test_session_limit),
        T(test_group),
        T(test_sparse),
        T(test_delete_in_slices),
        T(test_referrers_of_a_type_have_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
