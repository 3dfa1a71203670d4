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

void istore_random_name(char out[17])
{
    unsigned char raw[8];
    io_random(raw, sizeof(raw));
    num_hex(raw, sizeof(raw), out);
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

static int digest_open(struct istore *s, const char *hex, struct err *e)
{
    char path[ISTORE_FILE_MAX];
    if (!istore_is_hex(hex))
        return err_set(e, ERR_INVALID, "no digest: %.80s", hex);
    if (io_mkdir(s->dir, "busy", 0700, e) != 0)
        return -1;
    /* 256 lock files for all digests: they are never removed, since a
     * removal would race with the next opener. */
    (void)snprintf(path, sizeof(path), "busy/%.2s", hex);
    int fd = openat(s->dir, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : err_sys(e, errno, "open %s/%s", s->path, path);
}

int istore_digest_lock(struct istore *s, const char *hex, struct err *e)
{
    scoped_fd fd = digest_open(s, hex, e);
    if (fd < 0)
        return -1;
    while (flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR)
            return err_sys(e, errno, "lock busy/%.2s", hex);
    }
    return take_fd(&fd);
}

int istore_digest_try(struct istore *s, const char *hex, struct err *e)
{
    scoped_fd fd = digest_open(s, hex, e);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return take_fd(&fd);
    return errno == EWOULDBLOCK || errno == EINTR
               ? err_set(e, ERR_BUSY, "another command is at %.12s", hex)
               : err_sys(e, errno, "lock busy/%.2s", hex);
}

/* ---- scratch and pins ----------------------------------------------------*/

static int scratch_make(struct istore_scratch *sc, struct err *e)
{
    struct istore *s = sc->store;
    char rel[ISTORE_FILE_MAX];
    (void)snprintf(rel, sizeof(rel), "scratch/%s", sc->name);
    (void)snprintf(sc->path, sizeof(sc->path), "%s/%s", s->path, rel);
    scoped_fd held = istore_lock_shared(s, e);
    if (held < 0)
        return -1;
    if (mkdirat(s->dir, rel, 0700) != 0)
        return err_sys(e, errno, "make %s", sc->path);
    sc->dir = openat(s->dir, rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sc->dir < 0)
        return err_sys(e, errno, "open %s", sc->path);
    sc->lock =
        openat(sc->dir, "lock", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (sc->lock < 0 || flock(sc->lock, LOCK_EX | LOCK_NB) != 0)
        return err_sys(e, errno, "lock %s", sc->path);
    return 0;
}

int istore_scratch_new(struct istore *s, struct istore_scratch **out,
                       struct err *e)
{
    struct istore_scratch *sc = calloc(1, sizeof(*sc));
    if (sc == NULL)
        return err_set(e, ERR_NO_MEMORY, "scratch folder: out of memory");
    sc->store = s;
    sc->dir = sc->lock = -1;
    istore_random_name(sc->name);
    if (scratch_make(sc, e) != 0) {
        istore_scratch_free(sc);
        return -1;
    }
    *out = sc;
    return 0;
}

void istore_scratch_free(struct istore_scratch *sc)
{
    char rel[ISTORE_FILE_MAX], trash[ISTORE_FILE_MAX];
    struct err quiet;
    if (sc == NULL)
        return;
    (void)snprintf(rel, sizeof(rel), "scratch/%s", sc->name);
    (void)snprintf(trash, sizeof(trash), "trash/%s", sc->name);
    scoped_fd held = istore_lock_shared(sc->store, &quiet);
    bool moved = renameat(sc->store->dir, rel, sc->store->dir, trash) == 0;
    scope_close(&held);
    held = -1;
    if (moved)
        istore_remove_tree(sc->store->dir, trash);
    scope_close(&sc->dir);
    scope_close(&sc->lock);
    free(sc->pins);
    free(sc);
}

int istore_scratch_dirfd(const struct istore_scratch *sc)
{
    return sc->dir;
}

const char *istore_scratch_path(const struct istore_scratch *sc)
{
    return sc->path;
}

struct istore *istore_scratch_store(const struct istore_scratch *sc)
{
    return sc->store;
}

int istore_scratch_pin(struct istore_scratch *sc, const char (*hex)[ISTORE_HEX],
                       size_t n, struct err *e)
{
    char *text = realloc(sc->pins, sc->pins_len + n * ISTORE_HEX + 1);
    if (text == NULL)
        return err_set(e, ERR_NO_MEMORY, "pins: out of memory");
    sc->pins = text;
    for (size_t i = 0; i < n; i++) {
        if (!istore_is_hex(hex[i]))
            return err_set(e, ERR_INVALID, "no digest to pin");
        memcpy(text + sc->pins_len, hex[i], ISTORE_HEX - 1);
        text[sc->pins_len + ISTORE_HEX - 1] = '\n';
        sc->pins_len += ISTORE_HEX;
    }
    scoped_fd held = istore_lock_shared(sc->store, e);
    if (held < 0)
        return -1;
    /* No sync: pins matter only while this process lives. */
    scoped_fd fd = openat(sc->dir, "pins.new",
                          O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "write %s/pins", sc->path);
    if (io_write_all(fd, text, sc->pins_len, -1, e) != 0)
        return err_prefix(e, "%s/pins", sc->path);
    if (renameat(sc->dir, "pins.new", sc->dir, "pins") != 0)
        return err_sys(e, errno, "write %s/pins", sc->path);
    return 0;
}

/* ---- objects -------------------------------------------------------------*/

static void blob_path(const char *hex, char out[ISTORE_FILE_MAX])
{
    (void)snprintf(out, ISTORE_FILE_MAX, "blobs/sha256/%.2s/%.64s", hex, hex);
}

static bool is_there(struct istore *s, const char *rel)
{
    struct stat st;
    return fstatat(s->dir, rel, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool istore_has_blob(struct istore *s, const char *hex)
{
    char rel[ISTORE_FILE_MAX];
    if (!istore_is_hex(hex))
        return false;
    blob_path(hex, rel);
    return is_there(s, rel);
}

bool istore_has_layer(struct istore *s, const char *chain)
{
    char rel[ISTORE_FILE_MAX];
    if (!istore_is_hex(chain))
        return false;
    (void)snprintf(rel, sizeof(rel), "layers/%.64s", chain);
    return is_there(s, rel);
}

int istore_blob_open(struct istore *s, const char *hex, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    if (!istore_is_hex(hex))
        return err_set(e, ERR_INVALID, "no digest: %.80s", hex);
    blob_path(hex, rel);
    int fd = openat(s->dir, rel, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 ? fd : err_sys(e, errno, "open blob sha256:%s", hex);
}

int istore_blob_read(struct istore *s, const char *hex, size_t max, char **out,
                     size_t *len, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    if (!istore_is_hex(hex))
        return err_set(e, ERR_INVALID, "no digest: %.80s", hex);
    blob_path(hex, rel);
    if (io_read_file(s->dir, rel, max, out, len, e) != 0)
        return err_prefix(e, "blob sha256:%.12s", hex);
    return 0;
}

/* Rename one's own object to its final name; somebody else's may be there. */
static int settle(struct istore_scratch *sc, const char *from, const char *to,
                  const char *folder, struct err *e)
{
    struct istore *s = sc->store;
    if (renameat2(sc->dir, from, s->dir, to, RENAME_NOREPLACE) != 0 &&
        errno != EEXIST)
        return err_sys(e, errno, "rename to %s/%s", s->path, to);
    scoped_fd dir = openat(s->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_sys(e, errno, "open %s/%s", s->path, folder);
    return io_sync_dir(dir, e);
}

int istore_blob_add(struct istore_scratch *sc, const char *file,
                    const char *hex, struct err *e)
{
    char rel[ISTORE_FILE_MAX], shard[ISTORE_FILE_MAX];
    struct istore *s = sc->store;
    if (!istore_is_hex(hex))
        return err_set(e, ERR_INVALID, "no digest: %.80s", hex);
    (void)snprintf(shard, sizeof(shard), "blobs/sha256/%.2s", hex);
    blob_path(hex, rel);
    if (io_mkdir(s->dir, shard, 0700, e) != 0)
        return -1;
    return settle(sc, file, rel, shard, e);
}

int istore_layer_add(struct istore_scratch *sc, const char *folder,
                     const char *chain, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    if (!istore_is_hex(chain))
        return err_set(e, ERR_INVALID, "no chain id: %.80s", chain);
    (void)snprintf(rel, sizeof(rel), "layers/%.64s", chain);
    return settle(sc, folder, rel, "layers", e);
}

int istore_layer_path(struct istore *s, const char *chain, char out[PATH_MAX],
                      struct err *e)
{
    if (!istore_is_hex(chain))
        return err_set(e, ERR_INVALID, "no chain id: %.80s", chain);
    (void)snprintf(out, PATH_MAX, "%s/layers/%.64s/fs", s->path, chain);
    return 0;
}

uint64_t istore_layer_meta(struct istore *s, const char *chain, const char *key)
{
    char rel[ISTORE_FILE_MAX];
    struct err quiet;
    if (!istore_is_hex(chain))
        return 0;
    (void)snprintf(rel, sizeof(rel), "layers/%.64s/meta.json", chain);
    json_t *meta = istore_read_json(s->dir, rel, &quiet);
    if (meta == NULL)
        return 0;
    json_int_t n = json_integer_value(json_object_get(meta, key));
    json_decref(meta);
    return n > 0 ? (uint64_t)n : 0;
}

uint64_t istore_layer_size(struct istore *s, const char *chain)
{
    return istore_layer_meta(s, chain, "size");
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
