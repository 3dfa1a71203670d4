/*
 * save: images as an archive.  One tar is an OCI layout and has docker's
 * manifest.json beside it, so that everybody's load takes it; the bytes of
 * manifest, config and layers are those of the store, hence the digests too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/archive/save.h"
#include "client/cli/cli.h"
#include "client/image_cmd/image_cmd.h"

enum format { FORMAT_OCI, FORMAT_OCI_DIR, FORMAT_DOCKER };

struct job {
    struct save save;
    enum format format;
};

static int write_to(struct job *j, int fd, struct err *e)
{
    bool is_dir = j->format == FORMAT_OCI_DIR;
    struct layout *l;
    if ((is_dir ? layout_to_dir(fd, &l, e) : layout_to_tar(fd, &l, e)) != 0)
        return -1;
    int rc = j->format == FORMAT_DOCKER ? save_docker(&j->save, l, e)
                                        : save_oci(&j->save, l, is_dir, e);
    layout_free(l);
    return rc;
}

static int write_dir(struct job *j, const char *path, struct err *e)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return err_sys(e, errno, "make folder %.150s", path);
    scoped_fd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int copy =
        fd >= 0 ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    if (d == NULL) {
        scope_close(&copy);
        return err_sys(e, errno, "open folder %.150s", path);
    }
    bool is_empty = true;
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            is_empty = false;
    }
    (void)closedir(d);
    if (!is_empty)
        return err_set(e, ERR_EXISTS, "the folder %.150s is not empty", path);
    return write_to(j, fd, e);
}

/*
 * A file beside path that has no name yet, so that a killed save leaves none;
 * called `part` where the file system knows no such thing.
 */
static int open_part(const char *path, const char *part, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX] = ".";
    if (slash != NULL)
        (void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path);
    int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : err_sys(e, errno, "make %.150s", part);
}

static int give_name(int fd, const char *part, const char *path, struct err *e)
{
    struct stat st;
    char link[64];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (fdatasync(fd) != 0 || fstat(fd, &st) != 0)
        return err_sys(e, errno, "sync %.150s", part);
    if (st.st_nlink == 0 &&
        linkat(AT_FDCWD, link, AT_FDCWD, part, AT_SYMLINK_FOLLOW) != 0)
        return err_sys(e, errno, "make %.150s", part);
    return rename(part, path) == 0 ? 0 : err_sys(e, errno, "make %.150s", path);
}

/* A file has its name only when it is whole. */
static int write_file(struct job *j, const char *path, struct err *e)
{
    struct stat st;
    char part[PATH_MAX];
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        scoped_fd fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd >= 0 ? write_to(j, fd, e)
                       : err_sys(e, errno, "open %.150s", path);
    }
    int n = snprintf(part, sizeof(part), "%s.part-%d", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(part))
        return err_set(e, ERR_TOO_LARGE, "the name of the file is too long");
    scoped_fd fd = open_part(path, part, e);
    if (fd < 0)
        return -1;
    int rc = write_to(j, fd, e);
    if (rc == 0)
        rc = give_name(fd, part, path, e);
    if (rc != 0)
        (void)unlink(part);
    return rc;
}

static int save(struct job *j, const char *path, char **names, int n,
                struct err *e)
{
    struct save *s = &j->save;
    if (istore_open(NULL, &s->store, e) != 0)
        return -1;
    int rc = istore_scratch_new(s->store, &s->sc, e);
    if (rc == 0)
        rc = save_collect(s, names, n, e);
    if (rc == 0 && j->format == FORMAT_OCI_DIR)
        rc = write_dir(j, path, e);
    else if (rc == 0)
        rc = path != NULL ? write_file(j, path, e)
                          : write_to(j, STDOUT_FILENO, e);
    save_free(s);
    istore_scratch_free(s->sc);
    istore_close(s->store);
    return rc == 0 ? 0 : err_prefix(e, "save");
}

static int check_flags(const char *path, const char *format, enum format *out,
                       struct err *e)
{
    static const char *const names[] = {[FORMAT_OCI] = "oci-archive",
                                        [FORMAT_OCI_DIR] = "oci-dir",
                                        [FORMAT_DOCKER] = "docker-archive"};
    size_t i = 0;
    while (i < array_len(names) && strcmp(format, names[i]) != 0)
        i++;
    if (i == array_len(names))
        return err_set(e, ERR_UNSUPPORTED,
                       "--format knows oci-archive, oci-dir and "
                       "docker-archive, not \"%.60s\"",
                       format);
    *out = (enum format)i;
    if (*out == FORMAT_OCI_DIR && path == NULL)
        return err_set(e, ERR_INVALID, "--format oci-dir needs -o FOLDER");
    if (path == NULL && isatty(STDOUT_FILENO) == 1)
        return err_set(e, ERR_INVALID,
                       "an archive is nothing for a terminal: give -o FILE, "
                       "or send stdout to a file or pipe");
    return 0;
}

int cmd_save(int argc, char **argv)
{
    struct job j = {.save = {.store = NULL}};
    const char *path = NULL, *format = "oci-archive";
    const struct cli_flag flags[] = {
        {"format", 0, CLI_STR, &format, "FORMAT",
         "oci-archive (default), oci-dir or docker-archive"},
        {"output", 'o', CLI_STR, &path, "FILE",
         "Write there instead of to stdout"},
    };
    const struct cli_verb v = {
        .name = "save",
        .synopsis = "[OPTIONS] IMAGE [IMAGE...]",
        .help = "Write images to an archive: a tar that berth, docker, podman, "
                "skopeo and\ncontainerd load, with the digests that the "
                "images have here. A docker-archive\nkeeps only the ids; its "
                "layers are plain, for a docker that knows no zstd.",
        .flags = flags,
        .n_flags = array_len(flags),
        .min_args = 1,
        .max_args = -1};
    struct err e = {.msg = "out of memory"};
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    if (check_flags(path, format, &j.format, &e) != 0 ||
        save(&j, path, args, n, &e) != 0)
        return cli_fail(1, &e);
    return 0;
}
