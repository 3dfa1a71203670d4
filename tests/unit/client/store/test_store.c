/* The rules of the local store, one by one; under load: test_store_stress. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/io.h"
#include "client/store/store_int.h"
#include "tests/unit/client/kit.h"
#include "tests/unit/client/nosync.h"
#include "tests/unit/skip.h"

/* ---- little helpers ------------------------------------------------------*/

static void put_blob(struct istore_scratch *sc, const char *text,
                     char hex[ISTORE_HEX])
{
    struct err e;
    if (blobw_put(sc, text, strlen(text), hex, &e) != 0)
        fail_msg("blob: %s", e.msg);
}

/* A layer folder {fs/data, meta.json} under its chain id. */
static void put_layer(struct istore_scratch *sc, const char *chain,
                      const char *data)
{
    struct err e;
    int dir = istore_scratch_dirfd(sc);
    char folder[17], rel[64];
    io_random_hex(folder, 8);
    assert_int_equal(mkdirat(dir, folder, 0700), 0);
    (void)snprintf(rel, sizeof(rel), "%s/fs", folder);
    assert_int_equal(mkdirat(dir, rel, 0755), 0);
    (void)snprintf(rel, sizeof(rel), "%s/fs/data", folder);
    assert_int_equal(io_replace_file(dir, rel, data, strlen(data), 0600, &e),
                     0);
    (void)snprintf(rel, sizeof(rel), "%s/meta.json", folder);
    assert_int_equal(io_replace_file(dir, rel, "{\"size\":7}", 10, 0600, &e),
                     0);
    assert_int_equal(istore_layer_add(sc, folder, chain, &e), 0);
}

/* The image of two layers, all its objects put into the store and pinned. */
static void put_image(struct istore_scratch *sc, const char *name,
                      struct istore_image *img)
{
    struct kit_image k = {.layers = {0, 1}, .n = 2};
    char text[32], blob[ISTORE_HEX], diff[ISTORE_HEX];
    struct err e;
    kit_image(&k, 0);
    memset(img, 0, sizeof(*img));
    assert_int_equal(istore_image_alloc(img, 2, &e), 0);
    (void)snprintf(img->name, sizeof(img->name), "%s", name);
    put_blob(sc, k.manifest, img->manifest);
    put_blob(sc, k.config, img->config);
    for (int i = 0; i < 2; i++) {
        kit_layer(k.layers[i], text, blob, diff);
        put_blob(sc, text, img->blobs[i]);
        layer_chain(i > 0 ? img->layers[0] : NULL, diff, img->layers[i]);
        put_layer(sc, img->layers[i], text);
    }
    assert_int_equal(
        istore_scratch_pin(sc, (const char(*)[ISTORE_HEX])img->layers, 2, &e),
        0);
}

static size_t sweep(struct kit *k)
{
    size_t freed;
    struct err e;
    if (istore_sweep(k->store, 1000, &freed, &e) != 0)
        fail_msg("sweep: %s", e.msg);
    return freed;
}

/* Entries of a folder of the store. */
static int count(struct kit *k, const char *rel)
{
    int n = 0;
    int fd =
        openat(istore_dirfd(k->store), rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(fd);
    assert_non_null(d);
    for (struct dirent *de; (de = readdir(d)) != NULL;)
        n += de->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

#define NAME "docker.io/library/x:latest"
#define ID   "1111111111111111111111111111111111111111111111111111111111111111"

/* ---- opening -------------------------------------------------------------*/

static void test_layout(void **state)
{
    struct kit *k = *state;
    struct stat st;
    assert_int_equal(stat(k->root, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    static const char *const parts[] = {"format", "blobs/sha256", "layers",
                                        "refs",   "containers",   "scratch",
                                        "trash"};
    for (size_t i = 0; i < array_len(parts); i++)
        assert_true(kit_has(k, parts[i]));
}

static void test_newer_format_is_refused(void **state)
{
    struct kit *k = *state;
    struct err e;
    struct istore *s = NULL;
    static const char *const texts[] = {"2\n", "1000", "x\n",
                                        "",    "1 \n", "-1\n"};
    for (size_t i = 0; i < array_len(texts); i++) {
        assert_int_equal(io_replace_file(istore_dirfd(k->store), "format",
                                         texts[i], strlen(texts[i]), 0600, &e),
                         0);
        assert_int_equal(istore_open(k->root, &s, &e), -1);
        assert_int_equal(e.code, ERR_UNSUPPORTED);
        assert_null(s);
    }
}

/* ---- pins and scratch folders (rules 2, 3, 6) ----------------------------*/

static void test_pins_keep_from_the_sweep(void **state)
{
    struct kit *k = *state;
    struct istore_image img;
    struct istore_scratch *sc = kit_scratch(k);
    put_image(sc, NAME, &img);
    assert_int_equal(sweep(k), 0);
    assert_true(istore_has_blob(k->store, img.manifest));
    assert_true(istore_has_layer(k->store, img.layers[1]));
    istore_scratch_free(sc);
    assert_int_equal(sweep(k), 6); /* 4 blobs, 2 layers */
    assert_false(istore_has_blob(k->store, img.manifest));
    assert_int_equal(count(k, "layers") + count(k, "trash"), 0);
    istore_image_free(&img);
}

static void test_an_unpinned_object_is_taken(void **state)
{
    struct kit *k = *state;
    char chain[ISTORE_HEX];
    struct istore_scratch *sc = kit_scratch(k);
    kit_hash("chain", chain);
    put_layer(sc, chain, "x");
    assert_int_equal(sweep(k), 1);
    assert_false(istore_has_layer(k->store, chain));
    istore_scratch_free(sc);
}

/* A process that makes a scratch folder with a pinned blob and stays. */
static pid_t start_holder(struct kit *k, int *life)
{
    int up[2], down[2];
    char hex[ISTORE_HEX], c;
    assert_int_equal(pipe(up) | pipe(down), 0);
    pid_t pid = fork();
    if (pid == 0) {
        put_blob(kit_scratch(k), "held", hex);
        (void)!write(up[1], "x", 1);
        (void)close(down[1]);
        (void)!read(down[0], &c, 1);
        _exit(0); /* without giving the folder back */
    }
    (void)close(up[1]);
    (void)close(down[0]);
    assert_int_equal(read(up[0], &c, 1), 1);
    (void)close(up[0]);
    *life = down[1];
    return pid;
}

static void test_a_dead_scratch_folder_is_swept(void **state)
{
    struct kit *k = *state;
    char hex[ISTORE_HEX];
    int life, status;
    pid_t pid = start_holder(k, &life);
    kit_hash("held", hex);
    assert_int_equal(sweep(k), 0);
    assert_true(istore_has_blob(k->store, hex));
    assert_int_equal(count(k, "scratch"), 1);
    (void)close(life);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(sweep(k), 2);
    assert_false(istore_has_blob(k->store, hex));
    assert_int_equal(count(k, "scratch"), 0);
}

/* However few descriptors a sweep has, it never takes what lives. */
static void test_in_doubt_a_scratch_folder_lives(void **state)
{
    struct kit *k = *state;
    char hex[ISTORE_HEX];
    int life, status, failed = 0;
    pid_t holder = start_holder(k, &life);
    kit_hash("held", hex);
    for (rlim_t n = 3; n < 24; n++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct rlimit few = {n, n};
            struct err e;
            (void)setrlimit(RLIMIT_NOFILE, &few);
            _exit(istore_sweep(k->store, 0, NULL, &e) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        failed += status != 0;
        assert_int_equal(count(k, "scratch"), 1);
        assert_true(istore_has_blob(k->store, hex));
    }
    assert_true(failed > 2); /* else nothing was in doubt */
    (void)close(life);
    assert_int_equal(waitpid(holder, &status, 0), holder);
}

/* ---- objects (rule 4) ----------------------------------------------------*/

static void test_the_second_drops_his_own(void **state)
{
    struct kit *k = *state;
    char hex[ISTORE_HEX], text[32], chain[ISTORE_HEX], rel[128];
    struct err e;
    struct istore_scratch *sc = kit_scratch(k);
    scoped_free char *got = NULL;
    size_t len;
    put_blob(sc, "first", hex);
    assert_int_equal(
        io_replace_file(istore_scratch_dirfd(sc), "mine", "other", 5, 0600, &e),
        0);
    assert_int_equal(istore_blob_add(sc, "mine", hex, &e), 0);
    assert_int_equal(istore_blob_read(k->store, hex, 100, &got, &len, &e), 0);
    assert_string_equal(got, "first");
    kit_hash("chain", chain);
    put_layer(sc, chain, "first");
    put_layer(sc, chain, "other");
    (void)snprintf(rel, sizeof(rel), "layers/%s/fs/data", chain);
    scoped_fd fd = openat(istore_dirfd(k->store), rel, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 5);
    assert_memory_equal(text, "first", 5);
    istore_scratch_free(sc);
    assert_int_equal(count(k, "scratch"), 0);
}

static void test_no_path_from_foreign_bytes(void **state)
{
    struct kit *k = *state;
    struct err e;
    char path[PATH_MAX];
    struct istore_scratch *sc = kit_scratch(k);
    static const char *const bad[] = {
        "",
        "..",
        "../../etc/passwd",
        "ab",
        "ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789",
        ID "1",
        ID "/..",
        "./11111111111111111111111111111111111111111111111111111111111111",
        "1111111111111111111111111111111111111111111111111111111111111/.."};
    for (size_t i = 0; i < array_len(bad); i++) {
        char pin[1][ISTORE_HEX];
        (void)snprintf(pin[0], ISTORE_HEX, "%s", bad[i]);
        assert_false(istore_has_blob(k->store, bad[i]));
        assert_false(istore_has_layer(k->store, bad[i]));
        assert_int_equal(istore_blob_open(k->store, bad[i], &e), -1);
        assert_int_equal(istore_blob_add(sc, "x", bad[i], &e), -1);
        assert_int_equal(istore_layer_add(sc, "x", bad[i], &e), -1);
        assert_int_equal(istore_layer_path(k->store, bad[i], path, &e), -1);
        assert_int_equal(istore_digest_lock(k->store, bad[i], &e), -1);
        assert_int_equal(istore_container_open(k->store, bad[i], &e), -1);
        assert_int_equal(istore_container_remove(k->store, bad[i], &e), -1);
        if (strlen(bad[i]) < ISTORE_HEX)
            assert_int_equal(
                istore_scratch_pin(sc, (const char(*)[ISTORE_HEX])pin, 1, &e),
                -1);
        assert_int_equal(e.code, ERR_INVALID);
    }
    istore_scratch_free(sc);
}

static void test_one_digest_one_job(void **state)
{
    struct kit *k = *state;
    struct err e;
    int first = istore_digest_lock(k->store, ID, &e);
    assert_true(first >= 0);
    scoped_fd again =
        openat(istore_dirfd(k->store), "busy/11", O_RDWR | O_CLOEXEC);
    assert_true(again >= 0);
    assert_int_equal(flock(again, LOCK_EX | LOCK_NB), -1);
    (void)close(first);
    assert_int_equal(flock(again, LOCK_EX | LOCK_NB), 0);
}

/* ---- names (rule 5) ------------------------------------------------------*/

static void remove_object(struct kit *k, bool is_layer, const char *hex)
{
    char rel[128];
    if (is_layer)
        (void)snprintf(rel, sizeof(rel), "layers/%s", hex);
    else
        (void)snprintf(rel, sizeof(rel), "blobs/sha256/%.2s/%s", hex, hex);
    assert_true(kit_has(k, rel));
    io_remove_tree(istore_dirfd(k->store), rel);
    assert_false(kit_has(k, rel));
}

/* Whatever is missing, neither a ref nor a container comes to be. */
static void test_no_name_for_half_an_image(void **state)
{
    struct kit *k = *state;
    struct err e;
    for (int missing = 0; missing < 6; missing++) {
        struct istore_image img;
        struct istore_scratch *sc = kit_scratch(k);
        put_image(sc, NAME, &img);
        const char *hex[] = {img.manifest, img.config,    img.blobs[0],
                             img.blobs[1], img.layers[0], img.layers[1]};
        remove_object(k, missing >= 4, hex[missing]);
        json_t *record = json_object();
        assert_int_equal(istore_ref_write(k->store, &img, &e), -1);
        assert_int_equal(e.code, ERR_MISSING);
        assert_int_equal(
            istore_container_create(k->store, ID, &img, record, NULL, NULL, &e),
            -1);
        assert_int_equal(e.code, ERR_MISSING);
        assert_int_equal(count(k, "refs") + count(k, "containers"), 0);
        json_decref(record);
        istore_image_free(&img);
        istore_scratch_free(sc);
        (void)sweep(k);
    }
}

static void test_names_keep_objects(void **state)
{
    struct kit *k = *state;
    struct istore_image img;
    struct err e;
    struct istore_scratch *sc = kit_scratch(k);
    json_t *record = json_object();
    put_image(sc, NAME, &img);
    assert_int_equal(istore_ref_write(k->store, &img, &e), 0);
    assert_int_equal(
        istore_container_create(k->store, ID, &img, record, NULL, NULL, &e), 0);
    istore_scratch_free(sc);
    assert_int_equal(sweep(k), 0);
    assert_int_equal(istore_ref_remove(k->store, NAME, &e), 0);
    assert_int_equal(sweep(k), 0); /* the container's */
    assert_true(istore_has_layer(k->store, img.layers[0]));
    assert_int_equal(istore_container_remove(k->store, ID, &e), 0);
    assert_int_equal(sweep(k), 6);
    json_decref(record);
    istore_image_free(&img);
}

static void test_containers(void **state)
{
    struct kit *k = *state;
    struct istore_image img;
    struct err e;
    struct stat st;
    char rel[160];
    struct istore_scratch *sc = kit_scratch(k);
    json_t *record = json_pack("{s:s}", "k", "v");
    put_image(sc, NAME, &img);
    /* The root folder of the topmost layer is the container's. */
    (void)snprintf(rel, sizeof(rel), "layers/%s/fs", img.layers[1]);
    struct timespec when[2] = {{.tv_sec = 5}, {.tv_sec = 1000000000}};
    assert_int_equal(fchownat(istore_dirfd(k->store), rel, 7, 8, 0), 0);
    assert_int_equal(fchmodat(istore_dirfd(k->store), rel, 03710, 0), 0);
    assert_int_equal(utimensat(istore_dirfd(k->store), rel, when, 0), 0);
    assert_int_equal(
        istore_container_create(k->store, ID, &img, record, NULL, NULL, &e), 0);
    assert_int_equal(
        fstatat(istore_dirfd(k->store), "containers/" ID "/upper", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 03710);
    assert_true(st.st_uid == 7 && st.st_gid == 8);
    assert_int_equal(st.st_mtime, 1000000000);
    assert_int_equal(
        istore_container_create(k->store, ID, &img, record, NULL, NULL, &e),
        -1);
    assert_int_equal(e.code, ERR_EXISTS);
    assert_int_equal(count(k, "containers"), 1);
    json_t *again = istore_container_read(k->store, ID, &e);
    assert_string_equal(json_string_value(json_object_get(again, "k")), "v");
    json_decref(again);
    /* A maker that died leaves a folder under another name. */
    assert_int_equal(
        mkdirat(istore_dirfd(k->store), "containers/new-" ID, 0700), 0);
    assert_int_equal(sweep(k), 1);
    assert_int_equal(count(k, "containers"), 1);
    assert_int_equal(istore_container_remove(k->store, ID, &e), 0);
    assert_int_equal(
        mkdirat(istore_dirfd(k->store), "containers/new-" ID, 0700), 0);
    assert_int_equal(istore_container_remove(k->store, ID, &e), 0);
    assert_int_equal(istore_container_remove(k->store, ID, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(count(k, "containers") + count(k, "trash"), 0);
    json_decref(record);
    istore_image_free(&img);
    istore_scratch_free(sc);
}

static void test_long_names(void **state)
{
    struct kit *k = *state;
    struct istore_image img;
    struct err e;
    struct istore_scratch *sc = kit_scratch(k);
    int written = 0;
    put_image(sc, NAME, &img);
    for (size_t n = 1; n < 260; n++) {
        memset(img.name, 'a', n);
        img.name[n] = '\0';
        if (istore_ref_write(k->store, &img, &e) == 0)
            written++;
        else
            assert_int_equal(e.code, ERR_TOO_LARGE);
    }
    assert_true(written >= 200);
    assert_int_equal(count(k, "refs"), written);
    istore_image_free(&img);
    istore_scratch_free(sc);
}

static void test_resolve(void **state)
{
    struct kit *k = *state;
    struct istore_image img, got;
    struct err e;
    char text[200];
    struct istore_scratch *sc = kit_scratch(k);
    put_image(sc, NAME, &img);
    assert_int_equal(istore_ref_write(k->store, &img, &e), 0);
    const char *forms[] = {"x", "x:latest", "docker.io/library/x"};
    for (size_t i = 0; i < array_len(forms); i++) {
        assert_int_equal(istore_resolve(k->store, forms[i], &got, &e), 0);
        istore_image_free(&got);
    }
    static const char *const formats[] = {"%.4s", "%.12s", "%s", "sha256:%.7s",
                                          "sha256:%s"};
    for (size_t i = 0; i < array_len(formats); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof(text), formats[i], img.config);
#pragma GCC diagnostic pop
        assert_int_equal(istore_resolve(k->store, text, &got, &e), 0);
        assert_string_equal(got.name, NAME);
        istore_image_free(&got);
    }
    (void)snprintf(text, sizeof(text), "x@sha256:%s", img.manifest);
    assert_int_equal(istore_resolve(k->store, text, &got, &e), 0);
    istore_image_free(&got);
    (void)snprintf(text, sizeof(text), "y@sha256:%s", img.manifest);
    assert_int_equal(istore_resolve(k->store, text, &got, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(istore_resolve(k->store, "x:other", &got, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    istore_image_free(&img);
    istore_scratch_free(sc);
}

/* ---- the sweep (rule 6) --------------------------------------------------*/

static void test_an_unreadable_name_stops_the_sweep(void **state)
{
    struct kit *k = *state;
    struct istore_image img;
    struct err e;
    size_t freed = 0;
    struct istore_scratch *sc = kit_scratch(k);
    put_image(sc, NAME, &img);
    istore_scratch_free(sc);
    assert_int_equal(io_replace_file(istore_dirfd(k->store), "refs/y.json",
                                     "{\"na", 4, 0600, &e),
                     0);
    assert_int_equal(istore_sweep(k->store, 0, &freed, &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_int_equal(freed, 0);
    assert_true(istore_has_layer(k->store, img.layers[0]));
    istore_image_free(&img);
}

static void test_a_busy_store_is_left_alone(void **state)
{
    struct kit *k = *state;
    struct err e;
    size_t freed = 1;
    char chain[ISTORE_HEX];
    struct istore_scratch *sc = kit_scratch(k);
    kit_hash("chain", chain);
    put_layer(sc, chain, "x");
    scoped_fd held = istore_lock_shared(k->store, &e);
    assert_true(held >= 0);
    assert_int_equal(istore_sweep(k->store, 0, &freed, &e), 0);
    assert_int_equal(freed, 0);
    assert_true(istore_has_layer(k->store, chain));
    istore_scratch_free(sc);
}

static void test_left_temporaries_are_taken(void **state)
{
    struct kit *k = *state;
    struct istore_image img;
    struct err e;
    struct istore_scratch *sc = kit_scratch(k);
    json_t *record = json_object();
    static const char *const left[] = {
        "format.tmp-0123456789abcdef", "refs/a.json.tmp-0123456789abcdef",
        "containers/" ID "/record.json.tmp-0123456789abcdef"};
    put_image(sc, NAME, &img);
    assert_int_equal(
        istore_container_create(k->store, ID, &img, record, NULL, NULL, &e), 0);
    for (size_t i = 0; i < array_len(left); i++)
        assert_int_equal(
            mknodat(istore_dirfd(k->store), left[i], S_IFREG | 0600, 0), 0);
    (void)sweep(k);
    for (size_t i = 0; i < array_len(left); i++)
        assert_false(kit_has(k, left[i]));
    assert_true(kit_has(k, "containers/" ID "/record.json"));
    json_decref(record);
    istore_image_free(&img);
    istore_scratch_free(sc);
}

/* Fill the file system of fd to its last byte. */
static void fill_up(int dir)
{
    static const char zero[65536];
    scoped_fd fd = openat(dir, "filler", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (size_t n = sizeof(zero); n > 0; n /= 2) {
        while (write(fd, zero, n) > 0)
            ;
    }
    assert_int_equal(errno, ENOSPC);
    (void)fsync(fd);
}

/*
 * More objects than the folder trash/ has room for, on a full disk: blocks of
 * 1 KiB, so that it is full with some forty names.
 */
static void test_the_sweep_needs_no_space(void **state)
{
    struct kit *outer = *state;
    struct kit k = {.store = NULL};
    char cmd[400], hex[ISTORE_HEX], text[32];
    skip_unless_root();
    (void)snprintf(k.root, sizeof(k.root), "%.70s/mnt", outer->root);
    (void)snprintf(cmd, sizeof(cmd),
                   "cd %s && truncate -s 16M disk && "
                   "mkfs.ext4 -q -b 1024 -m 0 disk && mkdir mnt && "
                   "mount -o loop disk mnt",
                   outer->root);
    assert_int_equal(system(cmd), 0);
    kit_open(&k);
    struct istore_scratch *sc = kit_scratch(&k);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(text, sizeof(text), "blob %d", i);
        put_blob(sc, text, hex);
    }
    istore_scratch_free(sc);
    fill_up(istore_dirfd(k.store));
    size_t freed = sweep(&k);
    bool has_last = istore_has_blob(k.store, hex);
    istore_close(k.store);
    assert_int_equal(umount(k.root), 0);
    assert_int_equal(freed, 300);
    assert_false(has_last);
}

#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_layout),
        T(test_newer_format_is_refused),
        T(test_pins_keep_from_the_sweep),
        T(test_an_unpinned_object_is_taken),
        T(test_a_dead_scratch_folder_is_swept),
        T(test_in_doubt_a_scratch_folder_lives),
        T(test_the_second_drops_his_own),
        T(test_no_path_from_foreign_bytes),
        T(test_one_digest_one_job),
        T(test_no_name_for_half_an_image),
        T(test_names_keep_objects),
        T(test_containers),
        T(test_long_names),
        T(test_resolve),
        T(test_an_unreadable_name_stops_the_sweep),
        T(test_a_busy_store_is_left_alone),
        T(test_left_temporaries_are_taken),
        T(test_the_sweep_needs_no_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
