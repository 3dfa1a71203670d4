/* Blobs and layers: they get their names whole, and keep them; rule 4. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "client/store/store_int.h"

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

/* A count; 0 when it does not say. */
static uint64_t number_of(const json_t *meta, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(meta, key));
    return n > 0 ? (uint64_t)n : 0;
}

void istore_layer_read(struct istore *s, const char *chain,
                       struct istore_layer *out)
{
    char rel[ISTORE_FILE_MAX];
    struct err quiet;
    *out = (struct istore_layer){.diff_id = ""};
    if (!istore_is_hex(chain))
        return;
    (void)snprintf(rel, sizeof(rel), "layers/%.64s/meta.json", chain);
    json_t *meta = istore_read_json(s->dir, rel, &quiet);
    const char *diff_id = json_member_string(meta, "diff_id");
    const char *blob = json_member_string(meta, "blob");
    (void)snprintf(out->diff_id, ISTORE_HEX, "%s", diff_id ? diff_id : "");
    (void)snprintf(out->blob, ISTORE_HEX, "%s", blob ? blob : "");
    out->size = number_of(meta, "size");
    out->entries = number_of(meta, "entries");
    json_decref(meta);
}

int istore_layer_write(struct istore_scratch *sc, const char *folder,
                       const struct istore_layer *l, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    (void)snprintf(rel, sizeof(rel), "%.100s/meta.json", folder);
    json_t *meta = json_pack("{s:s, s:s, s:I, s:I}", "diff_id", l->diff_id,
                             "blob", l->blob, "size", (json_int_t)l->size,
                             "entries", (json_int_t)l->entries);
    if (meta == NULL)
        return err_set(e, ERR_NO_MEMORY, "layer: out of memory");
    int rc = istore_write_json(sc->dir, rel, meta, e);
    json_decref(meta);
    return rc;
}

int istore_root_inherit(struct istore *s, const char *chain, int fd,
                        bool with_times, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (istore_layer_path(s, chain, path, e) != 0)
        return -1;
    if (stat(path, &st) != 0)
        return err_sys(e, errno, "layer %.12s", chain);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    /* chown clears setgid, so that the mode comes after it. */
    if (fchown(fd, st.st_uid, st.st_gid) != 0 ||
        fchmod(fd, st.st_mode & 07777) != 0 ||
        (with_times && futimens(fd, times) != 0))
        return err_sys(e, errno, "take over the root of layer %.12s", chain);
    return 0;
}

/* ---- one maker per digest ------------------------------------------------*/

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
