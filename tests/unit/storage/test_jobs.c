/* Changes of the index: mounts, manifests, deletes, and what they refuse. */
#include "tests/unit/storage/store_kit.h"

#include <pthread.h>
#include <stdatomic.h>

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
    assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &c), ERR_DENIED);
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
    assert_int_equal(kit_delete(k, DELETE_BLOB, "r", NULL, &c), ERR_DENIED);
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
    assert_int_equal(kit_delete(k, DELETE_MANIFEST, "r", NULL, &d), ERR_DENIED);
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

/* Of two such deletes at once the slower one has deleted it as well. */
static void test_two_deletes_in_slices(void **state)
{
    enum { TAGS = 12 * STORE_MAX_TAGS };
    struct kit *k = *state;
    struct digest c = kit_push(k, "r", "config"), d;
    struct gate gate = {.job = {.run = run_gate, .done = on_gate}};
    struct noted both[2];
    atomic_int clock = 0;
    char text[512];

    kit_image(text, sizeof(text), &c, 6, "");
    assert_int_equal(kit_manifest(k, "r", text, NULL, NULL, &d), ERR_NONE);
    for (int i = 0; i < TAGS; i += STORE_MAX_TAGS)
        put_tags(k, text, i);
    store_submit(k->store, &gate.job);
    for (size_t i = 0; i < array_len(both); i++) {
        memset(&both[i], 0, sizeof(both[i]));
        store_job_delete_init(&both[i].del);
        snprintf(both[i].del.repo, sizeof(both[i].del.repo), "r");
        both[i].del.what = DELETE_MANIFEST;
        both[i].del.digest = d;
        both[i].del.job.done = on_noted;
        both[i].clock = &clock;
        store_submit(k->store, &both[i].del.job);
    }
    atomic_store(&gate.is_open, true);
    while (atomic_load(&clock) < 2 || !atomic_load(&gate.is_done))
        usleep(1000);
    assert_int_equal(both[0].del.job.rc, 0);
    assert_int_equal(both[1].del.job.rc, 0);
    assert_int_equal(kit_delete(k, DELETE_MANIFEST, "r", NULL, &d),
                     ERR_NOT_FOUND);
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

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_group),
        T(test_sparse),
        T(test_mount),
        T(test_delete_blob),
        T(test_relink),
        T(test_manifests),
        T(test_index),
        T(test_delete_in_slices),
        T(test_two_deletes_in_slices),
        T(test_touch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
