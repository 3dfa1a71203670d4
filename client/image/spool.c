#include "client/image/spool.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/num.h"
#include "client/image/decode.h"

#define COPY_BYTES (256U << 10)
#define LINKS_MAX  8

struct entry {
    struct spool_file file; /* first: a file's entry is found from it */
    char *name;
    char *link;      /* name that it stands for, or NULL */
    bool is_kept;    /* a blob of the store now */
    unsigned number; /* of the file in the scratch folder */
};

struct spool {
    struct istore_scratch *sc;
    struct entry *list; /* sorted by name once all are read */
    size_t n, cap, name_bytes;
    uint64_t bytes;
};

/* ---- names ---------------------------------------------------------------*/

/* Append the parts of text to out, which holds a clean name of n bytes. */
static bool append(const char *text, char out[PATH_MAX], size_t n)
{
    for (const char *p = text; *p != '\0';) {
        size_t len = strcspn(p, "/");
        const char *part = p;
        p += len;
        p += strspn(p, "/");
        if (len == 0 || (len == 1 && part[0] == '.'))
            continue;
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

/* A clean name, without a "..". */
static int clean_name(const char *text, char out[PATH_MAX], struct err *e)
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

static struct entry *add_entry(struct spool *sp, const char *name,
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
        struct entry *list = realloc(sp->list, cap * sizeof(*list));
        if (list == NULL) {
            (void)err_set(e, ERR_NO_MEMORY, "archive: out of memory");
            return NULL;
        }
        sp->list = list;
        sp->cap = cap;
    }
    struct entry *x = &sp->list[sp->n];
    *x = (struct entry){.number = (unsigned)sp->n};
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

static void file_name(const struct entry *x, char out[24])
{
    (void)snprintf(out, 24, "s-%u", x->number);
}

/* A file of the scratch folder that is being written. */
struct writer {
    struct spool *sp;
    struct entry *entry;
    struct hash *hash;
    int fd;
};

static int writer_open(struct writer *w, struct err *e)
{
    char file[24];
    file_name(w->entry, file);
    w->hash = hash_new(HASH_SHA256);
    if (w->hash == NULL)
        return err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    w->fd = openat(istore_scratch_dirfd(w->sp->sc), file,
                   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return w->fd >= 0 ? 0 : err_sys(e, errno, "make a file");
}

static int writer_put(struct writer *w, const void *data, size_t n,
                      struct err *e)
{
    if (n > SPOOL_MAX_BYTES - w->sp->bytes)
        return err_set(e, ERR_TOO_LARGE, "the archive is over %llu bytes",
                       (unsigned long long)SPOOL_MAX_BYTES);
    w->sp->bytes += n;
    w->entry->file.size += n;
    hash_update(w->hash, data, n);
    return io_write_all(w->fd, data, n, -1, e);
}

static void writer_close(struct writer *w)
{
    unsigned char raw[HASH_MAX];
    if (w->hash != NULL) {
        hash_peek(w->hash, raw);
        num_hex(raw, 32, w->entry->file.hex);
    }
    hash_free(w->hash);
    scope_close(&w->fd);
}

static int compare_names(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int d = strcmp(x->name, y->name);
    return d != 0 ? d : (x->number > y->number) - (x->number < y->number);
}

static bool is_same(const struct entry *a, const struct entry *b)
{
    if (a->link != NULL || b->link != NULL)
        return a->link != NULL && b->link != NULL &&
               strcmp(a->link, b->link) == 0;
    return strcmp(a->file.hex, b->file.hex) == 0;
}

/* Sort, and see to it that a name means one thing. */
static int settle(struct spool *sp, struct err *e)
{
    if (sp->n == 0)
        return err_set(e, ERR_INVALID, "the archive is empty");
    qsort(sp->list, sp->n, sizeof(*sp->list), compare_names);
    for (size_t i = 1; i < sp->n; i++) {
        const struct entry *a = &sp->list[i - 1], *b = &sp->list[i];
        if (strcmp(a->name, b->name) == 0 && !is_same(a, b))
            return err_set(e, ERR_INVALID,
                           "the archive has two different files \"%.100s\"",
                           a->name);
    }
    return 0;
}

/* ---- from a tar ----------------------------------------------------------*/

struct tar {
    struct decode *decode;
    struct archive *a;
    struct err read_error;
};

static int copy_data(struct tar *t, struct writer *w, int64_t size,
                     struct err *e)
{
    const void *data;
    size_t n;
    la_int64_t off;
    int rc;
    while ((rc = archive_read_data_block(t->a, &data, &n, &off)) ==
           ARCHIVE_OK) {
        /* A sparse file may claim terabytes that no byte backs. */
        if (off < 0 || (uint64_t)off != w->entry->file.size)
            return err_set(e, ERR_UNSUPPORTED, "a sparse file");
        if (writer_put(w, data, n, e) != 0)
            return -1;
    }
    if (rc != ARCHIVE_EOF)
        return err_set(e, ERR_INVALID, "bad tar: %.150s",
                       archive_error_string(t->a));
    if (size < 0 || (uint64_t)size != w->entry->file.size)
        return err_set(e, ERR_INVALID, "not of the size that it says");
    return 0;
}

static int put_file(struct spool *sp, struct tar *t, const char *name,
                    int64_t size, struct err *e)
{
    struct writer w = {.sp = sp, .fd = -1};
    w.entry = add_entry(sp, name, NULL, e);
    if (w.entry == NULL)
        return -1;
    int rc = writer_open(&w, e);
    if (rc == 0)
        rc = copy_data(t, &w, size, e);
    writer_close(&w);
    return rc == 0 ? 0 : err_prefix(e, "%.100s", name);
}

/* A link whose target leaves the archive stays without one. */
static int put_link(struct spool *sp, const char *name, const char *from,
                    const char *target, struct err *e)
{
    char to[PATH_MAX];
    if (!spool_join(from, target, to))
        to[0] = '\0';
    return add_entry(sp, name, to, e) != NULL ? 0 : -1;
}

static int put_entry(struct spool *sp, struct tar *t,
                     struct archive_entry *entry, struct err *e)
{
    char name[PATH_MAX];
    const char *text = archive_entry_pathname(entry);
    const char *hard = archive_entry_hardlink(entry);
    const char *soft = archive_entry_symlink(entry);
    mode_t type = archive_entry_filetype(entry);
    if (text == NULL)
        return err_set(e, ERR_INVALID, "an entry of the archive has no name");
    if (clean_name(text, name, e) != 0)
        return -1;
    if (hard != NULL)
        return put_link(sp, name, NULL, hard, e);
    if (type == S_IFDIR)
        return 0;
    if (name[0] != '\0' && type == S_IFLNK && soft != NULL)
        return put_link(sp, name, name, soft, e);
    if (name[0] == '\0' || type != S_IFREG)
        return err_set(e, ERR_INVALID, "\"%.100s\" is no file", text);
    return put_file(sp, t, name, archive_entry_size(entry), e);
}

static la_ssize_t on_read(struct archive *a, void *arg, const void **data)
{
    struct tar *t = arg;
    size_t n;
    if (decode_read(t->decode, data, &n, &t->read_error) != 0) {
        archive_set_error(a, EIO, "%s", t->read_error.msg);
        return ARCHIVE_FATAL;
    }
    return (la_ssize_t)n;
}

static int read_entries(struct spool *sp, struct tar *t, struct err *e)
{
    struct archive_entry *entry;
    if (archive_read_support_format_tar(t->a) != ARCHIVE_OK)
        return err_set(e, ERR_INTERNAL, "libarchive has no tar reader");
    int rc = archive_read_open(t->a, t, NULL, on_read, NULL), mine = 0;
    while (rc == ARCHIVE_OK && mine == 0) {
        rc = archive_read_next_header(t->a, &entry);
        if (rc == ARCHIVE_OK)
            mine = put_entry(sp, t, entry, e);
    }
    if (t->read_error.code != ERR_NONE) {
        *e = t->read_error;
        return -1;
    }
    if (mine != 0)
        return -1;
    /* A warning is a header that was not understood whole. */
    if (rc != ARCHIVE_EOF)
        return err_set(e, ERR_INVALID, "bad tar: %.180s",
                       archive_error_string(t->a));
    return decode_drain(t->decode, e);
}

static int read_tar(struct spool *sp, int fd, struct err *e)
{
    struct tar t = {.read_error = {.code = ERR_NONE}};
    if (decode_open(fd, &t.decode, e) != 0)
        return -1;
    /* Without a UTF-8 locale libarchive warns on every such name. */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    t.a = archive_read_new();
    int rc = t.a == NULL ? err_set(e, ERR_NO_MEMORY, "archive: out of memory")
                         : read_entries(sp, &t, e);
    (void)archive_read_free(t.a);
    decode_free(t.decode);
    return rc == 0 ? settle(sp, e) : -1;
}

static struct spool *spool_new(struct istore_scratch *sc, struct err *e)
{
    struct spool *sp = calloc(1, sizeof(*sp));
    if (sp == NULL)
        (void)err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    else
        sp->sc = sc;
    return sp;
}

int spool_read_tar(struct istore_scratch *sc, int fd, struct spool **out,
                   struct err *e)
{
    struct spool *sp = spool_new(sc, e);
    if (sp == NULL)
        return -1;
    if (read_tar(sp, fd, e) != 0) {
        spool_free(sp);
        return -1;
    }
    *out = sp;
    return 0;
}

/* ---- from a folder -------------------------------------------------------*/

static int copy_fd(struct writer *w, int fd, struct err *e)
{
    scoped_free char *buf = malloc(COPY_BYTES);
    if (buf == NULL)
        return err_set(e, ERR_NO_MEMORY, "archive: out of memory");
    for (;;) {
        ssize_t n = read(fd, buf, COPY_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, errno, "read");
        if (n == 0)
            return 0;
        if (writer_put(w, buf, (size_t)n, e) != 0)
            return -1;
    }
}

/* The file `leaf` of a folder as the archive's file `name`. */
static int take_file(struct spool *sp, int dir, const char *leaf,
                     const char *name, struct err *e)
{
    struct writer w = {.sp = sp, .fd = -1};
    struct stat st;
    /* Without O_NONBLOCK a pipe would wait for its writer. */
    scoped_fd fd =
        openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(e, errno, "open %.100s", name);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INVALID, "\"%.100s\" is no file", name);
    w.entry = add_entry(sp, name, NULL, e);
    if (w.entry == NULL)
        return -1;
    int rc = writer_open(&w, e);
    if (rc == 0)
        rc = copy_fd(&w, fd, e);
    writer_close(&w);
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
        rc = settle(sp, e);
    if (rc != 0) {
        spool_free(sp);
        return -1;
    }
    *out = sp;
    return 0;
}

void spool_free(struct spool *sp)
{
    if (sp == NULL)
        return;
    for (size_t i = 0; i < sp->n; i++) {
        char file[24];
        file_name(&sp->list[i], file);
        if (!sp->list[i].is_kept && sp->list[i].link == NULL)
            (void)unlinkat(istore_scratch_dirfd(sp->sc), file, 0);
        free(sp->list[i].name);
        free(sp->list[i].link);
    }
    free(sp->list);
    free(sp);
}

/* ---- finding and using ---------------------------------------------------*/

static int compare_key(const void *key, const void *member)
{
    return strcmp(key, ((const struct entry *)member)->name);
}

struct spool_file *spool_find(struct spool *sp, const char *name)
{
    char clean[PATH_MAX];
    if (!spool_join(NULL, name, clean))
        return NULL;
    const char *p = clean;
    for (int i = 0; i < LINKS_MAX; i++) {
        struct entry *x =
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
    const struct entry *x = (const struct entry *)f;
    char file[24];
    if (x->is_kept)
        return istore_blob_open(istore_scratch_store(sp->sc), f->hex, e);
    file_name(x, file);
    int fd = openat(istore_scratch_dirfd(sp->sc), file, O_RDONLY | O_CLOEXEC);
    return fd >= 0 ? fd : err_sys(e, errno, "open %.100s", x->name);
}

int spool_text(struct spool *sp, const struct spool_file *f, size_t max,
               char **out, size_t *len, struct err *e)
{
    const struct entry *x = (const struct entry *)f;
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
    struct entry *x = (struct entry *)f;
    char file[24], pin[1][ISTORE_HEX];
    if (x->is_kept)
        return 0;
    scoped_fd fd = spool_open(sp, f, e);
    if (fd < 0)
        return -1;
    if (fdatasync(fd) != 0)
        return err_sys(e, errno, "sync a blob");
    memcpy(pin[0], f->hex, ISTORE_HEX);
    file_name(x, file);
    if (istore_scratch_pin(sp->sc, (const char(*)[ISTORE_HEX])pin, 1, e) != 0 ||
        istore_blob_add(sp->sc, file, f->hex, e) != 0)
        return -1;
    /* When somebody was first, ours is still in the scratch folder. */
    (void)unlinkat(istore_scratch_dirfd(sp->sc), file, 0);
    x->is_kept = true;
    return 0;
}
