/* Volume copy-up; see copyup.h. */
#include "client/runtime/copyup.h"

#include <dirent.h>
#include <stdbool.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX 128
#define XATTR_BYTES                                          \
    65536 /* what the kernel allows one, and all their names \
           */

static int copy_tree(int from, int to, int depth, struct err *e);

/* Owner first: chown clears the set-uid bits that the mode brings back. */
static int copy_meta(int dir, const char *name, const struct stat *st,
                     struct err *e)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    if (fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(e, errno, "change owner of %s in a volume", name);
    if (!S_ISLNK(st->st_mode) && fchmodat(dir, name, st->st_mode & 07777, 0))
        return err_sys(e, errno, "change mode of %s in a volume", name);
    if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(e, errno, "set times of %s in a volume", name);
    return 0;
}

/* Capabilities of files, and what belongs to nobody but users. */
static bool xattr_is_kept(const char *name)
{
    return strcmp(name, "security.capability") == 0 ||
           (strncmp(name, "user.", 5) == 0 &&
            strncmp(name, "user.overlay.", 13) != 0);
}

/* Last, since a chown takes capabilities away. */
static int copy_xattrs(int from, int to, struct err *e)
{
    static char names[XATTR_BYTES], value[XATTR_BYTES]; /* one thread */
    ssize_t n = flistxattr(from, names, sizeof(names));
    if (n < 0 && errno != ENOTSUP)
        return err_sys(e, errno, "list the xattrs of a volume's file");
    for (const char *x = names; n > 0 && x < names + n; x += strlen(x) + 1) {
        if (!xattr_is_kept(x))
            continue;
        ssize_t len = fgetxattr(from, x, value, sizeof(value));
        if (len < 0 ||
            (fsetxattr(to, x, value, (size_t)len, 0) != 0 && errno != ENOTSUP))
            return err_sys(e, errno, "copy the xattr %.60s into a volume", x);
    }
    return 0;
}

static int copy_xattrs_at(int from, int to, const char *name, struct err *e)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    scoped_fd a = openat(from, name, flags);
    scoped_fd b = openat(to, name, flags);
    return a >= 0 && b >= 0 ? copy_xattrs(a, b, e)
                            : err_sys(e, errno, "open %s of a volume", name);
}

static int copy_file(int from, int to, const char *name, struct err *e)
{
    struct stat st;
    /* Another container may share the folder, and a FIFO would block. */
    scoped_fd in =
        openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    scoped_fd out =
        openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (in >= 0 && (fstat(in, &st) != 0 || !S_ISREG(st.st_mode)))
        return err_set(e, ERR_INVALID, "%s changed while it was copied", name);
    if (in < 0 || out < 0)
        return err_sys(e, errno, "copy %s into a volume", name);
    ssize_t n;
    while ((n = sendfile(out, in, NULL, 1 << 24)) > 0)
        ;
    return n == 0 ? 0 : err_sys(e, errno, "copy %s into a volume", name);
}

static int copy_entry(int from, int to, const char *name, int depth,
                      struct err *e)
{
    struct stat st;
    char link[PATH_MAX];
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(e, errno, "look at %s of the image", name);
    int bad = 0;
    if (S_ISREG(st.st_mode)) {
        if (copy_file(from, to, name, e) != 0)
            return -1;
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(from, name, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = '\0';
        bad = n < 0 || symlinkat(link, to, name) != 0;
    } else if (S_ISDIR(st.st_mode)) {
        scoped_fd a =
            openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        bad = a < 0 || mkdirat(to, name, 0700) != 0;
        scoped_fd b =
            bad ? -1
                : openat(to, name,
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (b >= 0 && copy_tree(a, b, depth + 1, e) != 0)
            return -1;
    } else {
        bad = mknodat(to, name, st.st_mode, st.st_rdev) != 0;
    }
    if (bad)
        return err_sys(e, errno, "copy %s into a volume", name);
    if (copy_meta(to, name, &st, e) != 0)
        return -1;
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)
               ? copy_xattrs_at(from, to, name, e)
               : 0;
}

static int copy_tree(int from, int to, int depth, struct err *e)
{
    if (depth > DEPTH_MAX)
        return err_set(e, ERR_TOO_LARGE, "folders too deep for a volume");
    int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        int saved = errno;
        scope_close(&fd);
        return err_sys(e, saved, "read a folder of the image");
    }
    int rc = 0;
    for (struct dirent *de; rc == 0 && (de = readdir(d)) != NULL;) {
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            rc = copy_entry(from, to, de->d_name, depth, e);
    }
    (void)closedir(d);
    return rc;
}

static bool is_empty(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    size_t n = 0;
    if (d == NULL) {
        scope_close(&copy);
        return false;
    }
    while (n < 3 && readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n <= 2;
}

int copyup_dir(int src_fd, const char *to, struct err *e)
{
    struct stat st;
    scoped_fd from = openat(src_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_fd out = open(to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0 || out < 0 || fstat(from, &st) != 0)
        return err_sys(e, errno, "open a volume");
    if (!is_empty(out))
        return 0;
    if (copy_tree(from, out, 0, e) != 0)
        return -1;
    if (fchown(out, st.st_uid, st.st_gid) != 0 ||
        fchmod(out, st.st_mode & 07777) != 0)
        return err_sys(e, errno, "set owner and mode of a volume");
    return copy_xattrs(from, out, e);
}
