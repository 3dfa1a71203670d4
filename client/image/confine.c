#include "client/image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "client/image/decode.h"
#include "client/runtime/caps.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv)
#define ARCH AUDIT_ARCH_RISCV64
#else
#define ARCH 0 /* no filter is known for it */
#endif

/* The youngest system call that every kernel we run on knows; above it libc
 * must be told ENOSYS, so that it takes the older way. */
#define KNOWN_MAX 450

int confine_begin(struct err *e)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0)
        return err_sys(e, errno, "make namespaces to unpack in");
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return err_sys(e, errno, "make the mounts private");
    return 0;
}

/* ---- the root ------------------------------------------------------------*/

static int enter_jail(const char *jail, struct err *e)
{
    if (mount("none", jail, "tmpfs", MS_NODEV | MS_NOEXEC | MS_NOSUID,
              "size=4k,nr_inodes=2,mode=0") != 0)
        return err_sys(e, errno, "mount an empty root");
    if (chdir(jail) != 0 ||
        mount(NULL, ".", NULL,
              MS_REMOUNT | MS_RDONLY | MS_NODEV | MS_NOEXEC | MS_NOSUID,
              "size=4k,nr_inodes=2,mode=0") != 0)
        return err_sys(e, errno, "make the empty root read-only");
    if (syscall(SYS_pivot_root, ".", ".") != 0 ||
        umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
        return err_sys(e, errno, "enter the empty root");
    return 0;
}

/* ---- descriptors and limits ----------------------------------------------*/

static int compare_int(const void *a, const void *b)
{
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* stdin and stdout must stay taken: a file opened as 1 would get messages. */
static int close_others(const int *keep, size_t n_keep, struct err *e)
{
    int sorted[8];
    unsigned from = STDERR_FILENO + 1;
    scoped_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
        dup2(null, STDOUT_FILENO) < 0)
        return err_sys(e, errno, "open /dev/null");
    berth_assert(n_keep <= array_len(sorted));
    memcpy(sorted, keep, n_keep * sizeof(*keep));
    qsort(sorted, n_keep, sizeof(*sorted), compare_int);
    for (size_t i = 0; i < n_keep; i++) {
        unsigned fd = (unsigned)sorted[i];
        if (fd > from && close_range(from, fd - 1, 0) != 0)
            return err_sys(e, errno, "close descriptors");
        from = fd + 1;
    }
    null = -1; /* closed above */
    return close_range(from, ~0U, 0) == 0
               ? 0
               : err_sys(e, errno, "close descriptors");
}

static int limit(int what, rlim_t max, struct err *e)
{
    struct rlimit r;
    if (getrlimit((__rlimit_resource_t)what, &r) != 0)
        return err_sys(e, errno, "read limit %d", what);
    r.rlim_max = r.rlim_max < max ? r.rlim_max : max;
    r.rlim_cur = r.rlim_max;
    return setrlimit((__rlimit_resource_t)what, &r) == 0
               ? 0
               : err_sys(e, errno, "set limit %d", what);
}

static int set_limits(struct err *e)
{
    /* A file that grows over the limit is an error, not an end. */
    (void)signal(SIGXFSZ, SIG_IGN);
    if (limit(RLIMIT_FSIZE, DECODE_MAX_BYTES, e) != 0 ||
        limit(RLIMIT_CPU, CONFINE_CPU_S, e) != 0 ||
        limit(RLIMIT_NOFILE, CONFINE_FILES, e) != 0 ||
        limit(RLIMIT_CORE, 0, e) != 0 || limit(RLIMIT_MEMLOCK, 0, e) != 0)
        return -1;
#ifdef BERTH_SANITIZED
    return 0; /* its shadow takes terabytes of addresses */
#else
    return limit(RLIMIT_AS, CONFINE_MEMORY_BYTES, e);
#endif
}

static int drop_privileges(struct err *e)
{
    const uint64_t keep = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE |
                          1ULL << CAP_FOWNER | 1ULL << CAP_FSETID |
                          1ULL << CAP_MKNOD | 1ULL << CAP_SETFCAP;
    if (caps_bound(keep, e) != 0 || caps_apply(keep, e) != 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_sys(e, errno, "give up new privileges");
    return 0;
}

/* ---- Landlock ------------------------------------------------------------*/

/* As the kernel's, with the members that Debian 12's headers do not know. */
struct ruleset {
    uint64_t fs, net, scoped;
};
#define FS_TRUNCATE  (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define NET_ALL      3ULL         /* ABI 4: bind and connect over TCP */
#define SCOPED_ALL   3ULL         /* ABI 6: abstract sockets, signals */

static int restrict_files(int root, struct err *e)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
                       LANDLOCK_CREATE_RULESET_VERSION);
    /* ABI 1 cannot allow a hard link into another folder. */
    if (abi < 2) {
        log_line(LOG_LEVEL_DEBUG, "unpacking without Landlock (%s)",
                 abi < 0 ? strerror(errno) : "its version 1 is too old");
        return 0;
    }
    struct ruleset rules = {.fs = (1ULL << 14) - 1};
    if (abi >= 3)
        rules.fs |= FS_TRUNCATE;
    if (abi >= 5)
        rules.fs |= FS_IOCTL_DEV;
    if (abi >= 4)
        rules.net = NET_ALL;
    if (abi >= 6)
        rules.scoped = SCOPED_ALL;
    struct landlock_path_beneath_attr below = {
        .allowed_access =
            rules.fs &
            (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
             LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE |
             LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
             LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
             LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM |
             LANDLOCK_ACCESS_FS_REFER),
        .parent_fd = root};
    scoped_fd set = (int)syscall(SYS_landlock_create_ruleset, &rules,
                                 abi < 4   ? sizeof(rules.fs)
                                 : abi < 6 ? offsetof(struct ruleset, scoped)
                                           : sizeof(rules),
                                 0);
    if (set < 0 ||
        syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &below,
                0) != 0 ||
        syscall(SYS_landlock_restrict_self, set, 0) != 0)
        return err_sys(e, errno, "restrict the unpacking to its folder");
    return 0;
}

/* ---- seccomp -------------------------------------------------------------*/

/*
 * A list of what is allowed can be kept right here, since libc, libarchive and
 * zlib only get bytes and memory from us: files, memory, and the little that
 * an end by assert or sanitizer needs.
 */
static const short allowed[] = {
    SYS_read,           SYS_write,
    SYS_pread64,        SYS_pwrite64,
    SYS_readv,          SYS_writev,
    SYS_lseek,          SYS_close,
    SYS_fstat,          SYS_newfstatat,
    SYS_statx,          SYS_fstatfs,
    SYS_openat,         SYS_openat2,
    SYS_mkdirat,        SYS_mknodat,
    SYS_symlinkat,      SYS_linkat,
    SYS_unlinkat,       SYS_renameat2,
    SYS_fchown,         SYS_fchownat,
    SYS_fchmod,         SYS_fchmodat,
    SYS_utimensat,      SYS_ftruncate,
    SYS_fsetxattr,      SYS_getdents64,
    SYS_fcntl,          SYS_fchdir,
    SYS_getcwd,         SYS_readlinkat,
    SYS_umask,          SYS_brk,
    SYS_munmap,         SYS_mremap,
    SYS_madvise,        SYS_futex,
    SYS_getrandom,      SYS_clock_gettime,
    SYS_gettimeofday,   SYS_getpid,
    SYS_gettid,         SYS_sched_yield,
    SYS_exit,           SYS_exit_group,
    SYS_rt_sigreturn,   SYS_rt_sigaction,
    SYS_rt_sigprocmask, SYS_restart_syscall,
    SYS_sigaltstack,
#ifdef SYS_renameat
    SYS_renameat,
#endif
};
/* Allowed unless their third argument asks for executable memory. */
static const short mapping[] = {SYS_mmap, SYS_mprotect};

#define FILTER_MAX (2 * (array_len(allowed) + array_len(mapping)) + 24)

struct prog {
    struct sock_filter f[FILTER_MAX];
    unsigned short n;
};

static void put(struct prog *p, unsigned code, uint32_t k, unsigned t,
                unsigned f)
{
    berth_assert(p->n < FILTER_MAX && t < 256 && f < 256);
    p->f[p->n++] =
        (struct sock_filter){(uint16_t)code, (uint8_t)t, (uint8_t)f, k};
}

static void put_return(struct prog *p, uint32_t action)
{
    put(p, BPF_RET | BPF_K, action, 0, 0);
}

static void build_filter(struct prog *p)
{
    const uint32_t eperm = SECCOMP_RET_ERRNO | EPERM;
    put(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    put_return(p, SECCOMP_RET_KILL_PROCESS);
    put(p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    for (size_t i = 0; i < array_len(allowed); i++) {
        put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], 0, 1);
        put_return(p, SECCOMP_RET_ALLOW);
    }
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)mapping[0], 4, 0);
    put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)mapping[1], 3, 0);
    put(p, BPF_JMP | BPF_JGT | BPF_K, KNOWN_MAX, 1, 0);
    put_return(p, eperm);
    /* x32 lies above it too. */
    put_return(p, SECCOMP_RET_ERRNO | ENOSYS);
    put(p, BPF_LD | BPF_W | BPF_ABS,
        (uint32_t)(offsetof(struct seccomp_data, args) + 16), 0, 0);
    put(p, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1);
    put_return(p, eperm);
    put_return(p, SECCOMP_RET_ALLOW);
}

static int restrict_calls(struct err *e)
{
    struct prog p = {.n = 0};
    if (ARCH == 0) {
        log_line(LOG_LEVEL_DEBUG, "unpacking without a system call filter");
        return 0;
    }
    build_filter(&p);
    const struct sock_fprog prog = {p.n, p.f};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) != 0)
        return err_sys(e, errno, "load the system call filter");
    return 0;
}

/*
 * The order: /dev/null is opened while there is a /dev; the root changes while
 * that is allowed; the bounding set goes while there is CAP_SETPCAP; Landlock
 * wants no_new_privs; the filter forbids all of it.
 */
int confine_end(const char *jail, int root, const int *keep, size_t n_keep,
                struct err *e)
{
    if (close_others(keep, n_keep, e) != 0 || enter_jail(jail, e) != 0 ||
        set_limits(e) != 0 || drop_privileges(e) != 0 ||
        restrict_files(root, e) != 0)
        return -1;
    return restrict_calls(e);
}
