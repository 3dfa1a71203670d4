/* Scratch folders and their pins: rules 2 and 3 of store.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "client/store/store_int.h"

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
    io_random_hex(sc->name, 8);
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
        io_remove_tree(sc->store->dir, trash);
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
