/*
 * The store when a system call fails: the life of an image and of a container
 * is gone through again and again, with the first, the second, ... call
 * failing.  The linker puts wrappers in place of the calls (sources.mk).
 *
 * 1. A failure is an error or has no effect: nobody crashes.
 * 2. What was acknowledged is there, whatever names something names it whole.
 * 3. When all names are gone, one sweep leaves nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/io.h"
#include "client/store/store_int.h"
#include "tests/unit/client/kit.h"
#include "tests/unit/client/store/wrap.h"

#define NAME  "docker.io/library/x:latest"
#define OTHER "docker.io/library/x:other"
#define ID    "1111111111111111111111111111111111111111111111111111111111111111"

/* What was done, in order; shared with the process that does it. */
enum step {
    S_OPENED,
    S_NAMED,
    S_CREATED,
    S_UPDATED,
    S_TAGGED,
    S_UNTAGGED,
    S_SWEPT,
    S_REMOVED,
    S_END,
};

static struct {
    long calls;
    bool done[S_END];
    char message[240];
} * shared;

static long fail_at; /* of this process; 0: never */
static int fail_errno;

static bool fails(void)
{
    if (shared == NULL || fail_at == 0 || ++shared->calls != fail_at)
        return false;
    errno = fail_errno;
    return true;
}

int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return fails() ? -1 : __real_openat(dir, path, flags, mode);
}

int __wrap_mkdirat(int dir, const char *path, mode_t mode)
{
    return fails() ? -1 : __real_mkdirat(dir, path, mode);
}

int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    return fails() ? -1 : __real_renameat(a, from, b, to);
}

int __wrap_renameat2(int a, const char *from, int b, const char *to,
                     unsigned flags)
{
    return fails() ? -1 : __real_renameat2(a, from, b, to, flags);
}

int __wrap_unlinkat(int dir, const char *path, int flags)
{
    return fails() ? -1 : __real_unlinkat(dir, path, flags);
}

int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags)
{
    return fails() ? -1 : __real_fstatat(dir, path, st, flags);
}

ssize_t __wrap_write(int fd, const void *data, size_t n)
{
    return fails() ? -1 : __real_write(fd, data, n);
}

int __wrap_flock(int fd, int op)
{
    return fails() ? -1 : __real_flock(fd, op);
}

/* Nothing waits for the disk, but everything may fail there. */
int __wrap_fsync(int fd)
{
    (void)fd;
    return fails() ? -1 : 0;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return fails() ? -1 : 0;
}

/* ---- the life ------------------------------------------------------------*/

static int put_layer(struct istore_scratch *sc, const char *chain,
                     struct err *e)
{
    int dir = istore_scratch_dirfd(sc);
    char folder[20] = "l-", rel[64];
    io_random_hex(folder + 2, 8);
    (void)snprintf(rel, sizeof(rel), "%s/fs", folder);
    if (io_mkdir(dir, folder, 0700, e) != 0 || io_mkdir(dir, rel, 0755, e) != 0)
        return -1;
    (void)snprintf(rel, sizeof(rel), "%s/meta.json", folder);
    if (io_replace_file(dir, rel, "{\"size\":7}", 10, 0600, e) != 0)
        return -1;
    return istore_layer_add(sc, folder, chain, e);
}

/* As a pull does: pin, look, make. */
static int put_image(struct istore_scratch *sc, struct istore_image *img,
                     struct err *e)
{
    struct kit_image k = {.layers = {0, 1}, .n = 2};
    char text[32], blob[ISTORE_HEX], diff[ISTORE_HEX];
    struct istore *s = istore_scratch_store(sc);
    kit_image(&k, 0);
    if (blobw_put(sc, k.manifest, strlen(k.manifest), img->manifest, e) != 0 ||
        blobw_put(sc, k.config, strlen(k.config), img->config, e) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        kit_layer(k.layers[i], text, blob, diff);
        layer_chain(i > 0 ? img->layers[0] : NULL, diff, img->layers[i]);
        if (blobw_put(sc, text, strlen(text), img->blobs[i], e) != 0)
            return -1;
    }
    if (istore_scratch_pin(sc, (const char(*)[ISTORE_HEX])img->layers, 2, e) !=
        0)
        return -1;
    for (int i = 0; i < 2; i++) {
        scoped_fd busy = istore_digest_lock(s, img->layers[i], e);
        if (busy < 0 || (!istore_has_layer(s, img->layers[i]) &&
                         put_layer(sc, img->layers[i], e) != 0))
            return -1;
    }
    return 0;
}

static int done(enum step step, int rc)
{
    shared->done[step] = rc == 0;
    return rc;
}

static int use_names(struct istore *s, struct istore_image *img, json_t *record,
                     struct err *e)
{
    if (done(S_NAMED, istore_ref_write(s, img, e)) != 0 ||
        done(S_CREATED,
             istore_container_create(s, ID, img, record, NULL, NULL, e)) != 0)
        return -1;
    (void)json_object_set_new(record, "more", json_true());
    if (done(S_UPDATED, istore_container_update(s, ID, record, e)) != 0)
        return -1;
    (void)snprintf(img->name, sizeof(img->name), "%s", OTHER);
    if (done(S_TAGGED, istore_ref_write(s, img, e)) != 0 ||
        done(S_UNTAGGED, istore_ref_remove(s, OTHER, e)) != 0)
        return -1;
    if (done(S_SWEPT, istore_sweep(s, 100, NULL, e)) != 0)
        return -1;
    return done(S_REMOVED, istore_container_remove(s, ID, e));
}

static int live(const char *root, struct err *e)
{
    struct istore *s;
    struct istore_scratch *sc;
    struct istore_image img = {.name = NAME};
    if (done(S_OPENED, istore_open(root, &s, e)) != 0)
        return -1;
    json_t *record = json_object();
    int rc = istore_image_alloc(&img, 2, e);
    if (rc == 0)
        rc = istore_scratch_new(s, &sc, e);
    if (rc == 0) {
        rc = put_image(sc, &img, e);
        if (rc == 0)
            rc = use_names(s, &img, record, e);
        istore_scratch_free(sc);
    }
    json_decref(record);
    istore_image_free(&img);
    istore_close(s);
    return rc;
}

/* In a process of its own, which ends as a killed one would: with its locks. */
static void live_apart(const char *root, long n, int error)
{
    int status;
    memset(shared, 0, sizeof(*shared));
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e = {.msg = ""};
        fail_at = n;
        fail_errno = error;
        int rc = live(root, &e);
        memcpy(shared->message, e.msg, sizeof(e.msg));
        _exit(rc == 0 ? 0 : e.msg[0] != '\0' ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        fail_msg("call %ld: status 0x%x", n, (unsigned)status);
}

/* ---- afterwards ----------------------------------------------------------*/

static int count(struct istore *s, const char *rel, bool is_nested)
{
    int n = 0;
    char below[300];
    int fd = openat(istore_dirfd(s), rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(fd);
    assert_non_null(d);
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (de->d_name[0] == '.')
            continue;
        (void)snprintf(below, sizeof(below), "%s/%s", rel, de->d_name);
        n += is_nested ? count(s, below, false) : 1;
    }
    (void)closedir(d);
    return n;
}

static void must(int rc, long n, const char *what, const struct err *e)
{
    if (rc != 0)
        fail_msg("call %ld (\"%s\"): %s: %s", n, shared->message, what, e->msg);
}

/* Rule 2; and all names go. */
static void check_names(struct istore *s, long n)
{
    struct istore_image *list;
    char(*ids)[ISTORE_HEX];
    size_t refs, containers;
    struct err e;
    bool has_name = false;
    must(istore_ref_list(s, &list, &refs, &e), n, "list refs", &e);
    for (size_t i = 0; i < refs; i++) {
        must(istore_image_check(s, &list[i], &e), n, "a ref", &e);
        has_name = has_name || strcmp(list[i].name, NAME) == 0;
        if (shared->done[S_UNTAGGED])
            assert_string_not_equal(list[i].name, OTHER);
        must(istore_ref_remove(s, list[i].name, &e), n, "remove a ref", &e);
    }
    istore_ref_list_free(list, refs);
    if (shared->done[S_NAMED] && !has_name)
        fail_msg("call %ld: an acknowledged name is gone", n);
    must(istore_container_list(s, &ids, &containers, &e), n, "list", &e);
    if (shared->done[S_CREATED] && !shared->done[S_REMOVED] &&
        !shared->done[S_SWEPT])
        assert_int_equal(containers, 1);
    if (shared->done[S_REMOVED] || !shared->done[S_CREATED])
        assert_int_equal(containers, 0);
    for (size_t i = 0; i < containers; i++) {
        struct istore_image img;
        json_t *record = istore_container_read(s, ids[i], &e);
        must(record == NULL, n, "a record", &e);
        if (shared->done[S_UPDATED])
            assert_true(json_is_true(json_object_get(record, "more")));
        must(istore_container_image(record, &img, &e), n, "a record", &e);
        must(istore_image_check(s, &img, &e), n, "a container", &e);
        istore_image_free(&img);
        json_decref(record);
        must(istore_container_remove(s, ids[i], &e), n, "rm", &e);
    }
    free(ids);
}

static void check_after(const char *root, long n)
{
    struct istore *s;
    struct err e;
    must(istore_open(root, &s, &e), n, "open", &e);
    must(istore_sweep(s, 1000, NULL, &e), n, "sweep", &e);
    check_names(s, n);
    must(istore_sweep(s, 1000, NULL, &e), n, "sweep", &e);
    static const char *const folders[] = {"layers", "refs", "containers",
                                          "scratch", "trash"};
    for (size_t i = 0; i < array_len(folders); i++) {
        if (count(s, folders[i], false) != 0)
            fail_msg("call %ld (\"%s\"): left in %s", n, shared->message,
                     folders[i]);
    }
    if (count(s, "blobs/sha256", true) != 0)
        fail_msg("call %ld (\"%s\"): blobs are left", n, shared->message);
    istore_close(s);
}

static void test_each_call_fails(void **state)
{
#ifdef BERTH_SANITIZED /* a process takes ten times as long */
    static const int errors[] = {EIO};
#else
    static const int errors[] = {EIO, ENOSPC, EMFILE};
#endif
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (size_t i = 0; i < array_len(errors); i++) {
        long n = 0, failed = 0;
        do {
            struct kit k;
            kit_folder(&k, true);
            live_apart(k.root, ++n, errors[i]);
            failed += shared->message[0] != '\0';
            check_after(k.root, n);
            k.store = NULL;
            kit_close(&k);
        } while (shared->calls >= n);
        print_message("%s: %ld calls, %ld of them an error\n",
                      strerror(errors[i]), n - 1, failed);
        assert_true(n > 150 && failed > 80);
        /* The last time nothing failed. */
        assert_true(shared->done[S_REMOVED]);
    }
    (void)munmap(shared, sizeof(*shared));
    shared = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
