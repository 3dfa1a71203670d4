/*
 * The sweep: what no ref, no record and no living scratch folder names goes
 * to trash/ under the exclusive lock, and is unlinked after its release.
 *
 * 1. An unreadable root stops the sweep: it may name anything.
 * 2. Nothing is written, so it works on a full disk; no clock is read.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "client/store/store.h"
#include "client/store/store_int.h"

#define PINS_MAX (16U << 20)

/* ---- roots ---------------------------------------------------------------*/

struct roots {
    char (*hex)[ISTORE_HEX]; /* sorted once complete */
    size_t n, cap;
};

static int roots_add(struct roots *r, const char *hex, struct err *e)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 256;
        char(*more)[ISTORE_HEX] = realloc(r->hex, cap * ISTORE_HEX);
        if (more == NULL)
            return err_set(e, ERR_NO_MEMORY, "sweep: out of memory");
        r->hex = more;
        r->cap = cap;
    }
    memcpy(r->hex[r->n], hex, ISTORE_HEX - 1);
    r->hex[r->n++][ISTORE_HEX - 1] = '\0';
    return 0;
}

static int roots_add_image(struct roots *r, const struct istore_image *img,
                           struct err *e)
{
    if (roots_add(r, img->manifest, e) != 0 ||
        roots_add(r, img->config, e) != 0)
        return -1;
    for (size_t i = 0; i < img->n_layers; i++) {
        if (roots_add(r, img->blobs[i], e) != 0 ||
            roots_add(r, img->layers[i], e) != 0)
            return -1;
    }
    return 0;
}

static int compare_hex(const void *a, const void *b)
{
    return memcmp(a, b, ISTORE_HEX);
}

static bool roots_have(const struct roots *r, const char *hex)
{
    return r->n > 0 &&
           bsearch(hex, r->hex, r->n, ISTORE_HEX, compare_hex) != NULL;
}

static int roots_of_refs(struct istore *s, struct roots *r, struct err *e)
{
    struct istore_image *list;
    size_t n;
    int rc = 0;
    if (istore_ref_list(s, &list, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = roots_add_image(r, &list[i], e);
    istore_ref_list_free(list, n);
    return rc;
}

/* What one pass did; left: could not be moved, the folder trash/ being full
 * on a full disk. */
struct tally {
    size_t moved, left;
};

static void to_trash(struct istore *s, const char *rel, struct tally *t)
{
    char name[17], trash[ISTORE_FILE_MAX];
    io_random_hex(name, 8);
    (void)snprintf(trash, sizeof(trash), "trash/%s", name);
    if (renameat(s->dir, rel, s->dir, trash) == 0)
        t->moved++;
    else
        t->left++;
}

static int roots_of_container(struct istore *s, const char *id, struct roots *r,
                              struct tally *t, struct err *e)
{
    struct istore_image img;
    struct err mine;
    char rel[ISTORE_FILE_MAX];
    json_t *record = istore_container_read(s, id, &mine);
    if (record == NULL && mine.code == ERR_NOT_FOUND) {
        /* Its maker died before the record: under the lock nobody makes it. */
        (void)snprintf(rel, sizeof(rel), "containers/%.64s", id);
        to_trash(s, rel, t);
        return 0;
    }
    int rc = -1;
    if (record == NULL)
        *e = mine;
    else
        rc = istore_container_image(record, &img, e);
    json_decref(record);
    if (rc != 0)
        return err_prefix(e, "container %.12s", id);
    rc = roots_add_image(r, &img, e);
    istore_image_free(&img);
    return rc;
}

static int roots_of_containers(struct istore *s, struct roots *r,
                               struct tally *t, struct err *e)
{
    char(*ids)[ISTORE_HEX];
    size_t n;
    int rc = 0;
    if (istore_container_list(s, &ids, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = roots_of_container(s, ids[i], r, t, e);
    free(ids);
    return rc;
}

/* Not there, or nothing that berth made. */
static bool is_gone(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

/*
 * Is the maker of a scratch folder alive, that is, holds its flock?
 * Errors: cannot be told (no descriptors, ...): then nobody may take it.
 */
static int is_alive(int scratch, bool *alive, struct err *e)
{
    scoped_fd fd = openat(scratch, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    *alive = false;
    if (fd < 0)
        return is_gone(errno)
                   ? 0
                   : err_sys(e, errno, "open the lock of a scratch folder");
    *alive = flock(fd, LOCK_EX | LOCK_NB) != 0;
    if (*alive && errno != EWOULDBLOCK)
        return err_sys(e, errno, "try the lock of a scratch folder");
    return 0;
}

static int roots_of_scratch(struct istore *s, int dirfd, const char *name,
                            struct roots *r, struct tally *t, struct err *e)
{
    char rel[ISTORE_FILE_MAX + 16];
    scoped_free char *pins = NULL;
    size_t len;
    struct err mine;
    bool alive = false;
    scoped_fd dir =
        openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0 && !is_gone(errno))
        return err_sys(e, errno, "open scratch/%.100s", name);
    if (dir >= 0 && is_alive(dir, &alive, e) != 0)
        return -1;
    if (!alive) {
        (void)snprintf(rel, sizeof(rel), "scratch/%.200s", name);
        to_trash(s, rel, t);
        return 0;
    }
    if (io_read_file(dir, "pins", PINS_MAX, &pins, &len, &mine) != 0) {
        if (mine.code == ERR_NOT_FOUND)
            return 0;
        *e = mine;
        return -1;
    }
    for (size_t off = 0; off + ISTORE_HEX <= len; off += ISTORE_HEX) {
        if (roots_add(r, pins + off, e) != 0)
            return -1;
    }
    return 0;
}

static int roots_of_scratches(struct istore *s, struct roots *r,
                              struct tally *t, struct err *e)
{
    int fd = openat(s->dir, "scratch", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    int rc = 0;
    if (d == NULL)
        return err_sys(e, errno, "open %s/scratch", s->path);
    for (struct dirent *de; rc == 0 && (de = readdir(d)) != NULL;) {
        if (de->d_name[0] != '.')
            rc = roots_of_scratch(s, fd, de->d_name, r, t, e);
    }
    (void)closedir(d);
    return rc;
}

/* ---- taking --------------------------------------------------------------*/

/* Everything in `folder` whose name is a digest and no root; `nested` folders
 * (shards) are entered. */
static void take_from(struct istore *s, const char *folder, bool nested,
                      const struct roots *r, struct tally *t)
{
    char rel[ISTORE_FILE_MAX];
    int fd = openat(s->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        scope_close(&fd);
        return;
    }
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (de->d_name[0] == '.')
            continue;
        (void)snprintf(rel, sizeof(rel), "%.100s/%.64s", folder, de->d_name);
        if (nested)
            take_from(s, rel, false, r, t);
        else if (istore_is_hex(de->d_name) && !roots_have(r, de->d_name))
            to_trash(s, rel, t);
    }
    (void)closedir(d);
}

/*
 * Take from `folder` what a killed writer left, known by the `mark` in its
 * name: with the lock held exclusively nobody is writing.
 */
static void take_marked(struct istore *s, const char *folder, const char *mark,
                        struct tally *t)
{
    char rel[ISTORE_FILE_MAX + 16];
    int fd = openat(s->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        scope_close(&fd);
        return;
    }
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (strstr(de->d_name, mark) == NULL ||
            unlinkat(fd, de->d_name, 0) == 0)
            continue;
        (void)snprintf(rel, sizeof(rel), "%.90s/%.170s", folder, de->d_name);
        to_trash(s, rel, t);
    }
    (void)closedir(d);
}

static void take_temporaries(struct istore *s, struct tally *t)
{
    char rel[ISTORE_FILE_MAX];
    char(*ids)[ISTORE_HEX];
    size_t n;
    struct err quiet;
    take_marked(s, ".", "format.tmp-", t);
    take_marked(s, "refs", ".json.tmp-", t);
    take_marked(s, "containers", ISTORE_NEW, t);
    if (istore_container_list(s, &ids, &n, &quiet) != 0)
        return;
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(rel, sizeof(rel), "containers/%.64s", ids[i]);
        take_marked(s, rel, "record.json.tmp-", t);
    }
    free(ids);
}

static void empty_trash(struct istore *s)
{
    int fd = openat(s->dir, "trash", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        scope_close(&fd);
        return;
    }
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (de->d_name[0] != '.')
            io_remove_tree(fd, de->d_name);
    }
    (void)closedir(d);
}

/* One pass; an exclusive lock that stays busy leaves *t empty. */
static int pass(struct istore *s, unsigned wait_ms, struct tally *t,
                struct err *e)
{
    struct roots r = {.hex = NULL};
    struct err mine;
    scoped_fd held = istore_lock_exclusive(s, wait_ms, &mine);
    if (held < 0 && mine.code == ERR_BUSY)
        return 0;
    if (held < 0) {
        *e = mine;
        return -1;
    }
    int rc = roots_of_refs(s, &r, e);
    if (rc == 0)
        rc = roots_of_containers(s, &r, t, e);
    if (rc == 0)
        rc = roots_of_scratches(s, &r, t, e);
    if (rc == 0) {
        if (r.n > 0)
            qsort(r.hex, r.n, ISTORE_HEX, compare_hex);
        take_from(s, "layers", false, &r, t);
        take_from(s, "blobs/sha256", true, &r, t);
        take_temporaries(s, t);
    }
    free(r.hex);
    return rc;
}

int istore_sweep(struct istore *s, unsigned wait_ms, size_t *freed,
                 struct err *e)
{
    size_t moved = 0;
    struct tally t;
    int rc;
    /* On a full disk trash/ cannot grow and takes only so many names at once;
     * what a pass unlinked makes room for the next. */
    do {
        t = (struct tally){.moved = 0};
        rc = pass(s, wait_ms, &t, e);
        empty_trash(s);
        moved += t.moved;
    } while (rc == 0 && t.left > 0 && t.moved > 0);
    if (freed != NULL)
        *freed = moved;
    return rc;
}
