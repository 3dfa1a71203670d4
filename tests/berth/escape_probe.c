/*
 * What a hostile program in a container tries.  Built static by
 * test_escape.py, run inside; prints one "name result" per attempt, where the
 * result is "ok" or the name of the error.
 */
#include <asm/unistd.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/reboot.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static void report(const char *name, long rc)
{
    printf("%s %s\n", name, rc >= 0 ? "ok" : strerrorname_np(errno));
    (void)fflush(stdout);
}

static long make_node(const char *path, unsigned major, unsigned minor)
{
    long rc = mknod(path, S_IFCHR | 0666, makedev(major, minor));
    return rc != 0 ? rc : open(path, O_RDONLY);
}

static long write_to(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    return fd < 0 ? -1 : write(fd, text, strlen(text));
}

static void try_calls(void)
{
    char empty[64] = "";
    report("mount", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL));
    report("bind", syscall(SYS_mount, "/", "/tmp", NULL, 4096, NULL));
    report("remount", syscall(SYS_mount, NULL, "/proc/sys", NULL, 4128, NULL));
    report("cgroup", syscall(SYS_mount, "x", "/tmp", "cgroup", 0, "memory"));
    report("umount", syscall(SYS_umount2, "/proc/keys", 2));
    report("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    report("open_tree", syscall(SYS_open_tree, -100, "/", 1));
    report("move_mount",
           syscall(SYS_move_mount, -100, "/dev", -100, "/tmp", 0));
    report("pivot_root", syscall(SYS_pivot_root, ".", "."));
    report("unshare-user", unshare(CLONE_NEWUSER));
    report("unshare-mnt", unshare(CLONE_NEWNS));
    report("unshare-net", unshare(CLONE_NEWNET));
    report("clone-user", syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
    report("clone3", syscall(SYS_clone3, empty, 64));
    report("setns", setns(open("/proc/1/ns/mnt", O_RDONLY), 0));
    report("keyctl", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 0));
    report("add_key", syscall(SYS_add_key, "user", "a", "b", 1, -3));
    report("bpf", syscall(SYS_bpf, 0, empty, 64));
    report("perf", syscall(SYS_perf_event_open, empty, 0, -1, -1, 0));
    report("userfaultfd", syscall(SYS_userfaultfd, 0));
    report("io_uring", syscall(SYS_io_uring_setup, 1, empty));
    report("by-handle", syscall(SYS_open_by_handle_at, -100, empty, 0));
    report("init_module", syscall(SYS_init_module, empty, 1, ""));
    report("kexec", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    report("reboot", syscall(SYS_reboot, LINUX_REBOOT_MAGIC1,
                             LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, 0));
    report("swapon", syscall(SYS_swapon, "/bin/busybox", 0));
    report("settime", syscall(SYS_settimeofday, empty, NULL));
    report("iopl", syscall(SYS_iopl, 3));
    report("acct", syscall(SYS_acct, "/tmp/acct"));
    report("syslog", syscall(SYS_syslog, 3, empty, 8));
    report("mem", make_node("/tmp/mem", 1, 1));
    report("kmsg", make_node("/tmp/kmsg", 1, 11));
    report("disk", mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)));
    report("core_pattern", write_to("/proc/sys/kernel/core_pattern", "|/x"));
    report("sysrq", write_to("/proc/sysrq-trigger", "h"));
    report("uevent", write_to("/sys/kernel/uevent_helper", "/x"));
    report("modprobe", write_to("/proc/sys/kernel/modprobe", "/x"));
    report("release_agent",
           write_to("/sys/fs/cgroup/memory/release_agent", "/x"));
    report("notify", write_to("/sys/fs/cgroup/memory/notify_on_release", "1"));
    report("procs", write_to("/sys/fs/cgroup/memory/cgroup.procs", "1"));
    report("oom_adj", write_to("/proc/1/oom_score_adj", "-1000"));
}

static void try_abstract(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t n = strlen(name);
    memcpy(a.sun_path + 1, name, n);
    report(
        "abstract",
        connect(fd, (struct sockaddr *)&a,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)));
}

/* Is any of our streams something of the host, or can it become a terminal? */
static void try_streams(void)
{
    for (int i = 0; i < 3; i++) {
        char path[64], name[32];
        struct stat st;
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", i);
        (void)snprintf(name, sizeof(name), "stream%d", i);
        int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
        if (fstat(i, &st) == 0 && S_ISREG(st.st_mode))
            printf("%s file\n", name);
        else if (isatty(i))
            printf("%s terminal\n", name);
        else if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode))
            report("chmod", fchmod(fd, 0600));
    }
    char c = 'x';
    report("tiocsti", ioctl(0, TIOCSTI, &c));
}

/* CVE-2019-5736: write to a program of the host that runs in here. */
static long try_program(const char *name, dev_t own, long *writable)
{
    char path[300];
    struct stat st;
    (void)snprintf(path, sizeof(path), "/proc/%.200s/exe", name);
    int held = open(path, O_PATH);
    if (held < 0 || fstat(held, &st) != 0 || st.st_dev == own) {
        (void)close(held);
        return 0;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", held);
    /* Now, and again when nobody runs it any more. */
    for (int k = 0; k < 50; k++) {
        int fd = open(path, O_WRONLY);
        if (fd >= 0)
            (*writable)++;
        (void)close(fd);
        (void)usleep(1000);
    }
    (void)close(held);
    return 1;
}

static void try_programs(void)
{
    struct stat own;
    long writable = 0, seen = 0;
    (void)stat("/proc/self/exe", &own);
    puts("ready");
    (void)fflush(stdout);
    while (seen < 3) {
        DIR *d = opendir("/proc");
        struct dirent *de;
        while (d != NULL && (de = readdir(d)) != NULL)
            seen += try_program(de->d_name, own.st_dev, &writable);
        (void)closedir(d);
    }
    printf("writable %ld\n", writable);
}

/* Exchange two names for ever. */
static void flip(const char *a, const char *b)
{
    puts("ready");
    (void)fflush(stdout);
    for (;;)
        (void)syscall(SYS_renameat2, -100, a, -100, b, 2);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "calls") == 0)
        try_calls();
    else if (argc == 3 && strcmp(argv[1], "abstract") == 0)
        try_abstract(argv[2]);
    else if (argc == 2 && strcmp(argv[1], "streams") == 0)
        try_streams();
    else if (argc == 2 && strcmp(argv[1], "programs") == 0)
        try_programs();
    else if (argc == 4 && strcmp(argv[1], "flip") == 0)
        flip(argv[2], argv[3]);
    else
        return 2;
    return 0;
}
