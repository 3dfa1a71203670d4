/* The filter; see seccomp.h.  x86_64. */
#include "client/runtime/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum verdict { V_NOSYS, V_DENY, V_ALLOW, V_CLONE, V_SOCKET, V_PERSON, V_IOCTL };

#define NR_MAX 512

/*
 * Allowed without condition.  Numbers, not names: 335..423 do not exist, and
 * calls newer than the headers are given by number with their name.
 */
struct range {
    short first, last;
};
static const struct range allowed[] = {
    {SYS_read, SYS_rt_sigreturn},  /* read .. rt_sigreturn */
    {SYS_pread64, SYS_alarm},      /* pread64 .. alarm */
    {SYS_setitimer, SYS_sendfile}, /* setitimer getpid sendfile */
    {SYS_connect, SYS_setsockopt}, /* sockets but socket(2) itself */
    {SYS_getsockopt, SYS_getsockopt},
    {SYS_fork, SYS_chown},     /* fork .. lchown */
    {SYS_fchown, SYS_getppid}, /* ptrace among them: kernels from 4.8 on */
    {SYS_getpgrp, SYS_rt_sigsuspend},
    {SYS_sigaltstack, SYS_mknod},
    {SYS_statfs, SYS_sched_rr_get_interval},
    {SYS_mlock, SYS_munlockall},
    {SYS_prctl, SYS_arch_prctl},
    {SYS_setrlimit, SYS_setrlimit},
    {SYS_sync, SYS_sync},
    {SYS_gettid, SYS_io_cancel},
    {SYS_remap_file_pages, SYS_timer_delete},
    {SYS_clock_gettime, SYS_utimes},
    {SYS_mq_open, SYS_mq_getsetattr},
    {SYS_waitid, SYS_waitid},
    {SYS_ioprio_set, SYS_inotify_rm_watch},
    {SYS_openat, SYS_ppoll},
    {SYS_set_robust_list, SYS_vmsplice},
    {SYS_utimensat, SYS_preadv},
    {SYS_pwritev, SYS_rt_tgsigqueueinfo},
    {SYS_recvmmsg, SYS_recvmmsg},
    {SYS_prlimit64, SYS_name_to_handle_at},
    {SYS_syncfs, SYS_sendmmsg},
    {SYS_getcpu, SYS_getcpu},
    {SYS_process_vm_readv, SYS_process_vm_writev},
    {SYS_sched_setattr, SYS_memfd_create},
    {SYS_execveat, SYS_execveat},
    {SYS_membarrier, SYS_statx},
    {SYS_io_pgetevents, SYS_rseq},
    {SYS_pidfd_send_signal, SYS_pidfd_send_signal},
    {SYS_pidfd_open, SYS_pidfd_open},
    {SYS_close_range, SYS_epoll_pwait2},
    {SYS_landlock_create_ruleset, SYS_futex_waitv},
    {451, 452}, /* cachestat fchmodat2 */
    {453, 456}, /* map_shadow_stack futex_wake futex_wait futex_requeue */
    {462, 462}, /* mseal */
};

/* Inside the ranges above or beside them: denied unless a capability. */
struct gated {
    short nr;
    signed char cap; /* -1: nobody */
};
static const struct gated gates[] = {
    {SYS_mount, CAP_SYS_ADMIN},
    {SYS_umount2, CAP_SYS_ADMIN},
    {SYS_pivot_root, -1},
    {SYS_chroot, CAP_SYS_CHROOT},
    {SYS_unshare, CAP_SYS_ADMIN},
    {SYS_setns, CAP_SYS_ADMIN},
    {SYS_sethostname, CAP_SYS_ADMIN},
    {SYS_setdomainname, CAP_SYS_ADMIN},
    {SYS_bpf, CAP_BPF},
    {SYS_perf_event_open, CAP_PERFMON},
    {SYS_fanotify_init, CAP_SYS_ADMIN},
    {SYS_lookup_dcookie, CAP_SYS_ADMIN},
    {SYS_quotactl, CAP_SYS_ADMIN},
    {SYS_quotactl_fd, CAP_SYS_ADMIN},
    {SYS_syslog, CAP_SYSLOG},
    {SYS_reboot, CAP_SYS_BOOT},
    {SYS_acct, CAP_SYS_PACCT},
    {SYS_settimeofday, CAP_SYS_TIME},
    {SYS_clock_settime, CAP_SYS_TIME},
    {SYS_iopl, CAP_SYS_RAWIO},
    {SYS_ioperm, CAP_SYS_RAWIO},
    {SYS_vhangup, CAP_SYS_TTY_CONFIG},
    {SYS_init_module, CAP_SYS_MODULE},
    {SYS_finit_module, CAP_SYS_MODULE},
    {SYS_delete_module, CAP_SYS_MODULE},
    {SYS_create_module, -1},
    {SYS_get_kernel_syms, -1},
    {SYS_query_module, -1},
    {SYS_kexec_load, -1},
    {SYS_kexec_file_load, -1},
    {SYS_swapon, -1},
    {SYS_swapoff, -1},
    {SYS_add_key, -1},
    {SYS_request_key, -1},
    {SYS_keyctl, -1},
    {SYS_userfaultfd, -1},
    {SYS_nfsservctl, -1},
    {SYS__sysctl, -1},
    {SYS_uselib, -1},
    {SYS_ustat, -1},
    {SYS_sysfs, -1},
    {SYS_modify_ldt, 127},
    {SYS_open_by_handle_at, CAP_DAC_READ_SEARCH},
    {SYS_mbind, CAP_SYS_NICE},
    {SYS_set_mempolicy, CAP_SYS_NICE},
    {SYS_get_mempolicy, CAP_SYS_NICE},
    {SYS_move_pages, CAP_SYS_NICE},
    {SYS_migrate_pages, CAP_SYS_NICE},
    {SYS_kcmp, CAP_SYS_PTRACE},
    {SYS_set_mempolicy_home_node, CAP_SYS_NICE},
    {SYS_pidfd_getfd, CAP_SYS_PTRACE},
    {SYS_process_madvise, CAP_SYS_PTRACE},
    {SYS_open_tree, CAP_SYS_ADMIN},
    {SYS_move_mount, CAP_SYS_ADMIN},
    {SYS_fsopen, CAP_SYS_ADMIN},
    {SYS_fsconfig, CAP_SYS_ADMIN},
    {SYS_fsmount, CAP_SYS_ADMIN},
    {SYS_fspick, CAP_SYS_ADMIN},
    {SYS_mount_setattr, CAP_SYS_ADMIN},
    {SYS_io_uring_setup, -1},
    {SYS_io_uring_enter, -1},
    {SYS_io_uring_register, -1},
};

/* Allowed between others that are not. */
static const short singles[] = {SYS_fanotify_mark, SYS_adjtimex,
                                SYS_clock_adjtime, SYS_epoll_create};

static bool has_cap(uint64_t caps, signed char cap)
{
    return cap == 127 || (cap >= 0 && (caps >> cap & 1) != 0);
}

static void fill(uint64_t caps, unsigned char v[NR_MAX])
{
    memset(v, V_NOSYS, NR_MAX);
    for (size_t i = 0; i < array_len(allowed); i++) {
        for (int nr = allowed[i].first; nr <= allowed[i].last; nr++)
            v[nr] = V_ALLOW;
    }
    for (size_t i = 0; i < array_len(singles); i++)
        v[singles[i]] = V_ALLOW;
    for (size_t i = 0; i < array_len(gates); i++)
        v[gates[i].nr] = has_cap(caps, gates[i].cap) ? V_ALLOW : V_DENY;
    v[SYS_socket] = V_SOCKET;
    v[SYS_personality] = V_PERSON;
    v[SYS_ioctl] = V_IOCTL;
    v[SYS_clone] = has_cap(caps, CAP_SYS_ADMIN) ? V_ALLOW : V_CLONE;
    /* Its flags lie in memory a filter cannot read. */
    v[SYS_clone3] = has_cap(caps, CAP_SYS_ADMIN) ? V_ALLOW : V_NOSYS;
}

struct prog {
    struct sock_filter *f;
    size_t n;
};

static void put(struct prog *p, unsigned code, uint32_t k, unsigned t,
                unsigned f)
{
    berth_assert(p->n < SECCOMP_INSNS_MAX && t < 256 && f < 256);
    p->f[p->n++] =
        (struct sock_filter){(uint16_t)code, (uint8_t)t, (uint8_t)f, k};
}

static void ret(struct prog *p, uint32_t action)
{
    put(p, BPF_RET | BPF_K, action, 0, 0);
}

static void load_arg(struct prog *p, unsigned arg)
{
    put(p, BPF_LD | BPF_W | BPF_ABS,
        (uint32_t)(offsetof(struct seccomp_data, args) + 8 * arg), 0, 0);
}

/* One equal -> `hit`, else fall through; the low word is what counts. */
static void match(struct prog *p, uint32_t value, uint32_t hit)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    ret(p, hit);
}

static void put_verdict(struct prog *p, unsigned char verdict)
{
    const uint32_t eperm = SECCOMP_RET_ERRNO | EPERM;
    const uint32_t flags = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                           CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                           CLONE_NEWNET;
    static const uint32_t personas[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
    switch ((enum verdict)verdict) {
    case V_NOSYS:
        ret(p, SECCOMP_RET_ERRNO | ENOSYS);
        break;
    case V_DENY:
        ret(p, eperm);
        break;
    case V_ALLOW:
        ret(p, SECCOMP_RET_ALLOW);
        break;
    case V_CLONE:
        load_arg(p, 0);
        put(p, BPF_JMP | BPF_JSET | BPF_K, flags, 0, 1);
        ret(p, eperm);
        ret(p, SECCOMP_RET_ALLOW);
        break;
    case V_SOCKET:
        load_arg(p, 0);
        match(p, 40 /* AF_VSOCK reaches the hypervisor */, eperm);
        ret(p, SECCOMP_RET_ALLOW);
        break;
    case V_IOCTL:
        load_arg(p, 1);
        match(p, TIOCSTI, eperm);
        match(p, TIOCLINUX, eperm);
        ret(p, SECCOMP_RET_ALLOW);
        break;
    case V_PERSON:
        load_arg(p, 0);
        for (size_t i = 0; i < array_len(personas); i++)
            match(p, personas[i], SECCOMP_RET_ALLOW);
        ret(p, eperm);
        break;
    }
}

/*
 * A tree over runs[lo..hi): the right half stands behind the left one, so
 * the jump is a JA with 32 bits, as a conditional jump reaches only 255.
 */
static void put_tree(struct prog *p, const short *start,
                     const unsigned char *verdict, size_t lo, size_t hi)
{
    if (hi - lo == 1) {
        put_verdict(p, verdict[lo]);
        return;
    }
    size_t mid = lo + (hi - lo) / 2;
    put(p, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)start[mid], 0, 1);
    size_t jump = p->n;
    put(p, BPF_JMP | BPF_JA, 0, 0, 0);
    put_tree(p, start, verdict, lo, mid);
    p->f[jump].k = (uint32_t)(p->n - jump - 1);
    put_tree(p, start, verdict, mid, hi);
}

size_t seccomp_build(uint64_t caps, struct sock_filter *out)
{
    unsigned char v[NR_MAX], run_verdict[NR_MAX];
    short run_start[NR_MAX];
    size_t n_runs = 0;
    fill(caps, v);
    for (short nr = 0; nr < NR_MAX; nr++) {
        if (nr == 0 || v[nr] != v[nr - 1] || v[nr] > V_ALLOW) {
            run_start[n_runs] = nr;
            run_verdict[n_runs++] = v[nr];
        }
    }
    struct prog p = {out, 0};
    put(&p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0,
        0);
    put(&p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    ret(&p, SECCOMP_RET_ERRNO | ENOSYS);
    put(&p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    /* Numbers past the table, those with the x32 bit among them. */
    put(&p, BPF_JMP | BPF_JGE | BPF_K, NR_MAX, 0, 1);
    ret(&p, SECCOMP_RET_ERRNO | ENOSYS);
    put_tree(&p, run_start, run_verdict, 0, n_runs);
    return p.n;
}

int seccomp_load(uint64_t caps, struct err *e)
{
    struct sock_filter f[SECCOMP_INSNS_MAX];
    struct sock_fprog prog = {.filter = f};
    prog.len = (unsigned short)seccomp_build(caps, f);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) != 0)
        return err_sys(e, errno, "load the system call filter");
    return 0;
}
