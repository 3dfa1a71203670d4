#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"

#define REMOVE_DEPTH_MAX 64

int io_write_all(int fd, const void *data, size_t len, off_t off, struct err *e)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = off < 0 ? write(fd, p, len) : pwrite(fd, p, len, off);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return err_sys(e, errno, "write");
        }
        p += n;
        len -= (size_t)n;
        if (off >= 0)
            off += n;
    }
    return 0;
}

int io_read_exact(int fd, void *data, size_t len, off_t off, struct err *e)
{
    char *p = data;

    while (len > 0) {
        ssize_t n = pread(fd, p, len, off);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return err_sys(e, errno, "read");
        }
        if (n == 0)
            return err_set(e, ERR_RANGE, "file ends early");
        p += n;
        len -= (size_t)n;
        off += n;
    }
    return 0;
}

int io_read_file(int dirfd, const char *path, size_t max, char **out,
                 size_t *len, struct err *e)
{
    scoped_fd fd = openat(
        dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    scoped_free char *buf = NULL;
    struct stat st;
    size_t cap, got = 0;

    if (fd < 0)
        return err_sys(e, errno, "open %s", path);
    if (fstat(fd, &st) < 0)
        return err_sys(e, errno, "stat %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INVALID, "%s is no regular file", path);
    if ((uint64_t)st.st_size > max)
        return err_set(e, ERR_TOO_LARGE, "%s is over %zu bytes", path, max);
    /* st_size is a hint only: files under /proc and /sys say 0. */
    cap = st.st_size > 0 ? (size_t)st.st_size + 1 : 4096;
    buf = malloc(cap + 1);
    if (!buf)
        return err_set(e, ERR_NO_MEMORY, "read %s: out of memory", path);
    for (;;) {
        ssize_t n = read(fd, buf + got, cap - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, errno, "read %s", path);
        if (n == 0)
            break;
        got += (size_t)n;
        if (got > max)
            return err_set(e, ERR_TOO_LARGE, "%s is over %zu bytes", path, max);
        if (got == cap) {
            char *more = realloc(buf, cap * 2 + 1);

            if (!more)
                return err_set(e, ERR_NO_MEMORY, "read %s: out of memory",
                               path);
            buf = more;
            cap *= 2;
        }
    }
    buf[got] = '\0';
    *len = got;
    *out = take_ptr(buf);
    return 0;
}

/* Make a sibling temporary name "<path>.tmp-<random hex>". */
static int temp_name(const char *path, char *out, size_t size, struct err *e)
{
    char hex[17];
    int n;

    io_random_hex(hex, 8);
    n = snprintf(out, size, "%s.tmp-%s", path, hex);
    if (n < 0 || (size_t)n >= size)
        return err_set(e, ERR_TOO_LARGE, "path is too long: %.100s", path);
    return 0;
}

/* fsync the directory that holds path. */
static int sync_parent(int dirfd, const char *path, struct err *e)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    scoped_fd fd = -1;

    if (!slash)
        snprintf(dir, sizeof(dir), ".");
    else
        snprintf(dir, sizeof(dir), "%.*s", n ? (int)n : 1, path);
    fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open folder %s", dir);
    return io_sync_dir(fd, e);
}

int io_replace_file(int dirfd, const char *path, const void *data, size_t len,
                    mode_t mode, struct err *e)
{
    char tmp[PATH_MAX];
    scoped_fd fd = -1;
    int rc;

    if (temp_name(path, tmp, sizeof(tmp), e) < 0)
        return -1;
    fd = openat(dirfd, tmp,
                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_sys(e, errno, "create %s", tmp);
    rc = io_write_all(fd, data, len, -1, e);
    if (rc == 0 && fdatasync(fd) < 0)
        rc = err_sys(e, errno, "sync %s", tmp);
    if (rc == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
        rc = err_sys(e, errno, "rename %s", path);
    if (rc < 0) {
        unlinkat(dirfd, tmp, 0);
        return -1;
    }
    return sync_parent(dirfd, path, e);
}

int io_sync_dir(int dirfd, struct err *e)
{
    return fsync(dirfd) < 0 ? err_sys(e, errno, "sync folder") : 0;
}

int io_mkdir(int dirfd, const char *name, mode_t mode, struct err *e)
{
    struct stat st;

    if (mkdirat(dirfd, name, mode) == 0)
        return 0;
    if (errno != EEXIST)
        return err_sys(e, errno, "create folder %s", name);
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(e, errno, "stat %s", name);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_EXISTS, "%s exists and is no folder", name);
    return 0;
}

int io_close_dir(int dirfd, const char *name, struct err *e)
{
    struct stat st;

    if (fstat(dirfd, &st) < 0)
        return err_sys(e, errno, "stat %s", name);
    if (st.st_uid != geteuid())
        return err_set(e, ERR_DENIED,
                       "%s belongs to another user (%u): chown it, or use "
                       "another folder",
                       name, st.st_uid);
    if ((st.st_mode & 077) != 0 && fchmod(dirfd, 0700) < 0)
        return err_sys(e, errno, "chmod %s", name);
    return 0;
}

int io_mkdir_all(const char *path, mode_t mode, struct err *e)
{
    char part[PATH_MAX];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof(part))
        return err_set(e, ERR_INVALID, "bad path length %zu", n);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return err_sys(e, errno, "create folder %s", part);
        part[i] = path[i];
    }
    return 0;
}

void io_random(void *out, size_t len)
{
    char *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0) {
            berth_assert(errno == EINTR);
            continue;
        }
        p += n;
        len -= (size_t)n;
    }
}

void io_random_hex(char *out, size_t len)
{
    unsigned char raw[32];

    berth_assert(len <= sizeof(raw));
    io_random(raw, len);
    num_hex(raw, len, out);
}

/*
 * Remove one name below dirfd.  Folders deeper than REMOVE_DEPTH_MAX are first
 * moved up to `top`, so that the number of open descriptors is bounded.
 */
static void remove_at(int top, int dirfd, const char *name, int depth)
{
    char up[17];
    if (unlinkat(dirfd, name, 0) == 0 || (errno != EISDIR && errno != EPERM))
        return;
    if (depth >= REMOVE_DEPTH_MAX) {
        io_random_hex(up, 8);
        if (renameat(dirfd, name, top, up) == 0)
            return;
    }
    int fd =
        openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        scope_close(&fd);
        return;
    }
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            remove_at(top, fd, de->d_name, depth + 1);
    }
    (void)closedir(d);
    (void)unlinkat(dirfd, name, AT_REMOVEDIR);
}

void io_remove_tree(int dirfd, const char *name)
{
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (!S_ISDIR(st.st_mode)) {
        (void)unlinkat(dirfd, name, 0);
        return;
    }
    /* Folders moved up by a pass are removed by the next one. */
    for (int pass = 0; pass < 1000; pass++) {
        int top = openat(dirfd, name,
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *d = top >= 0 ? fdopendir(top) : NULL;
        if (d == NULL) {
            scope_close(&top);
            return;
        }
        for (struct dirent *de; (de = readdir(d)) != NULL;) {
            if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
                remove_at(top, top, de->d_name, 0);
        }
        (void)closedir(d);
        if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno != ENOTEMPTY)
            return;
    }
}
