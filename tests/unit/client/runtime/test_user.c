/* Users and groups, from files that an image chose to be hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "client/runtime/user.h"

static char folder[] = "/tmp/berth-user-XXXXXX";
static int root;

static int setup(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return mkdirat(root, "etc", 0755);
}

static int teardown(void **state)
{
    (void)state;
    (void)close(root);
    io_remove_tree(AT_FDCWD, folder);
    return 0;
}

static void put(const char *path, const char *text)
{
    int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
}

static int resolve(const char *spec, struct user *u)
{
    struct err e;
    return user_resolve_in(root, spec, NULL, 0, u, &e);
}

static void ordinary(void **state)
{
    struct user u;
    (void)state;
    put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                      "app:x:1000:100::/home/app:/bin/sh\n"
                      "twice:x:7:7::/first:/\ntwice:x:8:8::/second:/\n"
                      "last:x:9:9::/last:/bin/sh");
    put("etc/group", "g:x:500:app,other\nh:x:501:other,app\ni:x:502:apple\n");
    assert_int_equal(resolve("app", &u), 0);
    assert_int_equal(u.uid, 1000);
    assert_int_equal(u.gid, 100);
    assert_int_equal(u.n_groups, 3);
    assert_string_equal(u.home, "/home/app");
    assert_int_equal(resolve("1000", &u), 0);
    assert_int_equal(u.n_groups, 3);
    assert_int_equal(resolve("twice", &u), 0);
    assert_int_equal(u.uid, 7);
    assert_int_equal(resolve("last", &u), 0); /* without a newline */
    assert_string_equal(u.home, "/last");
    assert_int_equal(resolve("app:g", &u), 0);
    assert_int_equal(u.gid, 500);
    assert_int_equal(u.n_groups, 1);
    assert_int_equal(resolve("12345", &u), 0);
    assert_int_equal(u.gid, 0);
    assert_string_equal(u.home, "/");
    assert_int_equal(resolve("", &u), 0);
    assert_string_equal(u.home, "/root");
    assert_int_equal(resolve(":g", &u), 0);
    assert_int_equal(u.uid, 0);
    assert_int_equal(u.gid, 500);
    assert_int_equal(resolve("nobody", &u), -1);
    assert_int_equal(resolve("app:nobody", &u), -1);
}

static void odd_lines(void **state)
{
    struct user u;
    (void)state;
    put("etc/passwd", ":::::\n\n:\nshort\nshort2:x\n"
                      "neg:x:-1:0::/:/\nbig:x:4294967296:0::/:/\n"
                      "hex:x:0x10:0::/:/\nblank:x: 5:0::/:/\n"
                      "nogid:x:55\nrelative:x:56:56::../../etc:/\n"
                      "empty:x:57:57:::\n#comment:x:58:58::/c:/\n");
    put("etc/group", "::::\nx\nbad:x:-5:app\n");
    static const char *const bad[] = {"short", "short2", "neg",
                                      "big",   "hex",    "blank"};
    for (size_t i = 0; i < array_len(bad); i++) {
        if (resolve(bad[i], &u) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(resolve("nogid", &u), 0);
    assert_int_equal(u.uid, 55);
    assert_int_equal(u.gid, 0);
    assert_int_equal(resolve("relative", &u), 0);
    assert_string_equal(u.home, "/");
    assert_int_equal(resolve("empty", &u), 0);
    assert_string_equal(u.home, "/");
}

static void no_files(void **state)
{
    struct user u;
    (void)state;
    assert_int_equal(resolve("0", &u), 0);
    assert_string_equal(u.home, "/");
    assert_int_equal(resolve("5:6", &u), 0);
    assert_int_equal(resolve("root", &u), -1);
    assert_int_equal(unlinkat(root, "etc", AT_REMOVEDIR), 0);
    assert_int_equal(resolve("5", &u), 0);
}

static void special_files(void **state)
{
    struct user u;
    (void)state;
    /* A FIFO must not block, a folder or a device is no file. */
    assert_int_equal(mkfifoat(root, "etc/passwd", 0644), 0);
    assert_int_equal(resolve("0", &u), -1);
    assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
    assert_int_equal(mkdirat(root, "etc/passwd", 0755), 0);
    assert_int_equal(resolve("0", &u), -1);
    assert_int_equal(unlinkat(root, "etc/passwd", AT_REMOVEDIR), 0);
    if (geteuid() == 0) {
        assert_int_equal(mknodat(root, "etc/passwd", S_IFCHR | 0644, 0x105), 0);
        assert_int_equal(resolve("0", &u), -1);
    }
}

static void links(void **state)
{
    struct user u;
    (void)state;
    /* Inside the root a link is followed, absolute ones from its top. */
    put("real", "app:x:77:77::/a:/\n");
    assert_int_equal(symlinkat("/real", root, "etc/passwd"), 0);
    assert_int_equal(resolve("app", &u), 0);
    assert_int_equal(u.uid, 77);
    /* Never out of it. */
    assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
    char up[300];
    (void)snprintf(up, sizeof(up), "../../../../../..%s/real", folder);
    assert_int_equal(symlinkat(up, root, "etc/passwd"), 0);
    assert_int_equal(resolve("app", &u), -1);
    assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
    assert_int_equal(symlinkat("/etc/passwd", root, "etc/passwd"), 0);
    assert_int_equal(resolve("0", &u), -1); /* a loop */
    assert_int_equal(unlinkat(root, "etc/passwd", 0), 0);
    assert_int_equal(symlinkat("/proc/self/exe", root, "etc/passwd"), 0);
    assert_int_equal(resolve("0", &u), 0); /* not there: as without a file */
}

static void huge_files(void **state)
{
    struct user u;
    (void)state;
    put("etc/passwd", "app:x:77:77::/a:/\n");
    int fd = openat(root, "etc/passwd", O_WRONLY);
    assert_int_equal(ftruncate(fd, 1 << 30), 0);
    assert_int_equal(resolve("app", &u), -1);
    /* At the limit it is read, and NULs end what is looked at. */
    assert_int_equal(ftruncate(fd, USER_FILE_MAX), 0);
    assert_int_equal(resolve("app", &u), 0);
    assert_int_equal(resolve("app2", &u), -1);
    (void)close(fd);
}

static void many_groups(void **state)
{
    static char text[USER_FILE_MAX];
    struct user u;
    size_t n = 0;
    (void)state;
    put("etc/passwd", "app:x:77:77::/a:/\n");
    for (int i = 0; i < 5000; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "g%d:x:%d:app\n", i,
                              1000 + i);
    put("etc/group", text);
    assert_int_equal(resolve("app", &u), 0);
    assert_true(u.n_groups <= RT_GROUPS_MAX);
    assert_int_equal(u.groups[0], 77);
}

static void a_very_long_line(void **state)
{
    static char text[USER_FILE_MAX];
    struct user u;
    (void)state;
    memset(text, 'x', sizeof(text) - 64);
    memcpy(text + sizeof(text) - 64, "\napp:x:77:77::/a:/\n", 20);
    put("etc/passwd", text);
    assert_int_equal(resolve("app", &u), 0);
    assert_int_equal(u.uid, 77);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ordinary),      TEST(odd_lines),       TEST(no_files),
        TEST(special_files), TEST(links),           TEST(huge_files),
        TEST(many_groups),   TEST(a_very_long_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
