/* What the store's tests share: a folder, a store, one-line operations. */
#ifndef BERTH_TESTS_STORE_KIT_H
#define BERTH_TESTS_STORE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "storage/store.h"

struct kit {
    char root[80];
    struct store_opts opts;
    struct store *store;
    struct store_reader *reader;
    bool is_sparse; /* of kit_manifest() */
};

static inline void kit_open(struct kit *k)
{
    struct err e = {0};

    k->opts.root = k->root;
    if (store_open(&k->opts, &k->store, &e) < 0 ||
        store_reader_open(k->store, &k->reader, &e) < 0)
        fail_msg("open: %s", e.msg);
}

static inline void kit_close(struct kit *k)
{
    store_reader_close(k->reader);
    store_close(k->store);
    k->reader = NULL;
    k->store = NULL;
}

static inline int kit_setup(void **state)
{
    struct kit *k = calloc(1, sizeof(*k));

    snprintf(k->root, sizeof(k->root), "/tmp/berth-store-XXXXXX");
    if (!k || !mkdtemp(k->root))
        return -1;
    k->opts = (struct store_opts){.grace_s = 100,
                                  .upload_idle_s = 900,
                                  .upload_ttl_s = 86400,
                                  .reap_delay_s = 3600};
    kit_open(k);
    *state = k;
    return 0;
}

static inline int kit_teardown(void **state)
{
    struct kit *k = *state;
    char cmd[128];

    kit_close(k);
    /* A test of an image that failed half-way leaves it mounted. */
    snprintf(cmd, sizeof(cmd), "%s/mnt", k->root);
    umount2(cmd, MNT_DETACH);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", k->root);
    if (system(cmd) != 0)
        return -1;
    free(k);
    return 0;
}

static inline struct digest kit_digest(enum hash_alg alg, const void *p,
                                       size_t n)
{
    unsigned char raw[HASH_MAX];

    assert_int_equal(hash_bytes(alg, p, n, raw), 0);
    return digest_make(alg, raw);
}

/* Take a session that must be free. */
static inline struct upload *kit_take(struct kit *k, const char *repo,
                                      const char *id)
{
    struct upload_info info;
    struct upload *u = NULL;
    struct err e = {0};

    if (upload_take(k->store, repo, id, &u, &info, &e) < 0)
        fail_msg("take: %s", e.msg);
    return u;
}

static inline struct upload *kit_begin(struct kit *k, const char *repo)
{
    struct upload_info info;
    struct err e = {0};

    if (upload_begin(k->store, repo, HASH_SHA256, &info, &e) < 0)
        fail_msg("begin: %s", e.msg);
    return kit_take(k, repo, info.id);
}

/* Finish and commit a taken session; 0 or the error's code. */
static inline enum err_code kit_commit(struct kit *k, struct upload *u,
                                       const struct digest *d)
{
    struct store_job_blob j;
    struct err e = {0};

    if (upload_finish(k->store, u, d, &e) < 0)
        return e.code;
    store_job_blob_init(&j, u, d);
    if (store_run(k->store, &j.job) < 0)
        return j.job.e.code;
    return ERR_NONE;
}

static inline struct digest kit_push(struct kit *k, const char *repo,
                                     const char *text)
{
    struct digest d = kit_digest(HASH_SHA256, text, strlen(text));
    struct upload *u = kit_begin(k, repo);
    struct err e = {0};

    assert_int_equal(upload_append(k->store, u, text, strlen(text), &e), 0);
    assert_int_equal(kit_commit(k, u, &d), ERR_NONE);
    return d;
}

/* The blob's size in repo, or -1 when it is not there. */
static inline int64_t kit_size(struct kit *k, const char *repo,
                               const struct digest *d)
{
    struct err e = {0};
    int64_t size;
    bool soon;

    if (store_blob_size(k->reader, repo, d, &size, &soon, &e) == 0)
        return size;
    assert_int_equal(e.code, ERR_NOT_FOUND);
    return -1;
}

/* Read the whole blob; must be there. */
static inline void kit_check_bytes(struct kit *k, const char *repo,
                                   const struct digest *d, const char *text)
{
    int64_t size = kit_size(k, repo, d);
    char buf[256];
    struct err e = {0};
    int fd = -1;

    assert_int_equal(size, strlen(text));
    assert_int_equal(store_blob_open(k->store, d, size, &fd, &e), 0);
    assert_int_equal(read(fd, buf, sizeof(buf)), size);
    assert_memory_equal(buf, text, strlen(text));
    close(fd);
}

static inline enum err_code kit_delete(struct kit *k, enum store_delete what,
                                       const char *repo, const char *tag,
                                       const struct digest *d)
{
    struct store_job_delete j;

    store_job_delete_init(&j);
    j.what = what;
    snprintf(j.repo, sizeof(j.repo), "%s", repo);
    snprintf(j.tag, sizeof(j.tag), "%s", tag ? tag : "");
    if (d)
        j.digest = *d;
    return store_run(k->store, &j.job) < 0 ? j.job.e.code : ERR_NONE;
}

/* Put a manifest text with up to two tags (may be NULL). */
static inline enum err_code kit_manifest(struct kit *k, const char *repo,
                                         const char *text, const char *tag,
                                         const char *tag2, struct digest *d)
{
    struct store_job_manifest j;
    struct manifest m;
    struct err e = {0};
    int rc;

    if (manifest_parse(text, strlen(text), slice_of(""), &m, &e) < 0)
        fail_msg("parse: %s", e.msg);
    store_job_manifest_init(&j);
    j.repo = repo;
    j.is_sparse = k->is_sparse;
    j.parsed = &m;
    j.bytes = text;
    j.len = strlen(text);
    *d = j.digest = kit_digest(HASH_SHA256, text, strlen(text));
    if (tag)
        j.tags[j.tag_count++] = tag;
    if (tag2)
        j.tags[j.tag_count++] = tag2;
    rc = store_run(k->store, &j.job);
    manifest_free(&m);
    if (rc < 0 && j.job.e.code == ERR_MISSING)
        assert_true(j.missing_count > 0);
    return rc < 0 ? j.job.e.code : ERR_NONE;
}

/* An image manifest over one config blob, with an extra member. */
static inline void kit_image(char *out, size_t size, const struct digest *d,
                             int64_t bytes, const char *extra)
{
    char text[DIGEST_TEXT_MAX];

    snprintf(out, size,
             "{\"schemaVersion\":2,%s\"config\":{\"mediaType\":\"a/config\","
             "\"digest\":\"%s\",\"size\":%lld},\"layers\":[]}",
             extra, digest_format(d, text), (long long)bytes);
}

/* Files below blobs/, uploads/ and trash/. */
static inline int kit_count(const struct kit *k, const char *below)
{
    char cmd[128];
    FILE *p;
    int n = -1;

    snprintf(cmd, sizeof(cmd), "find %s/%s -type f | wc -l", k->root, below);
    p = popen(cmd, "r");
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    return n;
}

/* What was appended is durable, and the row says so: as after a PATCH. */
static inline void kit_record(struct kit *k, struct upload *u)
{
    struct store_job_offset j;
    struct err e = {0};

    assert_int_equal(upload_sync(k->store, u, &e), 0);
    store_job_offset_init(&j, u);
    assert_int_equal(store_run(k->store, &j.job), 0);
}

#endif
