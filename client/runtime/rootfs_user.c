/* What the user mounts: -v, VOLUME, --tmpfs, and the files of /etc. */
#include "client/runtime/rootfs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "client/cli/value.h"
#include "client/runtime/copyup.h"

/* It takes the mode of the folder `old` that it covers, as docker's do. */
static int user_tmpfs(const struct rt_mount *m, int old, struct err *e)
{
    const char *o[VALUE_TMPFS_OPTIONS + 1][2];
    char text[PATH_MAX + 300], mode[8];
    struct value_tmpfs t;
    struct stat st;
    unsigned attr = ROOTFS_SAFE;
    (void)snprintf(text, sizeof(text), "%s%s%s", m->target,
                   m->options && m->options[0] != '\0' ? ":" : "",
                   m->options ? m->options : "");
    if (value_tmpfs(text, &t, e) != 0)
        return -1;
    memcpy(o, t.option, sizeof(t.option));
    if (!t.has_mode && old >= 0 && fstat(old, &st) == 0) {
        (void)snprintf(mode, sizeof(mode), "%04o", st.st_mode & 07777);
        o[t.n][0] = "mode";
        o[t.n++][1] = mode;
    }
    attr |= t.is_read_only ? MOUNT_ATTR_RDONLY : 0;
    attr &= t.has_exec ? ~(unsigned)MOUNT_ATTR_NOEXEC : ~0u;
    attr &= t.has_suid ? ~(unsigned)MOUNT_ATTR_NOSUID : ~0u;
    attr &= t.has_dev ? ~(unsigned)MOUNT_ATTR_NODEV : ~0u;
    return rootfs_make_mount("tmpfs", (const char *const(*)[2])o, t.n, attr, e);
}

/*
 * Where nothing may be mounted, judged by what a path leads to: links of the
 * image can lead anywhere inside the root.  The root itself, since it would
 * cover all that is built; /proc, since masks and checks rely on it
 * (CVE-2019-19921); /sys and /dev unless the user named them with -v.
 */
static int check_target(const struct rt_mount *m, int at, int rootfd,
                        struct err *e)
{
    struct stat st, root, dev;
    struct statfs fs;
    scoped_fd dev_fd = rootfs_in_root(rootfd, "/dev", O_PATH | O_NOFOLLOW);
    if (dev_fd < 0 || fstat(dev_fd, &dev) != 0 || fstat(at, &st) != 0 ||
        fstat(rootfd, &root) != 0 || fstatfs(at, &fs) != 0)
        return err_sys(e, errno, "look at the mount point %s", m->target);
    bool is_root = st.st_dev == root.st_dev && st.st_ino == root.st_ino;
    bool is_dev = st.st_dev == dev.st_dev && st.st_ino == dev.st_ino;
    bool by_image = m->kind == RT_VOLUME || m->is_own;
    if (is_root || fs.f_type == PROC_SUPER_MAGIC ||
        (by_image && (is_dev || fs.f_type == SYSFS_MAGIC)))
        return err_set(e, ERR_INVALID, "nothing can be mounted at %s%s",
                       m->target,
                       is_root  ? ", the root"
                       : is_dev ? ", which is /dev"
                                : ", which lies in /proc or /sys");
    return 0;
}

static int user_mount(const struct rt_mount *m, int rootfd, struct err *e)
{
    struct stat st;
    if (m->kind == RT_TMPFS) {
        scoped_fd old = rootfs_in_root(rootfd, m->target, O_PATH);
        scoped_fd fs = user_tmpfs(m, old, e);
        scoped_fd at = fs < 0 ? -1 : rootfs_make_dir(rootfd, m->target, e);
        if (at < 0 || check_target(m, at, rootfd, e) != 0)
            return -1;
        return rootfs_attach(fs, at, m->target, e);
    }
    scoped_fd src = open(m->source, O_PATH | O_CLOEXEC);
    if (src < 0 || fstat(src, &st) != 0)
        return err_sys(e, errno, "open %s for -v", m->source);
    scoped_fd at = S_ISDIR(st.st_mode) ? rootfs_make_dir(rootfd, m->target, e)
                                       : rootfs_make_file(rootfd, m->target, e);
    if (at < 0 || check_target(m, at, rootfd, e) != 0)
        return -1;
    if (m->kind == RT_VOLUME && copyup_dir(at, m->source, e) != 0)
        return -1;
    scoped_fd copy = rootfs_clone_tree(src, m->source, e);
    if (copy < 0 || (m->is_read_only &&
                     rootfs_set_read_only(copy, true, m->target, e) != 0))
        return -1;
    return rootfs_attach(copy, at, m->target, e);
}

static int etc_file(const struct rt_spec *s, const char *name, int rootfd,
                    struct err *e)
{
    char from[PATH_MAX], to[64];
    (void)snprintf(from, sizeof(from), "%.4000s/%s", s->dir, name);
    (void)snprintf(to, sizeof(to), "/etc/%s", name);
    const struct rt_mount m = {
        .kind = RT_BIND, .source = from, .target = to, .is_own = true};
    return user_mount(&m, rootfd, e);
}

int rootfs_user_mounts(const struct rt_spec *s, int rootfd, struct err *e)
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
