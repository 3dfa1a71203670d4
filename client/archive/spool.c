#include "client/archive/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/num.h"
#include "client/archive/spool_int.h"
#include "client/image/tree.h"
#include "client/store/space.h"

#define LINKS_MAX 8

/* ---- names ---------------------------------------------------------------*/

/* Append the parts of text to out, which holds a clean name of n bytes. */
static bool append(const char *text, char out[PATH_MAX], size_t n)
{
    const char *part;
    size_t len;
    while ((part = tree_part(&text, &len)) != NULL) {
        if (len == 2 && part[0] == '.' && part[1] == '.') {
            if (n == 0)
                return false;
            out[n] = '\0';
            char *slash = strrchr(out, '/');
            n = slash != NULL ? (size_t)(slash - out) : 0;
            continue;
        }
        if (n + len + 2 > PATH_MAX)
            return false;
        if (n > 0)
            out[n++] = '/';
        memcpy(out + n, part, len);
        n += len;
    }
    out[n] = '\0';
    return true;
}

bool spool_join(const char *from, const char *target, char out[PATH_MAX])
{
    const char *slash = from != NULL ? strrchr(from, '/') : NULL;
    size_t n = slash != NULL ? (size_t)(slash - from) : 0;
    if (target[0] == '/' || n >= PATH_MAX)
        return false;
    if (n > 0)
        memcpy(out, from, n);
    return append(target, out, n);
}

int spool_clean(const char *text, char out[PATH_MAX], struct err *e)
{
    bool is_up = false;
    for (const char *p = text; *p != '\0'; p += strcspn(p, "/")) {
        p += strspn(p, "/");
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            is_up = true;
    }
    if (is_up || !spool_join(NULL, text, out))
        return err_set(e, ERR_INVALID, "bad name in the archive: \"%.100s\"",
                       text);
    return 0;
}

/* ---- entries -------------------------------------------------------------*/

struct spool_entry *spool_add(struct spool *sp, const char *name,
                              const char *link, struct err *e)
{
    size_t more = strlen(name) + (link != NULL ? strlen(link) : 0);
    if (sp->n >= SPOOL_MAX_ENTRIES || more > SPOOL_MAX_NAMES - sp->name_bytes) {
        (void)err_set(e, ERR_TOO_LARGE,
                      "the archive has over %d entries or "
                      "too long names",
                      SPOOL_MAX_ENTRIES);
        return NULL;
    }
    if (sp->n == sp->cap) {
        size_t cap = sp->cap ? sp->cap * 2 : 64;
        struct spool_entry *list = realloc(sp->list, cap * sizeof(*list));
        if (list == NULL) {
            (void)err_set(e, ERR_NO_MEMORY, "archive: out of memory");
            return NULL;
        }
        sp->list = list;
        sp->cap = cap;
    }
    struct spool_entry *x = &sp->list[sp->n];
    *x = (struct spool_entry){.number = (unsigned)sp->n};
    x->name = strdup(name);
    x->link = link != NULL ? strdup(link) : NULL;
    if (x->name == NULL || (link != NULL && x->link == NULL)) {
        free(x->name);
        free(x->link);
        (void)err_set(e, ERR_NO_MEMORY, "archive: out of memory");
        return NULL;
    }
    sp->name_bytes += more;
    sp->n++;
    return x;
}

void spool_clear(struct spool *sp)
{
    for (size_t i = 0; i < sp->n; i++) {
        free(sp->list[i].name);
        free(sp->list[i].link);
    }
    free(sp->list);
    sp->list = NULL;
    sp->n = sp->cap = sp->name_bytes = 0;
}

void spool_file_name(const struct spool_entry *x, char out[24])
{
    (void)snprintf(out, 24, "s-%u", x->number);
}

/* As above, from the scratch folder. */
static void path_of(const struct spool_entry *x, char out[48])
{
    char file[24];
    spool_file_name(x, file);
    (void)snprintf(out, 48, SPOOL_FOLDER "/%s", file);
}

int spool_writer_open(struct spool_writer *w, int dir,
                      const struct spool_entry *x, struct err *e)
{
    char file[24];
    spool_file_name(x, file);
    *w = (struct spool_writer){.dir = dir};
    w->fd = openat(dir, file,
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return w->fd >= 0 ? 0 : err_sys(e, errno, "make a file");
}

int spool_writer_put(struct spool_writer *w, const void *data, size_t n,
                     struct err *e)
{
    if (w->size >= w->checked) {
        w->checked = w->size + SPACE_STEP_BYTES;
        if (space_check(w->fd, n, e) != 0)
            return -1;
    }
    w->size += n;
    return io_write_all(w->fd, data, n, -1, e);
}

/* ---- when all are read ---------------------------------------------------*/

static int hash_fd(int fd, char *buf, struct spool_file *f, struct err *e)
{
    unsigned char raw[HASH_MAX];
    struct hash *h = hash_new(HASH_SHA256);
    if (h == NULL)
        return err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    int rc = 0;
    for (uint64_t off = 0; off < f->size && rc == 0;) {
        uint64_t left = f->size - off;
        size_t n = left < SPOOL_COPY_BYTES ? (size_t)left : SPOOL_COPY_BYTES;
        rc = io_read_exact(fd, buf, n, (off_t)off, e);
        if (rc == 0)
            hash_update(h, buf, n);
        off += n;
    }
    if (rc == 0 && hash_peek(h, raw) != 0)
        rc = err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    hash_free(h);
    if (rc == 0)
        num_hex(raw, 32, f->hex);
    return rc;
}

/*
 * Size and digest of each file, from the file: who wrote it read hostile
 * bytes, so neither is taken from him, nor that it is a file.
 */
static int hash_all(struct spool *sp, struct err *e)
{
    scoped_free char *buf = malloc(SPOOL_COPY_BYTES);
    if (buf == NULL)
        return err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    for (size_t i = 0; i < sp->n; i++) {
        struct stat st;
        char path[48];
        if (sp->list[i].link != NULL)
            continue;
        path_of(&sp->list[i], path);
        int dir = istore_scratch_dirfd(sp->sc);
        if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return err_sys(e, errno, "file of %.100s", sp->list[i].name);
        if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
            return err_set(e, ERR_INVALID, "%.100s is no file",
                           sp->list[i].name);
        scoped_fd fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, 0600) != 0)
            return err_sys(e, errno, "open %.100s", sp->list[i].name);
        sp->list[i].file.size = (uint64_t)st.st_size;
        if (hash_fd(fd, buf, &sp->list[i].file, e) != 0)
            return err_prefix(e, "%.100s", sp->list[i].name);
    }
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct spool_entry *x = a, *y = b;
    int d = strcmp(x->name, y->name);
    return d != 0 ? d : (x->number > y->number) - (x->number < y->number);
}

static bool is_same(const struct spool_entry *a, const struct spool_entry *b)
{
    if (a->link != NULL || b->link != NULL)
        return a->link != NULL && b->link != NULL &&
               strcmp(a->link, b->link) == 0;
    return strcmp(a->file.hex, b->file.hex) == 0;
}

int spool_settle(struct spool *sp, struct err *e)
{
    if (sp->n == 0)
        return err_set(e, ERR_INVALID, "the archive is empty");
    if (hash_all(sp, e) != 0)
        return -1;
    qsort(sp->list, sp->n, sizeof(*sp->list), compare_names);
    for (size_t i = 1; i < sp->n; i++) {
        const struct spool_entry *a = &sp->list[i - 1], *b = &sp->list[i];
        if (strcmp(a->name, b->name) == 0 && !is_same(a, b))
            return err_set(e, ERR_INVALID,
                           "the archive has two different files \"%.100s\"",
                           a->name);
    }
    return 0;
}

struct spool *spool_new(struct istore_scratch *sc, struct err *e)
{
    struct spool *sp = calloc(1, sizeof(*sp));
    if (sp == NULL) {
        (void)err_set(e, ERR_NO_MEMORY, "archive: out of memory");
        return NULL;
    }
    sp->sc = sc;
    if (io_mkdir(istore_scratch_dirfd(sc), SPOOL_FOLDER, 0700, e) != 0) {
        spool_free(sp);
        return NULL;
    }
    return sp;
}

void spool_free(struct spool *sp)
{
    if (sp == NULL)
        return;
    io_remove_tree(istore_scratch_dirfd(sp->sc), SPOOL_FOLDER);
    spool_clear(sp);
    free(sp);
}

/* ---- finding and using ---------------------------------------------------*/

static int compare_key(const void *key, const void *member)
{
    return strcmp(key, ((const struct spool_entry *)member)->name);
}

struct spool_file *spool_find(struct spool *sp, const char *name)
{
    char clean[PATH_MAX];
    if (!spool_join(NULL, name, clean))
        return NULL;
    const char *p = clean;
    for (int i = 0; i < LINKS_MAX; i++) {
        struct spool_entry *x =
            bsearch(p, sp->list, sp->n, sizeof(*sp->list), compare_key);
        if (x == NULL)
            return NULL;
        if (x->link == NULL)
            return &x->file;
        p = x->link;
    }
    return NULL;
}

int spool_open(struct spool *sp, const struct spool_file *f, struct err *e)
{
    const struct spool_entry *x = (const struct spool_entry *)f;
    char path[48];
    if (x->is_kept)
        return istore_blob_open(istore_scratch_store(sp->sc), f->hex, e);
    path_of(x, path);
    int fd = openat(istore_scratch_dirfd(sp->sc), path,
                    O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 ? fd : err_sys(e, errno, "open %.100s", x->name);
}

int spool_text(struct spool *sp, const struct spool_file *f, size_t max,
               char **out, size_t *len, struct err *e)
{
    const struct spool_entry *x = (const struct spool_entry *)f;
    scoped_fd fd = spool_open(sp, f, e);
    if (fd < 0)
        return -1;
    if (f->size > max)
        return err_set(e, ERR_TOO_LARGE, "%.100s is over %zu bytes", x->name,
                       max);
    scoped_free char *text = malloc((size_t)f->size + 1);
    if (text == NULL)
        return err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    if (io_read_exact(fd, text, (size_t)f->size, 0, e) != 0)
        return err_prefix(e, "%.100s", x->name);
    text[f->size] = '\0';
    *len = (size_t)f->size;
    *out = take_ptr(text);
    return 0;
}

int spool_keep(struct spool *sp, struct spool_file *f, struct err *e)
{
    struct spool_entry *x = (struct spool_entry *)f;
    char path[48], pin[1][ISTORE_HEX];
    if (x->is_kept)
        return 0;
    scoped_fd fd = spool_open(sp, f, e);
    if (fd < 0)
        return -1;
    if (fdatasync(fd) != 0)
        return err_sys(e, errno, "sync a blob");
    memcpy(pin[0], f->hex, ISTORE_HEX);
    path_of(x, path);
    if (istore_scratch_pin(sp->sc, (const char(*)[ISTORE_HEX])pin, 1, e) != 0 ||
        istore_blob_add(sp->sc, path, f->hex, e) != 0)
        return -1;
    x->is_kept = true;
    return 0;
}
