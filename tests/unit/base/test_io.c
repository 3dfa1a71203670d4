#include "base/io.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/num.h"

static int temp_dir(char *path)
{
    strcpy(path, "/tmp/berth-io-XXXXXX");
    assert_non_null(mkdtemp(path));
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_replace_and_read(void **state)
{
    char path[64], *text = NULL;
    struct err e = {0};
    size_t len = 0;
    int dir = temp_dir(path);

    (void)state;
    assert_int_equal(io_replace_file(dir, "a", "one", 3, 0600, &e), 0);
    assert_int_equal(io_replace_file(dir, "a", "second", 6, 0600, &e), 0);
    assert_int_equal(io_read_file(dir, "a", 100, &text, &len, &e), 0);
    assert_int_equal(len, 6);
    assert_string_equal(text, "second");
    free(text);
    text = NULL;
    assert_int_equal(io_read_file(dir, "a", 5, &text, &len, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_int_equal(io_read_file(dir, "b", 5, &text, &len, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    unlinkat(dir, "a", 0);
    close(dir);
    assert_int_equal(rmdir(path), 0); /* no temporary file is left */
}

static void test_read_refuses_odd_files(void **state)
{
    char path[64], *text = NULL;
    struct err e = {0};
    size_t len = 0;
    int dir = temp_dir(path);

    (void)state;
    assert_int_equal(mkfifoat(dir, "fifo", 0600), 0);
    assert_int_equal(symlinkat("/etc/passwd", dir, "link"), 0);
    assert_int_equal(io_read_file(dir, "fifo", 100, &text, &len, &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_int_equal(io_read_file(dir, "link", 1000000, &text, &len, &e), -1);
    assert_int_equal(e.code, ERR_IO); /* ELOOP */
    assert_null(text);
    unlinkat(dir, "fifo", 0);
    unlinkat(dir, "link", 0);
    close(dir);
    rmdir(path);
}

static void test_close_dir(void **state)
{
    char path[64];
    struct err e = {0};
    struct stat st;
    int dir = temp_dir(path);

    (void)state;
    assert_int_equal(fchmod(dir, 0755), 0);
    assert_int_equal(io_close_dir(dir, path, &e), 0);
    assert_int_equal(fstat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    if (fchown(dir, 12345, (gid_t)-1) == 0) { /* root */
        assert_int_equal(io_close_dir(dir, path, &e), -1);
        assert_int_equal(e.code, ERR_DENIED);
    }
    close(dir);
    rmdir(path);
}

static void test_proc_files_have_no_size(void **state)
{
    struct err e = {0};
    char *text = NULL;
    size_t len = 0;

    (void)state;
    assert_int_equal(
        io_read_file(AT_FDCWD, "/proc/self/status", 65536, &text, &len, &e), 0);
    assert_true(len > 0);
    free(text);
}

static void test_random_names(void **state)
{
    unsigned char raw[32];
    char a[65], b[65];

    (void)state;
    io_random_hex(a, 32);
    io_random_hex(b, 32);
    assert_true(num_unhex(slice_of(a), raw, 32));
    assert_string_not_equal(a, b);
    io_random_hex(a, 8);
    assert_int_equal(strlen(a), 16);
}

static void test_deep_trees_are_removed(void **state)
{
    char path[64];
    int dir = temp_dir(path), top;

    (void)state;
    assert_int_equal(mkdirat(dir, "deep", 0700), 0);
    top = openat(dir, "deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        int next;

        assert_int_equal(mkdirat(top, "d", 0700), 0);
        assert_int_equal(mknodat(top, "f", S_IFREG, 0), 0);
        assert_int_equal(symlinkat("/", top, "l"), 0);
        next = openat(top, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(top);
        top = next;
    }
    close(top);
    io_remove_tree(dir, "deep");
    assert_int_equal(faccessat(dir, "deep", F_OK, 0), -1);
    close(dir);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace_and_read),
        cmocka_unit_test(test_read_refuses_odd_files),
        cmocka_unit_test(test_close_dir),
        cmocka_unit_test(test_proc_files_have_no_size),
        cmocka_unit_test(test_random_names),
        cmocka_unit_test(test_deep_trees_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
