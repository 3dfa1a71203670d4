/* The container's root file system; see rootfs.h. */
#include "client/runtime/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client/runtime/copyup.h"

/* <sys/mount.h> and <linux/mount.h> exclude each other in glibc 2.36. */
int mount(const char *, const char *, const char *, unsigned long,
          const void *);
int umount2(const char *, int);
#define OLD_MS_REC     16384ul
#define OLD_MS_PRIVATE (1ul << 18)
#define OLD_MNT_DETACH 2
#define SAFE           (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static int sys_openat2(int dirfd, const char *path, uint64_t flags,
                       uint64_t mode, uint64_t resolve)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    int fd;
    do /* EAGAIN: somebody renamed during the walk */
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
    while (fd < 0 && errno == EAGAIN);
    return fd;
}

static int in_root(int rootfd, const char *path, uint64_t flags)
{
    return sys_openat2(rootfd, path, flags, 0,
                       RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* Make a detached mount; options is a list "key\0value\0...\0". */
static int make_mount(const char *type, const char *const (*options)[2],
                      size_t n, unsigned attr, struct err *e)
{
    scoped_fd fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return err_sys(e, errno, "open file system %s", type);
    for (size_t i = 0; i < n; i++) {
        unsigned cmd =
            options[i][1] == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
        if (syscall(SYS_fsconfig, fs, cmd, options[i][0], options[i][1], 0) !=
            0)
            return err_sys(e, errno, "%s option %s=%s", type, options[i][0],
                           options[i][1] != NULL ? options[i][1] : "");
    }
    if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
        return err_sys(e, errno, "create file system %s", type);
    int fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attr);
    return fd >= 0 ? fd : err_sys(e, errno, "mount %s", type);
}

static int attach(int mount_fd, int target_fd, const char *what, struct err *e)
{
    if (syscall(SYS_move_mount, mount_fd, "", target_fd, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
        return err_sys(e, errno, "attach mount at %s", what);
    return 0;
}

static int set_read_only(int fd, bool recursive, const char *what,
                         struct err *e)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, fd, "",
                AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &a,
                sizeof(a)) != 0)
        return err_sys(e, errno, "make %s read-only", what);
    return 0;
}

/* A detached recursive copy of what lies at fd. */
static int clone_tree(int fd, const char *what, struct err *e)
{
    int t = (int)syscall(SYS_open_tree, fd, "",
                         AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                             AT_RECURSIVE);
    return t >= 0 ? t : err_sys(e, errno, "clone mount of %s", what);
}

/* Make the folder `path` inside the root, part by part, and open it. */
static int make_dir(int rootfd, const char *path, struct err *e)
{
    char part[PATH_MAX];
    if (strlen(path) >= sizeof(part))
        return err_set(e, ERR_TOO_LARGE, "path too long: %.100s", path);
    (void)snprintf(part, sizeof(part), "%s", path);
    int dir = in_root(rootfd, "/", O_PATH | O_DIRECTORY);
    for (char *p = part; dir >= 0 && *p != '\0';) {
        char *end = p + strspn(p, "/");
        char *name = end;
        end += strcspn(end, "/");
        char keep = *end;
        *end = '\0';
        if (*name != '\0') {
            int next = in_root(rootfd, part, O_PATH | O_DIRECTORY);
            if (next < 0 && errno == ENOENT) {
                if (mkdirat(dir, name, 0755) != 0 && errno != EEXIST) {
                    (void)err_sys(e, errno, "make folder %s", part);
                    (void)close(dir);
                    return -1;
                }
                next = openat(dir, name,
                              O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            }
            int saved = errno;
            (void)close(dir);
            errno = saved;
            dir = next;
        }
        *end = keep;
        p = end;
    }
    return dir >= 0 ? dir : err_sys(e, errno, "open %s in the container", path);
}

/* Make the file `path` inside the root if it is absent, and open it O_PATH. */
static int make_file(int rootfd, const char *path, struct err *e)
{
    int fd = in_root(rootfd, path, O_PATH);
    if (fd >= 0)
        return fd;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char up[PATH_MAX];
    (void)snprintf(up, sizeof(up), "%.*s", (int)(name - path), path);
    scoped_fd dir = make_dir(rootfd, up, e);
    if (dir < 0)
        return -1;
    if (mknodat(dir, name, S_IFREG | 0644, 0) != 0 && errno == EEXIST) {
        /* A dangling link, as systemd's resolv.conf: replace it. */
        (void)unlinkat(dir, name, 0);
        (void)mknodat(dir, name, S_IFREG | 0644, 0);
    }
    fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? fd : err_sys(e, errno, "make file %s", path);
}

/* /proc, /sys and /dev of an image must be real folders. */
static int fixed_dir(int rootfd, const char *path, struct err *e)
{
    int fd = sys_openat2(rootfd, path + 1, O_PATH | O_DIRECTORY, 0,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (fd < 0 && errno == ENOENT) {
        if (mkdirat(rootfd, path + 1, 0755) == 0)
            fd = sys_openat2(rootfd, path + 1, O_PATH | O_DIRECTORY, 0,
                             RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    }
    if (fd < 0 && errno == ELOOP)
        return err_set(e, ERR_INVALID,
                       "%s of the image is a symbolic link: refused", path);
    return fd >= 0 ? fd : err_sys(e, errno, "open %s of the image", path);
}

static int mount_at(int rootfd, const char *path, int mount_fd, struct err *e)
{
    if (mount_fd < 0)
        return -1;
    scoped_fd target = fixed_dir(rootfd, path, e);
    return target < 0 ? -1 : attach(mount_fd, target, path, e);
}

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
                                {"workdir", work}};
    return make_mount("overlay", o, array_len(o), 0, e);
}

/* One lowerdir+ per layer (6.5 and later): no bound on the option string. */
static int overlay(const struct rt_spec *s, struct err *e)
{
    const char *o[RT_LAYERS_MAX + 3][2] = {{"userxattr", NULL}};
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
    struct err first;
    int fd = make_mount("overlay", (const char *const(*)[2])o, n, 0, &first);
    if (fd >= 0)
        return fd;
    if (first.sys != EINVAL)
        return err_set(e, first.code, "%s", first.msg);
    return overlay_by_string(s, e);
}

/* ---- /dev --------------------------------------------------------------- */

static int dev_nodes(int dev, struct err *e)
{
    static const struct {
        const char *name;
        unsigned major, minor;
    } nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                 {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    static const char *const links[][2] = {
        {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"},
        {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"},
        {"/proc/kcore", "core"},       {"pts/ptmx", "ptmx"}};
    static const char *const dirs[] = {"pts", "shm", "mqueue"};
    for (size_t i = 0; i < array_len(nodes); i++) {
        if (mknodat(dev, nodes[i].name, S_IFCHR | 0666,
                    makedev(nodes[i].major, nodes[i].minor)) != 0)
            return err_sys(e, errno, "make /dev/%s", nodes[i].name);
    }
    for (size_t i = 0; i < array_len(links); i++) {
        if (symlinkat(links[i][0], dev, links[i][1]) != 0)
            return err_sys(e, errno, "make /dev/%s", links[i][1]);
    }
    for (size_t i = 0; i < array_len(dirs); i++) {
        if (mkdirat(dev, dirs[i], 0755) != 0)
            return err_sys(e, errno, "make /dev/%s", dirs[i]);
    }
    return 0;
}

int rootfs_open_pty(int pts, int *master, int *slave, struct err *e)
{
    int unlock = 0;
    scoped_fd m = openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (m < 0 || ioctl(m, TIOCSPTLCK, &unlock) != 0)
        return err_sys(e, errno, "open a terminal in the container");
    *slave = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0)
        return err_sys(e, errno, "open the container's side of its terminal");
    *master = take_fd(&m);
    return 0;
}

static int console(int dev, int pts, int *master, int *slave, struct err *e)
{
    if (rootfs_open_pty(pts, master, slave, e) != 0)
        return -1;
    if (mknodat(dev, "console", S_IFREG | 0600, 0) != 0)
        return err_sys(e, errno, "make /dev/console");
    scoped_fd target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    scoped_fd copy = clone_tree(*slave, "the terminal", e);
    if (target < 0 || copy < 0)
        return -1;
    return attach(copy, target, "/dev/console", e);
}

static int setup_dev(const struct rt_spec *s, int rootfd, int *master,
                     int *slave, struct err *e)
{
    static const char *const dev_o[][2] = {{"mode", "755"}, {"size", "65536k"}};
    static const char *const pts_o[][2] = {{"newinstance", NULL},
                                           {"ptmxmode", "0666"},
                                           {"mode", "0620"},
                                           {"gid", "5"}};
    static const char *const shm_o[][2] = {{"mode", "1777"},
                                           {"size", "65536k"}};
    scoped_fd dev = make_mount("tmpfs", dev_o, 2,
                               MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME, e);
    if (dev < 0 || dev_nodes(dev, e) != 0 ||
        mount_at(rootfd, "/dev", dev, e) != 0)
        return -1;
    scoped_fd pts = make_mount("devpts", pts_o, 4,
                               MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
    if (mount_at(rootfd, "/dev/pts", pts, e) != 0)
        return -1;
    scoped_fd shm = make_mount("tmpfs", shm_o, 2, SAFE, e);
    if (mount_at(rootfd, "/dev/shm", shm, e) != 0)
        return -1;
    scoped_fd mq = make_mount("mqueue", NULL, 0, SAFE, e);
    if (mount_at(rootfd, "/dev/mqueue", mq, e) != 0)
        return -1;
    return s->is_tty ? console(dev, pts, master, slave, e) : 0;
}

/* ---- /proc, /sys, cgroups ----------------------------------------------- */

static int setup_cgroups(const struct cg_layout *l, int rootfd, struct err *e)
{
    if (l->is_v2_only) {
        scoped_fd cg =
            make_mount("cgroup2", NULL, 0, SAFE | MOUNT_ATTR_RDONLY, e);
        return mount_at(rootfd, "/sys/fs/cgroup", cg, e);
    }
    static const char *const o[][2] = {{"mode", "755"}};
    scoped_fd top = make_mount("tmpfs", o, 1, SAFE, e);
    if (mount_at(rootfd, "/sys/fs/cgroup", top, e) != 0)
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
        scoped_fd cg = make_mount("cgroup", flags, strchr(base, ',') ? 2 : 1,
                                  SAFE | MOUNT_ATTR_RDONLY, e);
        scoped_fd at = openat(top, base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (cg < 0 || at < 0 || attach(cg, at, base, e) != 0)
            return -1;
    }
    return set_read_only(top, false, "/sys/fs/cgroup", e);
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
    scoped_fd proc = make_mount("proc", NULL, 0, SAFE, e);
    if (mount_at(rootfd, "/proc", proc, e) != 0)
        return -1;
    if (!s->is_host_network)
        allow_ping(proc);
    scoped_fd sys = make_mount("sysfs", NULL, 0, SAFE | MOUNT_ATTR_RDONLY, e);
    if (mount_at(rootfd, "/sys", sys, e) != 0)
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
    scoped_fd target = in_root(rootfd, path, O_PATH | O_NOFOLLOW);
    if (target < 0)
        return errno == ENOENT ? 0 : err_sys(e, errno, "mask %s", path);
    if (fstat(target, &st) != 0)
        return err_sys(e, errno, "mask %s", path);
    if (S_ISDIR(st.st_mode)) {
        static const char *const o[][2] = {{"nr_inodes", "2"}, {"mode", "755"}};
        scoped_fd empty =
            make_mount("tmpfs", o, 2, SAFE | MOUNT_ATTR_RDONLY, e);
        return empty < 0 ? -1 : attach(empty, target, path, e);
    }
    scoped_fd cover = clone_tree(null_fd, "/dev/null", e);
    return cover < 0 ? -1 : attach(cover, target, path, e);
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
        scoped_fd there = in_root(rootfd, path, O_PATH);
        if (there < 0)
            break;
        (void)snprintf(path, sizeof(path),
                       "/sys/devices/system/cpu/cpu%d/thermal_throttle", cpu);
        if (mask(rootfd, path, null_fd, e) != 0)
            return -1;
    }
    for (size_t i = 0; i < array_len(read_only); i++) {
        const char *p = read_only[i];
        scoped_fd target = in_root(rootfd, p, O_PATH | O_NOFOLLOW);
        if (target < 0)
            continue;
        scoped_fd copy = clone_tree(target, p, e);
        if (copy < 0 || set_read_only(copy, true, p, e) != 0 ||
            attach(copy, target, p, e) != 0)
            return -1;
    }
    return 0;
}

/* ---- mounts of the user ------------------------------------------------- */

/* "size=64m,mode=1777,ro" for a tmpfs; unknown words are refused. */
static int user_tmpfs(const struct rt_mount *m, struct err *e)
{
    const char *o[8][2];
    size_t n = 0;
    unsigned attr = SAFE;
    char text[256];
    bool has_mode = false;
    (void)snprintf(text, sizeof(text), "%s", m->options ? m->options : "");
    char *save = NULL;
    for (char *w = strtok_r(text, ",", &save); w != NULL && n < 7;
         w = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(w, '=');
        if (eq != NULL) {
            *eq = '\0';
            has_mode = has_mode || strcmp(w, "mode") == 0;
            o[n][0] = w;
            o[n++][1] = eq + 1;
        } else if (strcmp(w, "ro") == 0) {
            attr |= MOUNT_ATTR_RDONLY;
        } else if (strcmp(w, "exec") == 0) {
            attr &= ~(unsigned)MOUNT_ATTR_NOEXEC;
        } else if (strcmp(w, "suid") == 0) {
            attr &= ~(unsigned)MOUNT_ATTR_NOSUID;
        } else if (strcmp(w, "dev") == 0) {
            attr &= ~(unsigned)MOUNT_ATTR_NODEV;
        } else if (strcmp(w, "rw") != 0 && strncmp(w, "no", 2) != 0) {
            return err_set(e, ERR_INVALID, "unknown tmpfs option: %s", w);
        }
    }
    if (!has_mode) {
        o[n][0] = "mode";
        o[n++][1] = "1777";
    }
    return make_mount("tmpfs", (const char *const(*)[2])o, n, attr, e);
}

static int user_mount(const struct rt_mount *m, int rootfd, struct err *e)
{
    struct stat st;
    if (m->kind == RT_TMPFS) {
        scoped_fd fs = user_tmpfs(m, e);
        scoped_fd at = fs < 0 ? -1 : make_dir(rootfd, m->target, e);
        return at < 0 ? -1 : attach(fs, at, m->target, e);
    }
    scoped_fd src = open(m->source, O_PATH | O_CLOEXEC);
    if (src < 0 || fstat(src, &st) != 0)
        return err_sys(e, errno, "open %s for -v", m->source);
    scoped_fd at = S_ISDIR(st.st_mode) ? make_dir(rootfd, m->target, e)
                                       : make_file(rootfd, m->target, e);
    if (at < 0)
        return -1;
    if (m->kind == RT_VOLUME && copyup_dir(at, m->source, e) != 0)
        return -1;
    scoped_fd copy = clone_tree(src, m->source, e);
    if (copy < 0 ||
        (m->is_read_only && set_read_only(copy, true, m->target, e) != 0))
        return -1;
    return attach(copy, at, m->target, e);
}

static int etc_file(const struct rt_spec *s, const char *name, int rootfd,
                    struct err *e)
{
    char from[PATH_MAX], to[64];
    (void)snprintf(from, sizeof(from), "%.4000s/%s", s->dir, name);
    (void)snprintf(to, sizeof(to), "/etc/%s", name);
    const struct rt_mount m = {.kind = RT_BIND, .source = from, .target = to};
    return user_mount(&m, rootfd, e);
}

static int user_mounts(const struct rt_spec *s, int rootfd, struct err *e)
{
    static const char *const etc[] = {"hosts", "hostname", "resolv.conf"};
    for (size_t i = 0; i < array_len(etc); i++) {
        if (etc_file(s, etc[i], rootfd, e) != 0)
            return -1;
    }
    for (size_t i = 0; i < s->n_mounts; i++) {
        if (user_mount(&s->mounts[i], rootfd, e) != 0)
            return -1;
    }
    return 0;
}

/* /proc and /sys must still be what we mounted after -v and VOLUME. */
static int verify(int rootfd, struct err *e)
{
    static const char *const paths[] = {"/proc", "/sys", "/dev"};
    struct stat root, st;
    for (size_t i = 0; i < array_len(paths); i++) {
        scoped_fd fd = in_root(rootfd, paths[i], O_PATH | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) != 0 || fstat(rootfd, &root) != 0 ||
            st.st_dev == root.st_dev)
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
    if (attach(over, at, root, e) != 0)
        return -1;
    if (setup_kernel(s, cgroups, over, e) != 0 ||
        setup_dev(s, over, master, slave, e) != 0 ||
        user_mounts(s, over, e) != 0 || verify(over, e) != 0 ||
        protect(over, null_fd, e) != 0)
        return -1;
    if (s->is_read_only && set_read_only(over, false, "/", e) != 0)
        return -1;
    (void)umask(022);
    return pivot(over, e);
}
