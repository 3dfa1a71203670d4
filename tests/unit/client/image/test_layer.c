/* From a blob to a layer folder: chain ids, digests, limits, roots. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/io.h"
#include "client/image/unpack.h"
#include "tests/unit/client/image/tar.h"
#include "tests/unit/client/kit.h"
#include "tests/unit/client/nosync.h"
#include "tests/unit/skip.h"

static int as_file(struct tar *t)
{
    int fd = memfd_create("layer", MFD_CLOEXEC);
    assert_int_equal(write(fd, t->p, t->n), t->n);
    tar_free(t);
    return fd;
}

static int one_entry(const struct tar_entry *entry)
{
    struct tar t = {.p = NULL};
    tar_add(&t, entry);
    tar_end(&t);
    return as_file(&t);
}

/* 0 or the error's code. */
static enum err_code add(struct istore_scratch *sc, int fd,
                         const char (*lower)[ISTORE_HEX], size_t n,
                         const char *diff_id, struct layer_result *r)
{
    struct err e;
    int rc = layer_add(sc, fd, lower, n, diff_id, r, &e);
    (void)close(fd);
    return rc == 0 ? ERR_NONE : e.code;
}

/* The rule of the image specification, by an example of its own kind. */
static void test_chain_id(void **state)
{
    char diff[3][ISTORE_HEX], chain[ISTORE_HEX], next[ISTORE_HEX], text[160];
    char want[ISTORE_HEX];
    (void)state;
    kit_hash("a", diff[0]);
    kit_hash("b", diff[1]);
    kit_hash("c", diff[2]);
    layer_chain(NULL, diff[0], chain);
    assert_string_equal(chain, diff[0]);
    for (int i = 1; i < 3; i++) {
        (void)snprintf(text, sizeof(text), "sha256:%s sha256:%s", chain,
                       diff[i]);
        kit_hash(text, want);
        layer_chain(chain, diff[i], next);
        assert_string_equal(next, want);
        memcpy(chain, next, ISTORE_HEX);
    }
}

static void test_another_diff_id(void **state)
{
    struct kit *k = *state;
    skip_unless_root();
    struct istore_scratch *sc = kit_scratch(k);
    const struct tar_entry file = {.name = "x", .data = "1"};
    struct layer_result r;
    char other[ISTORE_HEX];
    kit_hash("other", other);
    assert_int_equal(add(sc, one_entry(&file), NULL, 0, other, &r), ERR_DIGEST);
    assert_int_equal(add(sc, one_entry(&file), NULL, 0, NULL, &r), ERR_NONE);
    assert_true(istore_has_layer(k->store, r.chain));
    assert_false(istore_has_layer(k->store, other));
    assert_int_equal(r.size, 1);
    /* The right one is right, also when the layer is there. */
    memcpy(other, r.diff_id, ISTORE_HEX);
    assert_int_equal(add(sc, one_entry(&file), NULL, 0, other, &r), ERR_NONE);
    istore_scratch_free(sc);
}

/* A failed layer has no name, and goes with its scratch folder. */
static void test_a_failed_layer(void **state)
{
    struct kit *k = *state;
    skip_unless_root();
    struct istore_scratch *sc = kit_scratch(k);
    const struct tar_entry bad = {.name = "../x"};
    struct layer_result r;
    assert_int_equal(add(sc, one_entry(&bad), NULL, 0, NULL, &r), ERR_INVALID);
    istore_scratch_free(sc);
    const char *const empty[] = {"layers", "scratch", "trash"};
    for (size_t i = 0; i < array_len(empty); i++) {
        /* rmdir(2) tells whether there is something in it. */
        assert_int_equal(
            unlinkat(istore_dirfd(k->store), empty[i], AT_REMOVEDIR), 0);
    }
}

static struct stat root_of(struct kit *k, const char *chain)
{
    char path[PATH_MAX];
    struct err e;
    struct stat st;
    assert_int_equal(istore_layer_path(k->store, chain, path, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    return st;
}

/* Who says nothing of "./" takes over what the layers below say. */
static void test_roots(void **state)
{
    struct kit *k = *state;
    skip_unless_root();
    struct istore_scratch *sc = kit_scratch(k);
    static const struct tar_entry layers[] = {
        {.name = "./",
         .type = '5',
         .mode = 0700,
         .uid = 1000,
         .gid = 1001,
         .mtime = 1000000000},
        {.name = "x", .data = "1"},
        {.name = "./", .type = '5', .mode = 01777, .mtime = 1100000000},
        {.name = "y", .data = "1"}};
    static const struct {
        mode_t mode;
        uid_t uid;
        gid_t gid;
        time_t mtime;
    } want[] = {{0700, 1000, 1001, 1000000000},
                {0700, 1000, 1001, 1000000000},
                {01777, 0, 0, 1100000000},
                {01777, 0, 0, 1100000000}};
    char lower[4][ISTORE_HEX];
    for (size_t i = 0; i < array_len(layers); i++) {
        struct layer_result r;
        assert_int_equal(add(sc, one_entry(&layers[i]),
                             (const char(*)[ISTORE_HEX])lower, i, NULL, &r),
                         ERR_NONE);
        memcpy(lower[i], r.chain, ISTORE_HEX);
        struct stat st = root_of(k, r.chain);
        assert_int_equal(st.st_mode & 07777, want[i].mode);
        assert_int_equal(st.st_uid, want[i].uid);
        assert_int_equal(st.st_gid, want[i].gid);
        assert_int_equal(st.st_mtime, want[i].mtime);
    }
    istore_scratch_free(sc);
}

static void set_meta(struct kit *k, const char *chain, uint64_t bytes,
                     uint64_t entries)
{
    char rel[128], text[128];
    struct err e;
    (void)snprintf(rel, sizeof(rel), "layers/%s/meta.json", chain);
    int n = snprintf(text, sizeof(text), "{\"size\":%llu,\"entries\":%llu}",
                     (unsigned long long)bytes, (unsigned long long)entries);
    assert_int_equal(
        io_replace_file(istore_dirfd(k->store), rel, text, (size_t)n, 0600, &e),
        0);
}

/* The limits are the image's: what lower layers took is gone. */
static void test_limits_of_an_image(void **state)
{
    struct kit *k = *state;
    skip_unless_root();
    struct istore_scratch *sc = kit_scratch(k);
    const struct tar_entry first = {.name = "x", .data = "1"},
                           file = {.name = "y", .data = "12345"};
    struct layer_result r;
    char lower[1][ISTORE_HEX];
    assert_int_equal(add(sc, one_entry(&first), NULL, 0, NULL, &r), ERR_NONE);
    memcpy(lower[0], r.chain, ISTORE_HEX);
    static const struct {
        uint64_t bytes, entries;
        enum err_code code;
    } rows[] = {
        {UNPACK_IMAGE_BYTES - 4, 1, ERR_TOO_LARGE},
        {UNPACK_IMAGE_BYTES + 1, 1, ERR_TOO_LARGE},
        {1, UNPACK_IMAGE_ENTRIES, ERR_TOO_LARGE},
        {1, UNPACK_IMAGE_ENTRIES + 1, ERR_TOO_LARGE},
        {UNPACK_IMAGE_BYTES - 5, UNPACK_IMAGE_ENTRIES - 1, ERR_NONE},
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        set_meta(k, lower[0], rows[i].bytes, rows[i].entries);
        assert_int_equal(add(sc, one_entry(&file),
                             (const char(*)[ISTORE_HEX])lower, 1, NULL, &r),
                         rows[i].code);
    }
    istore_scratch_free(sc);
}

/* As many layers as an image may have fit into one mount. */
static void test_many_layers(void **state)
{
    struct kit *k = *state;
    skip_unless_root();
    struct istore_scratch *sc = kit_scratch(k);
    static char lower[IMAGE_LAYERS_MAX][ISTORE_HEX];
    size_t n = getenv("BERTH_LONG") != NULL ? IMAGE_LAYERS_MAX : 24;
    char name[32];
    for (size_t i = 0; i < n; i++) {
        const struct tar_entry file = {.name = name, .data = "1"};
        struct layer_result r;
        (void)snprintf(name, sizeof(name), "file%zu", i);
        assert_int_equal(add(sc, one_entry(&file),
                             (const char(*)[ISTORE_HEX])lower, i, NULL, &r),
                         ERR_NONE);
        memcpy(lower[i], r.chain, ISTORE_HEX);
    }
    istore_scratch_free(sc);
}

#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_id), T(test_another_diff_id),
        T(test_a_failed_layer),          T(test_roots),
        T(test_limits_of_an_image),      T(test_many_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
