/* The container's root file system; see rootfs.h. */
#include "client/runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client/runtime/rootfs_int.h"

/* <sys/mount.h> and <linux/mount.h> exclude each other in glibc 2.36. */
int mount(const char *, const char *, const char *, unsigned long,
          const void *);
int umount2(const char *, int);
#define OLD_MS_REC     16384ul
#define OLD_MS_PRIVATE (1ul << 18)
#define OLD_MNT_DETACH 2

/* ---- overlay ------------------------------------------------------------ */

static int overlay_by_string(const struct rt_spec *s, struct err *e)
{
    char lower[4096] = "", upper[PATH_MAX], work[PATH_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s->n_lower; i++) {
        int w = snprintf(lower + n, sizeof(lower) - n, "%s%s", i ? ":" : "",
                         s->lower[i]);
        if (w < 0 || (size_t)w >= sizeof(lower) - n)
            return err_set(e, ERR_TOO_LARGE,
                           "too many layers for this kernel's overlay");
        n += (size_t)w;
    }
    (void)snprintf(upper, sizeof(upper), "%.4000s/upper", s->dir);
    (void)snprintf(work, sizeof(work), "%.4000s/work", s->dir);
    const char *const o[][2] = {{"userxattr", NULL},
                                {"lowerdir", lower},
                                {"upperdir", upper},
                                {"workdir", work},
                                {"volatile", NULL}};
    return rootfs_make_mount("overlay", o,
                             array_len(o) - (s->is_passing ? 0 : 1), 0, e);
}

/* One lowerdir+ per layer (6.5 and later): no bound on the option string. */
static int overlay(const struct rt_spec *s, struct err *e)
{
    const char *o[RT_LAYERS_MAX + 4][2] = {{"userxattr", NULL}};
    char upper[PATH_MAX], work[PATH_MAX];
    size_t n = 1;
    for (size_t i = 0; i < s->n_lower; i++, n++) {
        o[n][0] = "lowerdir+";
        o[n][1] = s->lower[i];
    }
    (void)snprintf(upper, sizeof(upper), "%.4000s/upper", s->dir);
    (void)snprintf(work, sizeof(work), "%.4000s/work", s->dir);
    o[n][0] = "upperdir";
    o[n++][1] = upper;
    o[n][0] = "workdir";
    o[n++][1] = work;
    /* The end of an overlay syncs the whole file system below, unless what it
     * holds is going to be removed anyway. */
    if (s->is_passing)
        o[n++][0] = "volatile";
    struct err first;
    int fd =
        rootfs_make_mount("overlay", (const char *const(*)[2])o, n, 0, &first);
    if (fd >= 0)
        return fd;
    if (first.sys != EINVAL)
        return err_set(e, first.code, "%s", first.msg);
    return overlay_by_string(s, e);
}

/* ---- /proc, /sys, cgroups ----------------------------------------------- */

static int setup_cgroups(const struct cg_layout *l, int rootfd, struct err *e)
{
    if (l->is_v2_only) {
        scoped_fd cg = rootfs_make_mount("cgroup2", NULL, 0,
                                         ROOTFS_SAFE | MOUNT_ATTR_RDONLY, e);
        return rootfs_mount_at(rootfd, "/sys/fs/cgroup", cg, e);
    }
    static const char *const o[][2] = {{"mode", "755"}};
    scoped_fd top = rootfs_make_mount("tmpfs", o, 1, ROOTFS_SAFE, e);
    if (rootfs_mount_at(rootfd, "/sys/fs/cgroup", top, e) != 0)
        return -1;
    for (int c = 0; c < CG_CONTROLLERS; c++) {
        if (l->v1[c][0] == '\0')
            continue;
        const char *name = cg_name((enum cg_controller)c);
        /* cpu and cpuacct may share one hierarchy: a link then. */
        const char *base = strrchr(l->v1[c], '/') + 1;
        if (strcmp(base, name) != 0)
            (void)!symlinkat(base, top, name);
        if (mkdirat(top, base, 0755) != 0) {
            if (errno == EEXIST)
                continue;
            return err_sys(e, errno, "make /sys/fs/cgroup/%s", base);
        }
        const char *const flags[][2] = {
            {name, NULL}, {strchr(base, ',') ? "cpuacct" : name, NULL}};
        scoped_fd cg =
            rootfs_make_mount("cgroup", flags, strchr(base, ',') ? 2 : 1,
                              ROOTFS_SAFE | MOUNT_ATTR_RDONLY, e);
        scoped_fd at = openat(top, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (cg < 0 || at < 0 || rootfs_attach(cg, at, base, e) != 0)
            return -1;
    }
    return rootfs_set_read_only(top, false, "/sys/fs/cgroup", e);
}

/* Unprivileged ping, since the default set lacks NET_RAW. */
static void allow_ping(int proc)
{
    scoped_fd fd =
        openat(proc, "sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "0 2147483647", 12) < 0)
        return; /* a kernel without ping sockets: nothing to allow */
}

static int setup_kernel(const struct rt_spec *s, const struct cg_layout *l,
                        int rootfd, struct err *e)
{
    scoped_fd proc = rootfs_make_mount("proc", NULL, 0, ROOTFS_SAFE, e);
    if (rootfs_mount_at(rootfd, "/proc", proc, e) != 0)
        return -1;
    if (!s->is_host_network)
        allow_ping(proc);
    scoped_fd sys =
        rootfs_make_mount("sysfs", NULL, 0, ROOTFS_SAFE | MOUNT_ATTR_RDONLY, e);
    if (rootfs_mount_at(rootfd, "/sys", sys, e) != 0)
        return -1;
    return setup_cgroups(l, rootfd, e);
}

static int open_null(struct err *e)
{
    struct stat st;
    int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
        st.st_rdev == makedev(1, 3))
        return fd;
    scope_close(&fd);
    return err_set(e, ERR_INVALID, "/dev/null of the host is no null device");
}

/* Cover one path by null (files) or an empty folder; absent is fine. */
static int mask(int rootfd, const char *path, int null_fd, struct err *e)
{
    struct stat st;
    scoped_fd target = rootfs_in_root(rootfd, path, O_PATH | O_NOFOLLOW);
    if (target < 0)
        return errno == ENOENT ? 0 : err_sys(e, errno, "mask %s", path);
    if (fstat(target, &st) != 0)
        return err_sys(e, errno, "mask %s", path);
    if (S_ISDIR(st.st_mode)) {
        static const char *const o[][2] = {{"nr_inodes", "2"}, {"mode", "755"}};
        scoped_fd empty = rootfs_make_mount("tmpfs", o, 2,
                                            ROOTFS_SAFE | MOUNT_ATTR_RDONLY, e);
        return empty < 0 ? -1 : rootfs_attach(empty, target, path, e);
    }
    scoped_fd cover = rootfs_clone_tree(null_fd, "/dev/null", e);
    /* Read-only: chmod of the cover would be chmod of the host's device. */
    if (cover < 0 || rootfs_set_read_only(cover, false, path, e) != 0)
        return -1;
    return rootfs_attach(cover, target, path, e);
}

static int protect(int rootfd, int null_fd, struct err *e)
{
    static const char *const masked[] = {"/proc/acpi",
                                         "/proc/asound",
                                         "/proc/interrupts",
                                         "/proc/kcore",
                                         "/proc/keys",
                                         "/proc/latency_stats",
                                         "/proc/sched_debug",
                                         "/proc/scsi",
                                         "/proc/timer_list",
                                         "/proc/timer_stats",
                                         "/sys/devices/virtual/powercap",
                                         "/sys/firmware"};
    static const char *const read_only[] = {"/proc/bus", "/proc/fs",
                                            "/proc/irq", "/proc/sys",
                                            "/proc/sysrq-trigger"};
    for (size_t i = 0; i < array_len(masked); i++) {
        if (mask(rootfd, masked[i], null_fd, e) != 0)
            return -1;
    }
    for (int cpu = 0; cpu < 4096; cpu++) {
        char path[96];
        (void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d",
                       cpu);
        scoped_fd there = rootfs_in_root(rootfd, path, O_PATH);
        if (there < 0)
            break;
        (void)snprintf(path, sizeof(path),
                       "/sys/devices/system/cpu/cpu%d/thermal_throttle", cpu);
        if (mask(rootfd, path, null_fd, e) != 0)
            return -1;
    }
    for (size_t i = 0; i < array_len(read_only); i++) {
        const char *p = read_only[i];
        scoped_fd target = rootfs_in_root(rootfd, p, O_PATH | O_NOFOLLOW);
        if (target < 0)
            continue;
        scoped_fd copy = rootfs_clone_tree(target, p, e);
        if (copy < 0 || rootfs_set_read_only(copy, true, p, e) != 0 ||
            rootfs_attach(copy, target, p, e) != 0)
            return -1;
    }
    return 0;
}

/* ---- the whole ---------------------------------------------------------- */

/*
 * After -v and VOLUME: /proc is what we mounted, and nothing of the image lies
 * at /sys and /dev.  Only a -v by name may have replaced these two.
 */
static int verify(int rootfd, struct err *e)
{
    static const char *const paths[] = {"/proc", "/sys", "/dev"};
    struct stat root, st;
    struct statfs fs;
    for (size_t i = 0; i < array_len(paths); i++) {
        scoped_fd fd = rootfs_in_root(rootfd, paths[i], O_PATH | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0 ||
            fstat(rootfd, &root) != 0 || st.st_dev == root.st_dev ||
            (i == 0 && fs.f_type != PROC_SUPER_MAGIC))
            return err_set(e, ERR_INVALID, "%s is not ours any more", paths[i]);
    }
    return 0;
}

static int pivot(int rootfd, struct err *e)
{
    if (fchdir(rootfd) != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
        return err_sys(e, errno, "change to the new root");
    if (umount2(".", OLD_MNT_DETACH) != 0 || chdir("/") != 0)
        return err_sys(e, errno, "leave the old root");
    return 0;
}

/*
 * As docker, a working directory that is absent is made, before the root is
 * read-only.  Where that fails, the change to it will say why.
 */
static void make_cwd(const struct rt_spec *s, int rootfd)
{
    struct err ignored;
    scoped_fd made = rootfs_make_dir(rootfd, s->cwd, &ignored);
    (void)made;
}

int rootfs_enter(const struct rt_spec *s, const struct cg_layout *cgroups,
                 int *master, int *slave, struct err *e)
{
    char root[PATH_MAX];
    *master = *slave = -1;
    (void)umask(0);
    /* First: nothing that follows may reach the host. */
    if (mount(NULL, "/", NULL, OLD_MS_REC | OLD_MS_PRIVATE, NULL) != 0)
        return err_sys(e, errno, "make the mounts private");
    /* Before the root changes: the host's null device. */
    scoped_fd null_fd = open_null(e);
    scoped_fd over = null_fd < 0 ? -1 : overlay(s, e);
    if (over < 0)
        return -1;
    (void)snprintf(root, sizeof(root), "%.4000s/root", s->dir);
    scoped_fd at = open(root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (at < 0)
        return err_sys(e, errno, "open %s", root);
    if (rootfs_attach(over, at, root, e) != 0)
        return -1;
    if (setup_kernel(s, cgroups, over, e) != 0 ||
        rootfs_setup_dev(s, over, master, slave, e) != 0 ||
        rootfs_user_mounts(s, over, e) != 0 || verify(over, e) != 0 ||
        protect(over, null_fd, e) != 0)
        return -1;
    make_cwd(s, over);
    if (s->is_read_only && rootfs_set_read_only(over, false, "/", e) != 0)
        return -1;
    (void)umask(022);
    return pivot(over, e);
}
