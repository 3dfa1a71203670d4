/* /dev of a container: nodes, links, devpts, shm, the console. */
#include "client/runtime/rootfs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

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
        /* As docker: only with a kernel that has it. */
        if (strcmp(links[i][1], "core") == 0 && access(links[i][0], F_OK) != 0)
            continue;
        if (symlinkat(links[i][0], dev, links[i][1]) != 0)
            return err_sys(e, errno, "make /dev/%s", links[i][1]);
    }
    for (size_t i = 0; i < array_len(dirs); i++) {
        if (mkdirat(dev, dirs[i], 0755) != 0)
            return err_sys(e, errno, "make /dev/%s", dirs[i]);
    }
    return 0;
}

int rootfs_open_pty(const struct rt_spec *s, int pts, int *master, int *slave,
                    struct err *e)
{
    int unlock = 0;
    struct statfs fs;
    const struct winsize ws = {.ws_row = s->tty_rows, .ws_col = s->tty_cols};
    scoped_fd m = openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    /* exec: whoever is root there may have put something else in its place. */
    if (m >= 0 && (fstatfs(m, &fs) != 0 || fs.f_type != DEVPTS_SUPER_MAGIC))
        return err_set(e, ERR_DENIED, "/dev/pts/ptmx is no terminal");
    if (m < 0 || ioctl(m, TIOCSPTLCK, &unlock) != 0)
        return err_sys(e, errno, "open a terminal in the container");
    *slave = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0)
        return err_sys(e, errno, "open the container's side of its terminal");
    if (ws.ws_row > 0 && ioctl(m, TIOCSWINSZ, &ws) != 0) {
        (void)err_sys(e, errno, "set the size of the container's terminal");
        scope_close(slave);
        return -1;
    }
    *master = take_fd(&m);
    return 0;
}

static int console(const struct rt_spec *s, int dev, int pts, int *master,
                   int *slave, struct err *e)
{
    if (rootfs_open_pty(s, pts, master, slave, e) != 0)
        return -1;
    if (mknodat(dev, "console", S_IFREG | 0600, 0) != 0)
        return err_sys(e, errno, "make /dev/console");
    scoped_fd target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    scoped_fd copy = rootfs_clone_tree(*slave, "the terminal", e);
    if (target < 0 || copy < 0)
        return -1;
    return rootfs_attach(copy, target, "/dev/console", e);
}

int rootfs_setup_dev(const struct rt_spec *s, int rootfd, int *master,
                     int *slave, struct err *e)
{
    static const char *const dev_o[][2] = {{"mode", "755"}, {"size", "65536k"}};
    static const char *const pts_o[][2] = {{"newinstance", NULL},
                                           {"ptmxmode", "0666"},
                                           {"mode", "0620"},
                                           {"gid", "5"}};
    static const char *const shm_o[][2] = {{"mode", "1777"},
                                           {"size", "65536k"}};
    scoped_fd dev = rootfs_make_mount(
        "tmpfs", dev_o, 2, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME, e);
    if (dev < 0 || dev_nodes(dev, e) != 0 ||
        rootfs_mount_at(rootfd, "/dev", dev, e) != 0)
        return -1;
    scoped_fd pts = rootfs_make_mount("devpts", pts_o, 4,
                                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e);
    if (rootfs_mount_at(rootfd, "/dev/pts", pts, e) != 0)
        return -1;
    scoped_fd shm = rootfs_make_mount("tmpfs", shm_o, 2, ROOTFS_SAFE, e);
    if (rootfs_mount_at(rootfd, "/dev/shm", shm, e) != 0)
        return -1;
    scoped_fd mq = rootfs_make_mount("mqueue", NULL, 0, ROOTFS_SAFE, e);
    if (rootfs_mount_at(rootfd, "/dev/mqueue", mq, e) != 0)
        return -1;
    return s->is_tty ? console(s, dev, pts, master, slave, e) : 0;
}
