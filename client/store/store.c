#include "client/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "client/store/store_int.h"

#define FORMAT       1
#define LOCK_POLL_NS 20000000L

bool istore_is_hex(const char *text)
{
    unsigned char raw[32];
    return num_unhex(slice_of(text), raw, sizeof(raw));
}

/* ---- open ----------------------------------------------------------------*/

static int default_root(char *out, size_t size, struct err *e)
{
    const char *root = getenv("BERTH_ROOT");
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    int n;
    if (root != NULL && root[0] != '\0')
        n = snprintf(out, size, "%s", root);
    else if (geteuid() == 0)
        n = snprintf(out, size, "/var/lib/berth");
    else if (xdg != NULL && xdg[0] == '/')
        n = snprintf(out, size, "%s/berth", xdg);
    else if (home != NULL && home[0] == '/')
        n = snprintf(out, size, "%s/.local/share/berth", home);
    else
        return err_set(e, ERR_INVALID,
                       "no place for images: set HOME or BERTH_ROOT");
    if (n < 0 || (size_t)n >= size)
        return err_set(e, ERR_TOO_LARGE, "the store's path is too long");
    return 0;
}

/* `format` is written last: where it is, the folders are. */
static int prepare(struct istore *s, struct err *e)
{
    static const char *const folders[] = {"blobs", "blobs/sha256", "layers",
                                          "refs",  "containers",   "scratch",
                                          "trash"};
    scoped_free char *text = NULL;
    size_t len;
    struct err quiet;
    uint64_t version;
    if (io_read_file(s->dir, "format", 64, &text, &len, &quiet) == 0) {
        if (len > 0 && text[len - 1] == '\n')
            text[len - 1] = '\0';
        if (!num_parse_u64(slice_of(text), UINT32_MAX, &version) ||
            version > FORMAT)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s is of store format \"%.20s\", this berth knows "
                           "%d: use a newer berth",
                           s->path, text, FORMAT);
        return 0;
    }
    if (quiet.code != ERR_NOT_FOUND) {
        *e = quiet;
        return err_prefix(e, "%s", s->path);
    }
    /* Under the lock, as the sweep takes temporary files of dead writers. */
    scoped_fd held = istore_lock_shared(s, e);
    if (held < 0)
        return -1;
    for (size_t i = 0; i < array_len(folders); i++) {
        if (io_mkdir(s->dir, folders[i], 0700, e) != 0)
            return err_prefix(e, "%s", s->path);
    }
    return io_replace_file(s->dir, "format", "1\n", 2, 0600, e);
}

int istore_open(const char *root, struct istore **out, struct err *e)
{
    char wanted[PATH_MAX - 256];
    int n = 0;
    if (root == NULL && default_root(wanted, sizeof(wanted), e) != 0)
        return -1;
    if (root != NULL)
        n = snprintf(wanted, sizeof(wanted), "%s", root);
    if (n < 0 || (size_t)n >= sizeof(wanted))
        return err_set(e, ERR_TOO_LARGE, "the store's path is too long");
    if (io_mkdir_all(wanted, 0700, e) != 0)
        return err_prefix(e, "image store %s", wanted);
    scoped_free char *real = realpath(wanted, NULL);
    if (real == NULL || strlen(real) >= sizeof(wanted))
        return err_sys(e, errno, "image store %s", wanted);
    struct istore *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return err_set(e, ERR_NO_MEMORY, "open the store: out of memory");
    memcpy(s->path, real, strlen(real) + 1);
    s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0) {
        (void)err_sys(e, errno, "open image store %s", s->path);
        istore_close(s);
        return -1;
    }
    if (io_close_dir(s->dir, s->path, e) != 0 || prepare(s, e) != 0) {
        istore_close(s);
        return -1;
    }
    *out = s;
    return 0;
}

void istore_close(struct istore *s)
{
    if (s == NULL)
        return;
    if (s->dir >= 0)
        (void)close(s->dir);
    free(s);
}

int istore_dirfd(const struct istore *s)
{
    return s->dir;
}

const char *istore_path(const struct istore *s)
{
    return s->path;
}

/* ---- the lock ------------------------------------------------------------*/

static int open_lock(struct istore *s, struct err *e)
{
    int fd = openat(s->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : err_sys(e, errno, "open %s/lock", s->path);
}

int istore_lock_shared(struct istore *s, struct err *e)
{
    scoped_fd fd = open_lock(s, e);
    if (fd < 0)
        return -1;
    while (flock(fd, LOCK_SH) != 0) {
        if (errno != EINTR)
            return err_sys(e, errno, "lock %s", s->path);
    }
    return take_fd(&fd);
}

int istore_lock_exclusive(struct istore *s, unsigned wait_ms, struct err *e)
{
    const struct timespec pause = {.tv_nsec = LOCK_POLL_NS};
    scoped_fd fd = open_lock(s, e);
    if (fd < 0)
        return -1;
    for (unsigned waited = 0;; waited += LOCK_POLL_NS / 1000000) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return take_fd(&fd);
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(e, errno, "lock %s", s->path);
        if (waited >= wait_ms)
            return err_set(e, ERR_BUSY, "%s is in use", s->path);
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- JSON files ----------------------------------------------------------*/

json_t *istore_read_json(int dirfd, const char *path, struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    if (io_read_file(dirfd, path, ISTORE_JSON_MAX, &text, &len, e) != 0)
        return NULL;
    json_t *o = json_load_object(text, len, e);
    if (o == NULL)
        (void)err_prefix(e, "%s", path);
    return o;
}

int istore_write_json(int dirfd, const char *path, const json_t *o,
                      struct err *e)
{
    scoped_free char *text = json_dumps(o, JSON_COMPACT);
    if (text == NULL)
        return err_set(e, ERR_INVALID, "cannot write %s as JSON", path);
    return io_replace_file(dirfd, path, text, strlen(text), 0600, e);
}
