/*
 * The cage of the unpacking process, seen from within: unpack_tar() is replaced
 * at link time by a look around in the very process that would unpack, and a
 * thread of the test looks at the same process from outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "client/image/confine.h"
#include "client/image/decode.h"
#include "client/image/unpack.h"
#include "tests/unit/client/kit.h"
#include "tests/unit/skip.h"

#define FAILED   (-1L) /* with any errno */
#define NEEDED_S 60

/* A call that must fail, and what it gave. */
struct probe {
    const char *what;
    long result;
    int error;
};

static struct {
    atomic_int pid, seen;
    int n;
    struct probe probes[64];
    struct probe landlock[8];
    int n_landlock;
    int files_open;
    bool writes;
    char status[8192], limits[4096], ns[4][64], own_ns[4][64];
} * shared;

static int fake_abi; /* of Landlock: 0 the kernel's, below it an errno */

static const char *const ns_names[] = {"mnt", "net", "ipc", "uts"};

static void note(const char *what, long result)
{
    struct probe *p = &shared->probes[shared->n++];
    p->what = what;
    p->result = result;
    p->error = errno;
}

static void note_landlock(const char *what, int result)
{
    struct probe *p = &shared->landlock[shared->n_landlock++];
    p->what = what;
    p->result = result;
    p->error = errno;
}

/* Whatever a taken-over process would try first. */
static void try_calls(int root)
{
    char *const no_args[] = {NULL};
    note("socket inet", socket(AF_INET, SOCK_STREAM, 0));
    note("socket unix", socket(AF_UNIX, SOCK_STREAM, 0));
    note("socket netlink", socket(AF_NETLINK, SOCK_RAW, 0));
    note("execve", execve("/bin/sh", no_args, no_args));
    note("execveat", syscall(SYS_execveat, root, "x", no_args, no_args, 0));
    note("clone", syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0));
    note("clone3", syscall(SYS_clone3, NULL, 0));
    note("kill", kill(getppid(), 0));
    note("tgkill", syscall(SYS_tgkill, getppid(), getppid(), 0));
    note("pidfd_open", syscall(SYS_pidfd_open, getpid(), 0));
    note("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    note("process_vm_readv",
         syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
    note("mount", mount("none", "/", "tmpfs", 0, NULL));
    note("umount", umount2("/", MNT_DETACH));
    note("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    note("open_tree", syscall(SYS_open_tree, root, "", 0x1000));
    note("unshare", unshare(CLONE_NEWUSER));
    note("setns", setns(root, 0));
    note("chroot", chroot("/"));
    note("pivot_root", syscall(SYS_pivot_root, ".", "."));
    note("bpf", syscall(SYS_bpf, 0, NULL, 0));
    note("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0));
    note("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    note("add_key", syscall(SYS_add_key, "user", "x", "y", 1, 0));
    note("userfaultfd", syscall(SYS_userfaultfd, 0));
    note("io_uring", syscall(SYS_io_uring_setup, 1, NULL));
    note("open_by_handle_at", syscall(SYS_open_by_handle_at, root, NULL, 0));
    note("init_module", syscall(SYS_init_module, NULL, 0, ""));
    note("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
    note("setuid", syscall(SYS_setuid, 1000));
    note("capset", syscall(SYS_capset, NULL, NULL));
    note("prctl", syscall(SYS_prctl, 1, 0, 0, 0, 0));
    note("prlimit", syscall(SYS_prlimit64, 0, 0, NULL, NULL));
    note("memfd_create", syscall(SYS_memfd_create, "x", 0));
    note("no such call", syscall(500));
    assert_true(shared->n < 60);
}

static void try_memory_and_files(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    note("executable memory", p == MAP_FAILED ? -1 : 0);
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
             -1, 0);
    note("memory becomes executable", mprotect(p, 4096, PROT_READ | PROT_EXEC));
    note("open /etc/passwd", open("/etc/passwd", O_RDONLY));
    note("open /proc", open("/proc/self/status", O_RDONLY));
    note("write in the root", open("/x", O_WRONLY | O_CREAT, 0600));
    int fd = open("/", O_RDONLY | O_DIRECTORY); /* empty anyway */
    note_landlock("read the root", fd >= 0 ? 0 : -1);
    if (fd >= 0)
        (void)close(fd);
    note("make a folder in the root", mkdir("/x", 0700));
    note("open ..", open("../../../etc/passwd", O_RDONLY));
}

/* Below the layer's root: what unpacking needs, no more. */
static void try_root(int top, bool has_lower)
{
    const char *name = has_lower ? "second" : "first";
    (void)mkdirat(top, name, 0755);
    int root = openat(top, name, O_RDONLY | O_DIRECTORY);
    int fd = openat(root, "file", O_WRONLY | O_CREAT | O_EXCL, 0600);
    shared->writes = fd >= 0 && write(fd, "x", 1) == 1 &&
                     fchown(fd, 1000, 1000) == 0 && fchmod(fd, 04755) == 0 &&
                     mkdirat(root, "dir", 0755) == 0 &&
                     linkat(root, "file", root, "dir/link", 0) == 0 &&
                     symlinkat("x", root, "symlink") == 0 &&
                     mknodat(root, "null", S_IFCHR | 0666, 0x103) == 0 &&
                     unlinkat(root, "dir/link", 0) == 0;
    note_landlock("pipe", mknodat(root, "fifo", S_IFIFO | 0600, 0));
    note_landlock("socket", mknodat(root, "sock", S_IFSOCK | 0600, 0));
    note_landlock("block device", mknodat(root, "disk", S_IFBLK | 0600, 0x800));
    note("open a device", openat(root, "null", O_RDONLY));
    for (int i = 0; i < 64; i++)
        shared->files_open += fcntl(i, F_GETFD) >= 0;
}

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);

/* An older kernel, as far as Landlock goes. */
long __wrap_syscall(long nr, ...)
{
    long a[6];
    va_list ap;
    va_start(ap, nr);
    for (size_t i = 0; i < array_len(a); i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (nr == SYS_landlock_create_ruleset && a[0] == 0 && fake_abi != 0) {
        errno = -fake_abi;
        return fake_abi < 0 ? -1 : fake_abi;
    }
    return __real_syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int __real_unpack_tar(struct decode *d, int root, bool has_lower,
                      const struct unpack_limits *limits,
                      struct unpack_result *out, struct err *e);
int __wrap_unpack_tar(struct decode *d, int root, bool has_lower,
                      const struct unpack_limits *limits,
                      struct unpack_result *out, struct err *e);

int __wrap_unpack_tar(struct decode *d, int root, bool has_lower,
                      const struct unpack_limits *limits,
                      struct unpack_result *out, struct err *e)
{
    time_t end = time(NULL) + NEEDED_S;
    /* Stay until the test has looked at this process. */
    atomic_store(&shared->pid, getpid());
    while (atomic_load(&shared->seen) == 0 && time(NULL) < end)
        (void)sched_yield();
    try_calls(root);
    try_memory_and_files();
    try_root(root, has_lower);
    return __real_unpack_tar(d, root, has_lower, limits, out, e);
}

/* ---- outside -------------------------------------------------------------*/

static void read_proc(int pid, const char *name, char *out, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, out, size - 1);
    out[n > 0 ? n : 0] = '\0';
}

static void read_ns(const char *who, const char *name, char out[64])
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%s/ns/%s", who, name);
    ssize_t n = readlink(path, out, 63);
    out[n > 0 ? n : 0] = '\0';
}

static void *watch(void *arg)
{
    time_t end = time(NULL) + NEEDED_S;
    char who[16];
    int pid;
    (void)arg;
    while ((pid = atomic_load(&shared->pid)) == 0 && time(NULL) < end)
        (void)sched_yield();
    (void)snprintf(who, sizeof(who), "%d", pid);
    read_proc(pid, "status", shared->status, sizeof(shared->status));
    read_proc(pid, "limits", shared->limits, sizeof(shared->limits));
    for (size_t i = 0; i < array_len(ns_names); i++) {
        read_ns(who, ns_names[i], shared->ns[i]);
        read_ns("self", ns_names[i], shared->own_ns[i]);
    }
    atomic_store(&shared->seen, 1);
    return NULL;
}

/* An empty tar: two blocks of zeros. */
static int empty_tar(struct kit *k)
{
    static const char zero[1024];
    int fd = openat(istore_dirfd(k->store), "tar",
                    O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, zero, sizeof(zero)), sizeof(zero));
    return fd;
}

static void add_layer(struct kit *k, struct istore_scratch *sc,
                      const char (*lower)[ISTORE_HEX], size_t n,
                      struct layer_result *r)
{
    struct err e;
    pthread_t thread;
    int fd = empty_tar(k);
    memset(shared, 0, sizeof(*shared));
    assert_int_equal(pthread_create(&thread, NULL, watch, NULL), 0);
    int rc = layer_add(sc, fd, lower, n, NULL, r, &e);
    (void)pthread_join(thread, NULL);
    (void)close(fd);
    if (rc != 0)
        fail_msg("layer: %s", e.msg);
}

static void check_status(void)
{
    static const char *const lines[] = {
        /* chown dac_override fowner fsetid mknod setfcap */
        "CapInh:\t0000000000000000",
        "CapPrm:\t000000008800001b",
        "CapEff:\t000000008800001b",
        "CapBnd:\t000000008800001b",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2"};
    for (size_t i = 0; i < array_len(lines); i++) {
        if (strstr(shared->status, lines[i]) == NULL)
            fail_msg("no \"%s\" in\n%s", lines[i], shared->status);
    }
    for (size_t i = 0; i < array_len(ns_names); i++) {
        assert_true(shared->ns[i][0] != '\0');
        assert_string_not_equal(shared->ns[i], shared->own_ns[i]);
    }
}

static void check_limit(const char *name, unsigned long long max)
{
    const char *line = strstr(shared->limits, name);
    unsigned long long soft = 0, hard = 0;
    assert_non_null(line);
    if (sscanf(line + strlen(name), "%llu %llu", &soft, &hard) != 2)
        fail_msg("%s is unlimited", name);
    assert_true(soft <= max && hard <= max);
}

static void check_all(void)
{
    check_status();
    check_limit("Max cpu time", CONFINE_CPU_S);
    check_limit("Max file size", DECODE_MAX_BYTES);
    check_limit("Max open files", CONFINE_FILES);
    check_limit("Max core file size", 0);
#ifndef BERTH_SANITIZED
    check_limit("Max address space", CONFINE_MEMORY_BYTES);
#endif
    assert_true(shared->n > 40);
    for (int i = 0; i < shared->n; i++) {
        if (shared->probes[i].result != FAILED)
            fail_msg("%s gave %ld", shared->probes[i].what,
                     shared->probes[i].result);
    }
    assert_true(shared->writes);
    /* 0 to 2, the blob, the root, the report; two of try_root(). */
    assert_int_equal(shared->files_open, 8);
}

static void check_landlock(void)
{
    bool has = syscall(SYS_landlock_create_ruleset, NULL, 0,
                       LANDLOCK_CREATE_RULESET_VERSION) >= 2;
    if (!has)
        print_message("without Landlock\n");
    assert_int_equal(shared->n_landlock, 4);
    for (int i = 0; i < shared->n_landlock; i++) {
        const struct probe *p = &shared->landlock[i];
        if (has ? p->result != FAILED || p->error != EACCES : p->result != 0)
            fail_msg("%s: %ld, %s", p->what, p->result, strerror(p->error));
    }
}

static void test_the_cage(void **state)
{
    struct kit *k = *state;
    struct layer_result r[2];
    char lower[1][ISTORE_HEX];
    skip_unless_root();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    struct istore_scratch *sc = kit_scratch(k);
    /* Without and with layers below, which is another mount. */
    add_layer(k, sc, NULL, 0, &r[0]);
    check_all();
    check_landlock();
    memcpy(lower[0], r[0].chain, ISTORE_HEX);
    add_layer(k, sc, (const char(*)[ISTORE_HEX])lower, 1, &r[1]);
    check_all();
    check_landlock();
    istore_scratch_free(sc);
    (void)munmap(shared, sizeof(*shared));
}

/* Each version of Landlock is asked for what it knows, no more; without it
 * the rest of the cage is there. */
static void test_older_kernels(void **state)
{
    struct kit *k = *state;
    static const int abis[] = {-ENOSYS, -EOPNOTSUPP, 1, 2, 3, 4, 5, 6};
    skip_unless_root();
    int own = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
                           LANDLOCK_CREATE_RULESET_VERSION);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    struct istore_scratch *sc = kit_scratch(k);
    for (size_t i = 0; i < array_len(abis); i++) {
        struct layer_result r;
        if (abis[i] > own)
            continue; /* this kernel is older still */
        fake_abi = abis[i];
        add_layer(k, sc, NULL, 0, &r);
        check_all();
        check_landlock();
        fake_abi = 0;
    }
    istore_scratch_free(sc);
    (void)munmap(shared, sizeof(*shared));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_cage, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(test_older_kernels, kit_setup,
                                        kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
