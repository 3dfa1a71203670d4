#include "client/image/blobw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/num.h"
#include "client/store/space.h"

struct blobw {
    struct istore_scratch *sc;
    struct hash *hash;
    int fd;
    int64_t size;
    int64_t checked; /* size at the last look for space */
    char file[24];
};

int blobw_new(struct istore_scratch *sc, struct blobw **out, struct err *e)
{
    char hex[17];
    struct blobw *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return err_set(e, ERR_NO_MEMORY, "blob: out of memory");
    io_random_hex(hex, 8);
    (void)snprintf(w->file, sizeof(w->file), "b-%s", hex);
    w->sc = sc;
    w->hash = hash_new(HASH_SHA256);
    w->fd = openat(istore_scratch_dirfd(sc), w->file,
                   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->hash == NULL || w->fd < 0) {
        int rc = w->fd < 0 ? err_sys(e, errno, "make a blob")
                           : err_set(e, ERR_NO_MEMORY, "blob: out of memory");
        blobw_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

void blobw_free(struct blobw *w)
{
    if (w == NULL)
        return;
    scope_close(&w->fd);
    (void)unlinkat(istore_scratch_dirfd(w->sc), w->file, 0);
    hash_free(w->hash);
    free(w);
}

int blobw_write(struct blobw *w, const void *data, size_t n, struct err *e)
{
    if (w->size >= w->checked) {
        w->checked = w->size + (int64_t)SPACE_STEP_BYTES;
        if (space_check(w->fd, n, e) != 0)
            return -1;
    }
    hash_update(w->hash, data, n);
    w->size += (int64_t)n;
    return io_write_all(w->fd, data, n, -1, e);
}

int64_t blobw_size(const struct blobw *w)
{
    return w->size;
}

int blobw_reset(struct blobw *w, struct err *e)
{
    struct hash *fresh = hash_new(HASH_SHA256);
    if (fresh == NULL)
        return err_set(e, ERR_NO_MEMORY, "blob: out of memory");
    hash_free(w->hash);
    w->hash = fresh;
    w->size = w->checked = 0;
    if (ftruncate(w->fd, 0) != 0 || lseek(w->fd, 0, SEEK_SET) != 0)
        return err_sys(e, errno, "rewind a blob");
    return 0;
}

int blobw_sync(struct blobw *w, struct err *e)
{
    return fdatasync(w->fd) == 0 ? 0 : err_sys(e, errno, "sync a blob");
}

static int finish(struct blobw *w, const char *want, int64_t size,
                  char hex[ISTORE_HEX], struct err *e)
{
    unsigned char raw[HASH_MAX];
    char pins[1][ISTORE_HEX];
    if (hash_peek(w->hash, raw) != 0)
        return err_set(e, ERR_NO_MEMORY, "hash a blob: out of memory");
    num_hex(raw, 32, hex);
    if (size >= 0 && w->size != size)
        return err_set(e, ERR_DIGEST, "%lld bytes came, %lld were promised",
                       (long long)w->size, (long long)size);
    if (want != NULL && strcmp(want, hex) != 0)
        return err_set(e, ERR_DIGEST, "sha256:%.12s came, not sha256:%.12s",
                       hex, want);
    if (fdatasync(w->fd) != 0)
        return err_sys(e, errno, "sync a blob");
    memcpy(pins[0], hex, ISTORE_HEX);
    if (istore_scratch_pin(w->sc, (const char(*)[ISTORE_HEX])pins, 1, e) != 0)
        return -1;
    return istore_blob_add(w->sc, w->file, hex, e);
}

int blobw_finish(struct blobw *w, const char *want, int64_t size,
                 char hex[ISTORE_HEX], struct err *e)
{
    int rc = finish(w, want, size, hex, e);
    blobw_free(w);
    return rc;
}

int blobw_put(struct istore_scratch *sc, const void *data, size_t n,
              char hex[ISTORE_HEX], struct err *e)
{
    struct blobw *w;
    if (blobw_new(sc, &w, e) != 0)
        return -1;
    if (blobw_write(w, data, n, e) != 0) {
        blobw_free(w);
        return -1;
    }
    return blobw_finish(w, NULL, -1, hex, e);
}
