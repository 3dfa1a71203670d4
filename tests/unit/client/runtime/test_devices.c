/* The device list: v1's text, and the eBPF program on a real v2 group. */
#include "client/runtime/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/runtime/cgroup.h"
#include "tests/unit/skip.h"

static void formats(void **state)
{
    static const char *const want[] = {"c *:* m",   "b *:* m",    "c 1:3 rwm",
                                       "c 1:5 rwm", "c 1:7 rwm",  "c 1:8 rwm",
                                       "c 1:9 rwm", "c 5:0 rwm",  "c 5:1 rwm",
                                       "c 5:2 rwm", "c 136:* rwm"};
    size_t n;
    char got[32];
    const struct dev_rule *rules = devices_default(&n);
    (void)state;
    assert_int_equal(n, array_len(want));
    for (size_t i = 0; i < n; i++) {
        devices_format(&rules[i], got);
        assert_string_equal(got, want[i]);
    }
}

static void stays_in_bounds(void **state)
{
    struct bpf_insn out[DEVICES_INSNS_MAX];
    struct dev_rule rules[DEVICES_RULES_MAX];
    struct err e;
    (void)state;
    for (size_t i = 0; i < DEVICES_RULES_MAX; i++)
        rules[i] = (struct dev_rule){'c', 1, 2, "rwm"};
    assert_true(devices_program(rules, DEVICES_RULES_MAX, out) <=
                DEVICES_INSNS_MAX);
    assert_int_equal(devices_attach(-1, rules, DEVICES_RULES_MAX + 1, &e), -1);
}

/* Opens or makes a node in a member of the group; 0 or the errno. */
static int attempt(const char *dir, char type, unsigned major, unsigned minor,
                   int flags)
{
    char path[64];
    mode_t kind = type == 'b' ? S_IFBLK : S_IFCHR;
    (void)snprintf(path, sizeof(path), "%.40s/%c%u.%u", dir, type, major,
                   minor);
    if (mknod(path, kind | 0600, makedev(major, minor)) != 0 && errno != EEXIST)
        return errno;
    if (flags < 0)
        return 0;
    int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int saved = fd < 0 ? errno : 0;
    if (fd >= 0)
        (void)close(fd);
    return saved;
}

static const struct {
    char type;
    unsigned major, minor;
    int flags; /* -1: only make it */
    int want;
} cases[] = {{'c', 1, 3, O_RDWR, 0},
             {'c', 1, 5, O_RDONLY, 0},
             {'c', 1, 9, O_RDONLY, 0},
             {'c', 1, 7, O_WRONLY, 0},
             {'c', 1, 1, -1, 0},
             {'c', 1, 1, O_RDONLY, EPERM},
             {'c', 1, 11, O_RDONLY, EPERM},
             {'c', 10, 229, O_RDWR, EPERM},
             {'b', 1, 3, -1, 0},
             {'b', 1, 3, O_RDONLY, EPERM},
             {'b', 254, 0, O_RDONLY, EPERM},
             {'c', 5, 3, O_RDONLY, EPERM},
             {'c', 135, 0, O_RDONLY, EPERM}};

/* Join the group and try them all; 0, or 1 + the index of a wrong one. */
static int inside(const char *group, const char *dir)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%.4000s/cgroup.procs", group);
    FILE *f = fopen(path, "we");
    if (f == NULL || fputs("0", f) < 0 || fclose(f) != 0)
        return 100;
    for (size_t i = 0; i < array_len(cases); i++) {
        int got = attempt(dir, cases[i].type, cases[i].major, cases[i].minor,
                          cases[i].flags);
        if (got != cases[i].want) {
            (void)fprintf(stderr, "case %zu: %s\n", i, strerror(got));
            return (int)i + 1;
        }
    }
    return 0;
}

static void v2_program_decides(void **state)
{
    static struct cg_layout l;
    char group[PATH_MAX], id[32], dir[] = "/tmp/test_devices.XXXXXX";
    struct err e;
    int status;
    (void)state;
    if (geteuid() != 0 || cg_detect_self(&l, &e) != 0 || l.v2[0] == '\0')
        skip_because("needs root and a cgroup v2 tree");
    /* As on a machine that has only v2: its tree may be hybrid's. */
    memset(l.v1, 0, sizeof(l.v1));
    l.is_v2_only = true;
    (void)snprintf(id, sizeof(id), "test-devices-%d", (int)getpid());
    (void)snprintf(group, sizeof(group), "%.2000s/berth", l.v2);
    (void)mkdir(group, 0755);
    (void)snprintf(group, sizeof(group), "%.2000s/berth/%s", l.v2, id);
    assert_int_equal(mkdir(group, 0755), 0);
    assert_non_null(mkdtemp(dir));
    int rc = cg_limit_devices(&l, id, &e);
    pid_t pid = fork();
    if (pid == 0)
        _exit(rc != 0 ? 101 : inside(group, dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (size_t i = 0; i < array_len(cases); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%.40s/%c%u.%u", dir, cases[i].type,
                       cases[i].major, cases[i].minor);
        (void)unlink(path);
    }
    (void)rmdir(dir);
    (void)rmdir(group);
    if (rc != 0)
        print_error("%s\n", e.msg);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(formats),
                                       cmocka_unit_test(stays_in_bounds),
                                       cmocka_unit_test(v2_program_decides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
