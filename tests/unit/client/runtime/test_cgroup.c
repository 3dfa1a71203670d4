/* Detection from mountinfo, and the v2 limits against a made-up tree. */
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
#include "client/runtime/cgroup.h"
#include "client/runtime/user.h"

static void detects_hybrid(void **state)
{
    static struct cg_layout l;
    (void)state;
    cg_detect("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
              "32 31 0:29 / /c/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
              "35 31 0:32 / /c/memory rw - cgroup cgroup rw,memory\n"
              "41 31 0:38 / /c/unified rw - cgroup2 cgroup2 rw\n",
              &l);
    assert_string_equal(l.v1[CG_CPU], "/c/cpu,cpuacct");
    assert_string_equal(l.v1[CG_CPUACCT], "/c/cpu,cpuacct");
    assert_string_equal(l.v1[CG_MEMORY], "/c/memory");
    assert_string_equal(l.v1[CG_CPUSET], "");
    assert_string_equal(l.v2, "/c/unified");
    assert_false(l.is_v2_only);
}

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%.2000s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void expect(const char *dir, const char *name, const char *want)
{
    char path[PATH_MAX], got[128] = "";
    (void)snprintf(path, sizeof(path), "%.2000s/berth/x/%s", dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    (void)!fgets(got, sizeof(got), f);
    (void)fclose(f);
    assert_string_equal(got, want);
}

static void sets_v2_limits(void **state)
{
    static struct cg_layout l;
    static const char *const files[] = {"memory.max", "memory.swap.max",
                                        "cpu.max", "cpu.weight", "pids.max"};
    char dir[] = "/tmp/test_cgroup.XXXXXX", sub[PATH_MAX], info[512];
    struct err e;
    (void)state;
    assert_non_null(mkdtemp(dir));
    put_file(dir, "cgroup.controllers", "cpu memory pids\n");
    put_file(dir, "cgroup.subtree_control", "");
    (void)snprintf(sub, sizeof(sub), "%s/berth", dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    put_file(sub, "cgroup.subtree_control", "");
    (void)snprintf(sub, sizeof(sub), "%s/berth/x", dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    for (size_t i = 0; i < array_len(files); i++)
        put_file(sub, files[i], "");
    put_file(sub, "memory.events", "low 0\noom 1\noom_kill 1\n");
    (void)snprintf(info, sizeof(info), "1 2 0:1 / %s rw - cgroup2 c rw\n", dir);
    cg_detect(info, &l);
    assert_true(l.is_v2_only);
    const struct rt_limits m = {.memory = 1 << 20,
                                .nano_cpus = 500000000,
                                .cpu_shares = 1024,
                                .pids = 7};
    assert_int_equal(cg_create(&l, "x", &m, &e), 0);
    expect(dir, "memory.max", "1048576");
    expect(dir, "memory.swap.max", "1048576");
    expect(dir, "cpu.max", "50000 100000");
    expect(dir, "cpu.weight", "39");
    expect(dir, "pids.max", "7");
    assert_true(cg_was_oom_killed(&l, "x"));
    io_remove_tree(AT_FDCWD, dir);
}

static void joins_by_itself(void **state)
{
    static struct cg_layout l;
    char dir[] = "/tmp/test_cgroup.XXXXXX", sub[PATH_MAX], info[512];
    struct err e;
    int fd;
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(sub, sizeof(sub), "%s/berth", dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    (void)snprintf(sub, sizeof(sub), "%s/berth/x", dir);
    assert_int_equal(mkdir(sub, 0755), 0);
    put_file(sub, "tasks", "");
    (void)snprintf(info, sizeof(info),
                   "1 2 0:1 / %s rw - cgroup c rw,memory,pids\n", dir);
    cg_detect(info, &l);
    assert_int_equal(cg_join(&l, "x", &e), 0);
    expect(dir, "tasks", "0");
    assert_int_equal(cg_open(&l, "x", &fd, &e), 0);
    assert_int_equal(fd, -1);
    (void)snprintf(info, sizeof(info), "1 2 0:1 / %s rw - cgroup2 c rw\n", dir);
    cg_detect(info, &l);
    assert_int_equal(cg_open(&l, "x", &fd, &e), 0);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(cg_open(&l, "y", &fd, &e), -1);
    io_remove_tree(AT_FDCWD, dir);
}

static void resolves_users(void **state)
{
    static const char passwd[] = "root:x:0:0:r:/root:/bin/sh\n"
                                 "bob:x:1000:100::/home/bob:/bin/sh\n";
    static const char group[] = "root:x:0:\nextra:x:2000:al,bob\n";
    static const char *const bad[] = {"4294967296", "2147483648", "1 ",   "0x1",
                                      "-1",         "eve",        "1:eve"};
    struct user u;
    struct err e;
    (void)state;
    assert_int_equal(user_resolve("bob", NULL, 0, passwd, group, &u, &e), 0);
    assert_int_equal(u.uid, 1000);
    assert_int_equal(u.gid, 100);
    assert_int_equal(u.n_groups, 2);
    assert_int_equal(u.groups[1], 2000);
    assert_string_equal(u.home, "/home/bob");
    assert_int_equal(user_resolve("1:", NULL, 0, passwd, group, &u, &e), 0);
    assert_int_equal(u.uid, 1);
    assert_int_equal(user_resolve("5:extra", NULL, 0, NULL, group, &u, &e), 0);
    assert_int_equal(u.gid, 2000);
    for (size_t i = 0; i < array_len(bad); i++)
        assert_int_equal(user_resolve(bad[i], NULL, 0, passwd, group, &u, &e),
                         -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detects_hybrid), cmocka_unit_test(sets_v2_limits),
        cmocka_unit_test(joins_by_itself), cmocka_unit_test(resolves_users)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
