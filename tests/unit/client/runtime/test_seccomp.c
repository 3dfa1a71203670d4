/*
 * The filter, run by an interpreter of the few instructions that it is made
 * of; and the tables behind it, which are static: so the file is included.
 */
#include "client/runtime/seccomp.c"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <linux/bpf_common.h>

#include "client/runtime/caps.h"

#define ALLOW  SECCOMP_RET_ALLOW
#define NO     (SECCOMP_RET_ERRNO | EPERM)
#define ABSENT (SECCOMP_RET_ERRNO | ENOSYS)

static uint32_t run(const struct sock_filter *f, size_t n,
                    const struct seccomp_data *d)
{
    uint32_t a = 0;
    for (size_t pc = 0; pc < n; pc++) {
        const struct sock_filter *i = &f[pc];
        bool jump;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(i->k + 4 <= sizeof(*d) && i->k % 4 == 0);
            memcpy(&a, (const char *)d + i->k, 4);
            break;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
        case BPF_JMP | BPF_JGE | BPF_K:
        case BPF_JMP | BPF_JSET | BPF_K:
            jump = BPF_OP(i->code) == BPF_JEQ   ? a == i->k
                   : BPF_OP(i->code) == BPF_JGE ? a >= i->k
                                                : (a & i->k) != 0;
            pc += jump ? i->jt : i->jf;
            break;
        default:
            fail_msg("instruction %#x", i->code);
        }
    }
    fail_msg("ran off the end");
    return 0;
}

/* The verdict on nr(a0, a1) for a container with these capabilities. */
static uint32_t verdict(uint64_t caps, int nr, uint64_t a0, uint64_t a1)
{
    static struct sock_filter f[SECCOMP_INSNS_MAX];
    const struct seccomp_data d = {
        .nr = nr, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1}};
    return run(f, seccomp_build(caps, f), &d);
}

static uint64_t cap(unsigned n)
{
    return (uint64_t)1 << n;
}

static void tables_are_sorted(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(allowed); i++) {
        assert_true(allowed[i].first <= allowed[i].last);
        assert_true(allowed[i].last < NR_MAX);
        if (i > 0 && allowed[i].first <= allowed[i - 1].last)
            fail_msg("range %d..%d overlaps or comes too late",
                     allowed[i].first, allowed[i].last);
    }
    for (size_t i = 0; i < array_len(singles); i++) {
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(singles[i], singles[k]);
        for (size_t k = 0; k < array_len(allowed); k++) {
            if (singles[i] >= allowed[k].first && singles[i] <= allowed[k].last)
                fail_msg("%d is in a range already", singles[i]);
        }
    }
    for (size_t i = 0; i < array_len(gates); i++) {
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(gates[i].nr, gates[k].nr);
        for (size_t k = 0; k < array_len(singles); k++)
            assert_int_not_equal(gates[i].nr, singles[k]);
    }
}

/* Verdicts that must not change, for a container without more powers. */
static const int yes[] = {SYS_read,
                          SYS_write,
                          SYS_openat,
                          SYS_execve,
                          SYS_fork,
                          SYS_vfork,
                          SYS_exit_group,
                          SYS_mmap,
                          SYS_futex,
                          SYS_epoll_wait,
                          SYS_connect,
                          SYS_accept4,
                          SYS_sendfile,
                          SYS_rename,
                          SYS_chmod,
                          SYS_chown,
                          SYS_setuid,
                          SYS_capset,
                          SYS_prctl,
                          SYS_seccomp,
                          SYS_memfd_create,
                          SYS_statx,
                          SYS_openat2,
                          SYS_close_range,
                          SYS_pidfd_open,
                          SYS_ptrace,
                          SYS_flock,
                          SYS_inotify_add_watch,
                          SYS_mknod,
                          SYS_sync,
                          SYS_getrandom,
                          SYS_rseq,
                          SYS_io_setup,
                          SYS_splice,
                          SYS_faccessat2,
                          SYS_utimensat,
                          SYS_landlock_create_ruleset,
                          SYS_futex_waitv,
                          452 /* fchmodat2 */};
static const int no[] = {SYS_mount,
                         SYS_umount2,
                         SYS_pivot_root,
                         SYS_unshare,
                         SYS_setns,
                         SYS_sethostname,
                         SYS_bpf,
                         SYS_perf_event_open,
                         SYS_keyctl,
                         SYS_add_key,
                         SYS_request_key,
                         SYS_userfaultfd,
                         SYS_kexec_load,
                         SYS_kexec_file_load,
                         SYS_init_module,
                         SYS_finit_module,
                         SYS_delete_module,
                         SYS_reboot,
                         SYS_swapon,
                         SYS_acct,
                         SYS_settimeofday,
                         SYS_iopl,
                         SYS_ioperm,
                         SYS_open_by_handle_at,
                         SYS_move_pages,
                         SYS_syslog,
                         SYS_quotactl,
                         SYS_open_tree,
                         SYS_move_mount,
                         SYS_fsopen,
                         SYS_mount_setattr,
                         SYS_io_uring_setup,
                         SYS_io_uring_enter,
                         SYS_fanotify_init,
                         SYS_pidfd_getfd,
                         SYS_process_madvise,
                         SYS_vhangup,
                         SYS_uselib};

static void named_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(yes); i++) {
        if (verdict(caps_default(), yes[i], 0, 0) != ALLOW)
            fail_msg("call %d is denied", yes[i]);
    }
    for (size_t i = 0; i < array_len(no); i++) {
        if (verdict(caps_default(), no[i], 0, 0) != NO)
            fail_msg("call %d is not denied", no[i]);
    }
    assert_int_equal(verdict(caps_default(), SYS_clone3, 0, 0), ABSENT);
    assert_int_equal(verdict(caps_default(), 511, 0, 0), ABSENT);
    assert_int_equal(verdict(caps_default(), 512, 0, 0), ABSENT);
    assert_int_equal(verdict(caps_default(), 400, 0, 0), ABSENT);
    assert_int_equal(verdict(caps_default(), -1, 0, 0), ABSENT);
}

static void capabilities_open_calls(void **state)
{
    static const struct {
        int nr;
        unsigned cap;
    } open_by[] = {{SYS_mount, CAP_SYS_ADMIN},
                   {SYS_unshare, CAP_SYS_ADMIN},
                   {SYS_setns, CAP_SYS_ADMIN},
                   {SYS_fsopen, CAP_SYS_ADMIN},
                   {SYS_clone3, CAP_SYS_ADMIN},
                   {SYS_chroot, CAP_SYS_CHROOT},
                   {SYS_reboot, CAP_SYS_BOOT},
                   {SYS_settimeofday, CAP_SYS_TIME},
                   {SYS_init_module, CAP_SYS_MODULE},
                   {SYS_bpf, CAP_BPF},
                   {SYS_perf_event_open, CAP_PERFMON},
                   {SYS_syslog, CAP_SYSLOG},
                   {SYS_iopl, CAP_SYS_RAWIO},
                   {SYS_open_by_handle_at, CAP_DAC_READ_SEARCH},
                   {SYS_pidfd_getfd, CAP_SYS_PTRACE},
                   {SYS_mbind, CAP_SYS_NICE}};
    (void)state;
    for (size_t i = 0; i < array_len(open_by); i++) {
        if (verdict(cap(open_by[i].cap), open_by[i].nr, 0, 0) != ALLOW)
            fail_msg("%d stays closed with %u", open_by[i].nr, open_by[i].cap);
        if (verdict(caps_all() & ~cap(open_by[i].cap), open_by[i].nr, 0, 0) ==
            ALLOW)
            fail_msg("%d is open without %u", open_by[i].nr, open_by[i].cap);
    }
    /* Closed to everybody. */
    assert_int_equal(verdict(caps_all(), SYS_keyctl, 0, 0), NO);
    assert_int_equal(verdict(caps_all(), SYS_io_uring_setup, 0, 0), NO);
    assert_int_equal(verdict(caps_all(), SYS_kexec_load, 0, 0), NO);
}

static void flags_of_clone(void **state)
{
    static const uint64_t namespaces[] = {
        CLONE_NEWNS,  CLONE_NEWUSER, CLONE_NEWPID,   CLONE_NEWNET,
        CLONE_NEWIPC, CLONE_NEWUTS,  CLONE_NEWCGROUP};
    const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                            CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
    (void)state;
    assert_int_equal(verdict(caps_default(), SYS_clone, thread, 0), ALLOW);
    assert_int_equal(verdict(caps_default(), SYS_clone, 17, 0), ALLOW);
    for (size_t i = 0; i < array_len(namespaces); i++) {
        uint64_t flags = namespaces[i] | 17;
        assert_int_equal(verdict(caps_default(), SYS_clone, flags, 0), NO);
        /* The kernel looks at the low half alone, and so does the filter. */
        assert_int_equal(
            verdict(caps_default(), SYS_clone, flags | 0x100000000u, 0), NO);
        assert_int_equal(verdict(cap(CAP_SYS_ADMIN), SYS_clone, flags, 0),
                         ALLOW);
    }
}

static void arguments(void **state)
{
    const uint64_t high = 0xdead00000000u;
    (void)state;
    assert_int_equal(verdict(caps_all(), SYS_socket, 40, 0), NO); /* vsock */
    assert_int_equal(verdict(caps_all(), SYS_socket, high | 40, 0), NO);
    assert_int_equal(verdict(caps_default(), SYS_socket, 2, 0), ALLOW);
    assert_int_equal(verdict(caps_default(), SYS_socket, 16, 0), ALLOW);
    assert_int_equal(verdict(caps_all(), SYS_ioctl, 0, TIOCSTI), NO);
    assert_int_equal(verdict(caps_all(), SYS_ioctl, 0, high | TIOCSTI), NO);
    assert_int_equal(verdict(caps_all(), SYS_ioctl, 0, TIOCLINUX), NO);
    assert_int_equal(verdict(caps_default(), SYS_ioctl, 0, TIOCGWINSZ), ALLOW);
    assert_int_equal(verdict(caps_default(), SYS_personality, 0, 0), ALLOW);
    assert_int_equal(verdict(caps_default(), SYS_personality, 0x20008, 0),
                     ALLOW);
    assert_int_equal(verdict(caps_default(), SYS_personality, 0xffffffff, 0),
                     ALLOW);
    /* ADDR_NO_RANDOMIZE would make attacks easier. */
    assert_int_equal(verdict(caps_all(), SYS_personality, 0x40000, 0), NO);
}

static void other_architectures(void **state)
{
    static struct sock_filter f[SECCOMP_INSNS_MAX];
    struct seccomp_data d = {.nr = SYS_read, .arch = AUDIT_ARCH_I386};
    (void)state;
    size_t n = seccomp_build(caps_all(), f);
    assert_int_equal(run(f, n, &d), ABSENT);
    d.arch = AUDIT_ARCH_AARCH64;
    assert_int_equal(run(f, n, &d), ABSENT);
    d.arch = AUDIT_ARCH_X86_64;
    d.nr = SYS_read | 0x40000000; /* x32 */
    assert_int_equal(run(f, n, &d), ABSENT);
}

static void every_number_ends(void **state)
{
    const uint64_t sets[] = {0, caps_default(), caps_all()};
    (void)state;
    for (size_t i = 0; i < array_len(sets); i++) {
        static struct sock_filter f[SECCOMP_INSNS_MAX];
        size_t n = seccomp_build(sets[i], f);
        assert_true(n < 4096); /* the kernel's BPF_MAXINSNS */
        for (int nr = 0; nr < 1024; nr++) {
            struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64};
            uint32_t v = run(f, n, &d);
            assert_true(v == ALLOW || v == NO || v == ABSENT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_sorted),
        cmocka_unit_test(named_calls),
        cmocka_unit_test(capabilities_open_calls),
        cmocka_unit_test(flags_of_clone),
        cmocka_unit_test(arguments),
        cmocka_unit_test(other_architectures),
        cmocka_unit_test(every_number_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
