/* This program out of the reach of containers; see start.h. */
#include "client/runtime/start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/runtime/init.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* The folder of this program, which the copy will not know. */
static void keep_folder(void)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    (void)setenv("BERTH_EXE_DIR", self, 1);
}

/* A mount of the program alone, read-only and in nobody's tree. */
static int bind_self(int self)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    scoped_fd fd = (int)syscall(SYS_open_tree, self, "",
                                AT_EMPTY_PATH | OPEN_TREE_CLONE |
                                    (unsigned)OPEN_TREE_CLOEXEC);
    if (fd < 0 ||
        syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &a, sizeof(a)) != 0)
        return -1;
    return take_fd(&fd);
}

/* Where mounts are not ours to make: a copy in memory, sealed. */
static int copy_self(int self, off_t size, struct err *e)
{
    scoped_fd mem = memfd_create("berth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (mem < 0)
        return err_sys(e, errno, "make a sealed copy of this program");
    for (off_t left = size; left > 0;) {
        ssize_t got = sendfile(mem, self, NULL, (size_t)left);
        if (got <= 0)
            return err_sys(e, errno, "copy this program");
        left -= got;
    }
    if (fcntl(mem, F_ADD_SEALS, SEALS) != 0)
        return err_sys(e, errno, "seal the copy of this program");
    return take_fd(&mem);
}

int rt_seal_self(char **argv, struct err *e)
{
    struct stat st;
    struct statvfs fs;
    init_keep_words(argv);
    scoped_fd self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (self < 0 || fstat(self, &st) != 0 || fstatvfs(self, &fs) != 0)
        return err_sys(e, errno, "open /proc/self/exe");
    int have = fcntl(self, F_GET_SEALS);
    if ((fs.f_flag & ST_RDONLY) != 0 || (have >= 0 && (have & SEALS) == SEALS))
        return 0;
    keep_folder();
    bool wants_copy = getenv("BERTH_SEAL_COPY") != NULL; /* for tests */
    scoped_fd exe = wants_copy ? -1 : bind_self(self);
    if (exe < 0)
        exe = copy_self(self, st.st_size, e);
    if (exe < 0)
        return -1;
    (void)fexecve(exe, argv, environ);
    return err_sys(e, errno, "execute this program once more");
}
