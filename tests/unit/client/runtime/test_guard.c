/* What a monitor can still do after it gave up the rest. */
#include "client/runtime/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/defs.h"
#include "tests/unit/skip.h"

/* Run check() in a child; the test fails with the line it returned. */
static void in_child(int (*check)(void))
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(check());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool is_denied(long rc)
{
    return rc == -1 && errno == EPERM;
}

static int confined(void)
{
    struct err e;
    char *const argv[] = {NULL};
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0 || guard_privileges(false, &e) != 0)
        return 1;
    if (!is_denied(fork()))
        return 2;
    if (!is_denied(execve("/bin/true", argv, argv)))
        return 3;
    if (!is_denied(socket(AF_UNIX, SOCK_STREAM, 0)))
        return 4;
    if (!is_denied(unshare(CLONE_NEWUSER)))
        return 5;
    if (!is_denied(mount("none", "/", NULL, MS_REMOUNT, NULL)))
        return 6;
    if (!is_denied(ptrace(PTRACE_TRACEME, 0, NULL, NULL)))
        return 7;
    if (!is_denied(setuid(1)))
        return 8;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 9;
    /* Its work goes on. */
    if (write(pipe_fds[1], "x", 1) != 1 || kill(getpid(), 0) != 0 ||
        access("/", R_OK) != 0)
        return 10;
    return 0;
}

static void test_privileges(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip_because("TSan's thread does not survive a refused fork");
#endif
    skip_unless_root();
    in_child(confined);
}

/* All of CapEff, as /proc tells it. */
static uint64_t effective(void)
{
    char line[256];
    unsigned long long caps = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        (void)sscanf(line, "CapEff: %llx", &caps);
    if (f != NULL)
        (void)fclose(f);
    return caps;
}

static int keeps_two(void)
{
    struct err e;
    return guard_privileges(false, &e) == 0 && effective() == 0x22 ? 0 : 1;
}

static int keeps_three(void)
{
    struct err e;
    return guard_privileges(true, &e) == 0 && effective() == 0x2a ? 0 : 1;
}

static void test_capabilities(void **state)
{
    (void)state;
    skip_unless_root();
    in_child(keeps_two);
    in_child(keeps_three);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int closes(void)
{
    struct err e;
    int keep[] = {40, 7, 7, -1, 9};
    for (int fd = 3; fd < 50; fd++) {
        if (dup2(0, fd) != fd)
            return 1;
    }
    if (guard_descriptors(keep, array_len(keep), &e) != 0)
        return 2;
    for (int fd = 0; fd < 50; fd++) {
        bool wanted = fd < 3 || fd == 7 || fd == 9 || fd == 40;
        if (is_open(fd) != wanted)
            return 10 + fd;
    }
    return 0;
}

static void test_descriptors(void **state)
{
    (void)state;
    in_child(closes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_privileges),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
