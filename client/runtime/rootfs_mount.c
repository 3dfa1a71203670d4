/* Paths inside a root and detached mounts; see rootfs_int.h. */
#include "client/runtime/rootfs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS_MAX 40
#define DANGLING  (-2)

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

int rootfs_in_root(int rootfd, const char *path, uint64_t flags)
{
    return sys_openat2(rootfd, path, flags, 0,
                       RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int rootfs_make_mount(const char *type, const char *const (*options)[2],
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

int rootfs_attach(int mount_fd, int target_fd, const char *what, struct err *e)
{
    if (syscall(SYS_move_mount, mount_fd, "", target_fd, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
        return err_sys(e, errno, "attach mount at %s", what);
    return 0;
}

int rootfs_set_read_only(int fd, bool recursive, const char *what,
                         struct err *e)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, fd, "",
                AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &a,
                sizeof(a)) != 0)
        return err_sys(e, errno, "make %s read-only", what);
    return 0;
}

int rootfs_clone_tree(int fd, const char *what, struct err *e)
{
    int t = (int)syscall(SYS_open_tree, fd, "",
                         AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                             AT_RECURSIVE);
    return t >= 0 ? t : err_sys(e, errno, "clone mount of %s", what);
}

/*
 * The path that a dangling link stands for: `name` of the folder dir, reached
 * by `prefix`, followed by `rest`.  Still to be resolved inside the root.
 */
static int follow(int dir, const char *prefix, const char *name,
                  const char *rest, char out[PATH_MAX], struct err *e)
{
    char link[PATH_MAX];
    ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);
    if (n < 0)
        return err_sys(e, errno, "open %s in the container", name);
    link[n] = '\0';
    int len = link[0] == '/'
                  ? snprintf(out, PATH_MAX, "%s/%s", link, rest)
                  : snprintf(out, PATH_MAX, "%s/%s/%s", prefix, link, rest);
    if (len < 0 || len >= PATH_MAX)
        return err_set(e, ERR_TOO_LARGE, "path too long: %.100s", link);
    return 0;
}

/*
 * Open or make one part: `part` ends in `name`, which lies in dir.
 * Returns DANGLING when it is a link to what is not there, -1 with errno else.
 */
static int make_part(int rootfd, int dir, const char *part, const char *name)
{
    int next = rootfs_in_root(rootfd, part, O_PATH | O_DIRECTORY);
    if (next >= 0 || errno != ENOENT)
        return next;
    if (mkdirat(dir, name, 0755) != 0 && errno != EEXIST)
        return -1;
    next = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0 && errno == ENOTDIR) {
        char one;
        if (readlinkat(dir, name, &one, 1) >= 0)
            return DANGLING;
        errno = ENOTDIR;
    }
    return next;
}

int rootfs_make_dir(int rootfd, const char *path, struct err *e)
{
    char part[PATH_MAX], other[PATH_MAX];
    int links = 0;
    if (strlen(path) >= sizeof(part))
        return err_set(e, ERR_TOO_LARGE, "path too long: %.100s", path);
    (void)snprintf(part, sizeof(part), "%s", path);
    scoped_fd dir = rootfs_in_root(rootfd, "/", O_PATH | O_DIRECTORY);
    for (char *p = part; dir >= 0 && *p != '\0';) {
        char *slash = p, *name = p + strspn(p, "/");
        char *end = name + strcspn(name, "/");
        char keep = *end;
        *end = '\0';
        int next =
            *name == '\0' ? take_fd(&dir) : make_part(rootfd, dir, part, name);
        if (next == DANGLING && ++links < LINKS_MAX) {
            *slash = '\0';
            if (follow(dir, part, name, keep != '\0' ? end + 1 : "", other, e))
                return -1;
            /* From the start: what the link names is not there either. */
            (void)snprintf(part, sizeof(part), "%s", other);
            next = rootfs_in_root(rootfd, "/", O_PATH | O_DIRECTORY);
            keep = part[0];
            end = part;
        }
        if (next < 0)
            return err_sys(e, next == DANGLING ? ELOOP : errno,
                           "open %s in the container", path);
        scope_close(&dir);
        dir = next;
        *end = keep;
        p = end;
    }
    return dir >= 0 ? take_fd(&dir)
                    : err_sys(e, errno, "open %s in the container", path);
}

int rootfs_make_file(int rootfd, const char *path, struct err *e)
{
    int fd = rootfs_in_root(rootfd, path, O_PATH);
    if (fd >= 0)
        return fd;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    char up[PATH_MAX];
    (void)snprintf(up, sizeof(up), "%.*s", (int)(name - path), path);
    scoped_fd dir = rootfs_make_dir(rootfd, up, e);
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

int rootfs_mount_at(int rootfd, const char *path, int mount_fd, struct err *e)
{
    if (mount_fd < 0)
        return -1;
    scoped_fd target = fixed_dir(rootfd, path, e);
    return target < 0 ? -1 : rootfs_attach(mount_fd, target, path, e);
}
