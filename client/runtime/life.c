/* Life signs and the clean-up after the dead; see life.h. */
#include "client/runtime/life.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/num.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/container_state.h"

#define TAKE_TRIES  100
#define NEW_WAIT_MS 10000
#define NEW_POLL_MS 1

static bool is_id(const char *text)
{
    unsigned char raw[32];
    return num_unhex(slice_of(text), raw, sizeof(raw));
}

/* Is what fd holds still the file of that name? */
static bool is_same(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/*
 * Lock RUN/<id>/lock; the folder must exist.  A lock that was removed while
 * we waited for it is none: ERR_NOT_FOUND, as for an absent folder.
 */
static int lock_folder(const char *id, struct err *e)
{
    char dir[PATH_MAX], path[PATH_MAX + 8];
    ct_run_dir(id, dir);
    (void)snprintf(path, sizeof(path), "%s/lock", dir);
    scoped_fd fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? err_set(e, ERR_BUSY,
                             "container %.12s is in the hands of another "
                             "process",
                             id)
                   : err_sys(e, errno, "lock %s", path);
    if (!is_same(fd, path))
        return err_sys(e, ENOENT, "lock %s", path);
    return take_fd(&fd);
}

/* The folder of all run folders, ours alone. */
static int make_top(struct err *e)
{
    char top[PATH_MAX];
    ct_run_dir("", top);
    if (io_mkdir_all(top, 0700, e) != 0)
        return -1;
    scoped_fd fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open %s", top);
    return io_close_dir(fd, top, e);
}

int life_take(struct istore *s, const char *id, struct err *e)
{
    char dir[PATH_MAX];
    const char *root = istore_path(s);
    ct_run_dir(id, dir);
    if (make_top(e) != 0)
        return -1;
    for (int i = 0; i < TAKE_TRIES; i++) {
        struct err mine;
        if (io_mkdir_all(dir, 0700, e) != 0)
            return -1;
        scoped_fd fd = lock_folder(id, &mine);
        if (fd < 0 && mine.sys == ENOENT)
            continue;
        if (fd < 0) {
            *e = mine;
            return -1;
        }
        if (ftruncate(fd, 0) != 0 || io_write_all(fd, root, strlen(root), 0, e))
            return err_prefix(e, "%s/lock", dir);
        return take_fd(&fd);
    }
    return err_set(e, ERR_BUSY, "%s comes and goes", dir);
}

int life_take_new(struct istore *s, const char *id, struct err *e)
{
    int fd;
    for (int waited_ms = 0; (fd = life_take(s, id, e)) < 0 &&
                            e->code == ERR_BUSY && waited_ms < NEW_WAIT_MS;
         waited_ms += NEW_POLL_MS)
        (void)poll(NULL, 0, NEW_POLL_MS);
    return fd;
}

void life_end(const char *id)
{
    char dir[PATH_MAX];
    ct_run_dir(id, dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        scope_close(&fd);
        return;
    }
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (de->d_name[0] != '.' && strcmp(de->d_name, "lock") != 0)
            (void)unlinkat(fd, de->d_name, 0);
    }
    /* Last: who opens it now makes a new one, and then the folder stays. */
    (void)unlinkat(fd, "lock", 0);
    (void)closedir(d);
    (void)rmdir(dir);
}

/* Is the container of this lock ours, or of a store that is gone? */
static bool is_ours(struct istore *s, int lock)
{
    char root[PATH_MAX];
    ssize_t n = pread(lock, root, sizeof(root) - 1, 0);
    root[n > 0 ? n : 0] = '\0';
    return strcmp(root, istore_path(s)) == 0 || access(root, F_OK) != 0;
}

/* One that has no keeper; the caller became it. */
static void clean_one(struct istore *s, const char *id)
{
    struct err ignored;
    struct cg_layout l;
    struct ct_state st;
    ct_state(s, id, &st);
    if (st.status == CT_RUNNING)
        return;
    if (cg_detect_self(&l, &ignored) == 0) {
        cg_kill(&l, id);
        cg_remove(&l, id);
    }
    json_t *record = istore_container_read(s, id, &ignored);
    bool is_gone = record == NULL && ignored.code == ERR_NOT_FOUND;
    if (is_gone || json_is_true(json_object_get(record, "rm")))
        (void)!istore_container_remove(s, id, &ignored);
    json_decref(record);
    life_end(id);
}

static void clean_run_folders(struct istore *s)
{
    char root[PATH_MAX];
    struct err ignored;
    ct_run_dir("", root);
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        scope_close(&fd);
        return;
    }
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        scoped_fd lock =
            is_id(de->d_name) ? lock_folder(de->d_name, &ignored) : -1;
        if (lock >= 0 && is_ours(s, lock))
            clean_one(s, de->d_name);
    }
    (void)closedir(d);
}

/* Containers of --rm whose run folder went with the machine. */
static void clean_records(struct istore *s)
{
    struct err ignored;
    char(*ids)[ISTORE_HEX];
    size_t n;
    if (istore_container_list(s, &ids, &n, &ignored) != 0)
        return;
    for (size_t i = 0; i < n; i++) {
        json_t *record = istore_container_read(s, ids[i], &ignored);
        bool is_rm = record == NULL
                         ? ignored.code == ERR_NOT_FOUND
                         : json_is_true(json_object_get(record, "rm"));
        json_decref(record);
        scoped_fd lock = is_rm ? life_take(s, ids[i], &ignored) : -1;
        if (lock >= 0)
            clean_one(s, ids[i]);
    }
    free(ids);
}

void life_clean(struct istore *s)
{
    char boot[64], was[64];
    clean_run_folders(s);
    ct_boot_id(boot);
    /* No sync: an old or torn text only costs one more look. */
    scoped_fd fd = openat(istore_dirfd(s), "boot",
                          O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : pread(fd, was, sizeof(was) - 1, 0);
    if (n < 0)
        return;
    was[n] = '\0';
    if (strcmp(boot, was) == 0)
        return;
    clean_records(s);
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, boot, strlen(boot), 0);
}
