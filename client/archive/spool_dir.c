/* An OCI layout in a folder: its files are copied, so that none changes later.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/archive/spool_int.h"

static int copy_fd(struct spool_writer *w, int fd, struct err *e)
{
    scoped_free char *buf = malloc(SPOOL_COPY_BYTES);
    if (buf == NULL)
        return err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    for (;;) {
        ssize_t n = read(fd, buf, SPOOL_COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, errno, "read");
        if (n == 0)
            return 0;
        if ((uint64_t)n > SPOOL_MAX_BYTES - w->size)
            return err_set(e, ERR_TOO_LARGE, "over %llu bytes",
                           SPOOL_MAX_BYTES);
        if (spool_writer_put(w, buf, (size_t)n, e) != 0)
            return -1;
    }
}

/* The file `leaf` of a folder as the archive's file `name`. */
static int take_file(struct spool *sp, int dir, const char *leaf,
                     const char *name, struct err *e)
{
    struct spool_writer w;
    struct stat st;
    /* Without O_NONBLOCK a pipe would wait for its writer. */
    scoped_fd fd =
        openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(e, errno, "open %.100s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INVALID, "\"%.100s\" is no file", name);
    const struct spool_entry *x = spool_add(sp, name, NULL, e);
    scoped_fd folder = openat(istore_scratch_dirfd(sp->sc), SPOOL_FOLDER,
                              O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (x == NULL || spool_writer_open(&w, folder, x, e) != 0)
        return -1;
    int rc = copy_fd(&w, fd, e);
    scope_close(&w.fd);
    return rc == 0 ? 0 : err_prefix(e, "%.100s", name);
}

static int take_blobs(struct spool *sp, int dir, struct err *e)
{
    int rc = 0;
    int fd = openat(dir, "blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        scope_close(&fd);
        return err_sys(e, errno, "open blobs/sha256");
    }
    for (struct dirent *de; rc == 0 && (de = readdir(d)) != NULL;) {
        char name[PATH_MAX];
        if (de->d_name[0] == '.')
            continue;
        (void)snprintf(name, sizeof(name), "blobs/sha256/%s", de->d_name);
        rc = take_file(sp, fd, de->d_name, name, e);
    }
    (void)closedir(d);
    return rc;
}

int spool_read_dir(struct istore_scratch *sc, int dir, struct spool **out,
                   struct err *e)
{
    static const char *const files[] = {"oci-layout", "index.json"};
    struct spool *sp = spool_new(sc, e);
    int rc = sp == NULL ? -1 : 0;
    for (size_t i = 0; i < array_len(files) && rc == 0; i++)
        rc = take_file(sp, dir, files[i], files[i], e);
    if (rc == 0)
        rc = take_blobs(sp, dir, e);
    if (rc == 0)
        rc = spool_settle(sp, e);
    if (rc != 0) {
        spool_free(sp);
        return -1;
    }
    *out = sp;
    return 0;
}
