#include "client/image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "client/image/tree.h"
#include "client/store/space.h"

#define XATTR_MAX (64U << 10)
/* What a stream has beside its files, per entry and at its end. */
#define ENTRY_OVERHEAD 1536
#define END_OVERHEAD   (64U << 10)

struct late_times { /* of folders: set when nothing more is written there */
    char *path;
    struct timespec times[2];
};

struct unpack {
    struct decode *decode;
    struct tree tree;
    struct unpack_limits limits;
    uint64_t unchecked; /* bytes written since the last look for space */
    struct late_times *late;
    size_t n_late, cap_late;
    struct unpack_result result;
    struct err read_error;
};

/* ---- metadata ------------------------------------------------------------*/

static int get_owner(struct archive_entry *entry, uid_t *uid, gid_t *gid,
                     struct err *e)
{
    int64_t u = archive_entry_uid(entry), g = archive_entry_gid(entry);
    if (u < 0 || g < 0 || u >= UINT32_MAX || g >= UINT32_MAX)
        return err_set(e, ERR_INVALID, "owner out of range in the layer");
    *uid = (uid_t)u;
    *gid = (gid_t)g;
    return 0;
}

static void get_times(struct archive_entry *entry, struct timespec out[2])
{
    out[1].tv_sec = archive_entry_mtime(entry);
    out[1].tv_nsec = archive_entry_mtime_nsec(entry);
    out[0] = out[1];
    if (archive_entry_atime_is_set(entry)) {
        out[0].tv_sec = archive_entry_atime(entry);
        out[0].tv_nsec = archive_entry_atime_nsec(entry);
    }
}

static bool xattr_is_allowed(const char *name)
{
    if (strcmp(name, "security.capability") == 0)
        return true;
    return strncmp(name, "user.", 5) == 0 &&
           strncmp(name, "user.overlay.", 13) != 0;
}

static int set_xattrs(int fd, struct archive_entry *entry, struct err *e)
{
    const char *name;
    const void *value;
    size_t size, total = 0;
    (void)archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &size) ==
           ARCHIVE_OK) {
        if (name == NULL || !xattr_is_allowed(name))
            continue;
        total += size + strlen(name);
        if (total > XATTR_MAX)
            return err_set(e, ERR_TOO_LARGE, "too many xattrs in the layer");
        if (fsetxattr(fd, name, value, size, 0) != 0)
            return err_sys(e, errno, "set xattr %.60s", name);
    }
    return 0;
}

/* Owner, then mode (chown clears setuid), then xattrs (chown clears
 * capabilities), then times. */
static int set_all(int fd, struct archive_entry *entry, bool with_times,
                   struct err *e)
{
    uid_t uid;
    gid_t gid;
    struct timespec times[2];
    if (get_owner(entry, &uid, &gid, e) != 0)
        return -1;
    if (fchown(fd, uid, gid) != 0)
        return err_sys(e, errno, "chown");
    if (fchmod(fd, archive_entry_perm(entry) & 07777) != 0)
        return err_sys(e, errno, "chmod");
    if (set_xattrs(fd, entry, e) != 0)
        return -1;
    get_times(entry, times);
    if (with_times && futimens(fd, times) != 0)
        return err_sys(e, errno, "set times");
    return 0;
}

/* For leaves that cannot be opened for it: symlinks and device nodes. */
static int set_at(int parent, const char *leaf, struct archive_entry *entry,
                  struct err *e)
{
    uid_t uid;
    gid_t gid;
    struct timespec times[2];
    if (get_owner(entry, &uid, &gid, e) != 0)
        return -1;
    get_times(entry, times);
    if (fchownat(parent, leaf, uid, gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        utimensat(parent, leaf, times, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(e, errno, "chown %.100s", leaf);
    return 0;
}

static int later(struct unpack *u, const struct tree_name *name,
                 struct archive_entry *entry, struct err *e)
{
    char path[PATH_MAX + NAME_MAX + 2];
    if (u->n_late == u->cap_late) {
        size_t cap = u->cap_late ? u->cap_late * 2 : 256;
        struct late_times *more = realloc(u->late, cap * sizeof(*more));
        if (more == NULL)
            return err_set(e, ERR_NO_MEMORY, "unpack: out of memory");
        u->late = more;
        u->cap_late = cap;
    }
    struct late_times *l = &u->late[u->n_late];
    (void)snprintf(path, sizeof(path), "%s%s%s", name->parent,
                   name->parent[0] != '\0' ? "/" : "", name->leaf);
    l->path = strdup(path);
    if (l->path == NULL)
        return err_set(e, ERR_NO_MEMORY, "unpack: out of memory");
    get_times(entry, l->times);
    u->n_late++;
    return 0;
}

static void set_late_times(struct unpack *u)
{
    for (size_t i = u->n_late; i-- > 0;) {
        scoped_fd fd = tree_open(&u->tree, u->late[i].path,
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd >= 0)
            (void)futimens(fd, u->late[i].times);
    }
}

/* ---- entries -------------------------------------------------------------*/

static int copy_data(struct unpack *u, struct archive *a, int fd,
                     struct archive_entry *entry, struct err *e)
{
    const void *data;
    size_t n;
    la_int64_t off, size = archive_entry_size(entry);
    int rc;
    /* A sparse file may claim terabytes that no byte of the tar backs. */
    if (size < 0 || (uint64_t)size > u->limits.bytes - u->result.bytes)
        return err_set(e, ERR_TOO_LARGE, "the image is over %llu bytes",
                       UNPACK_IMAGE_BYTES);
    bool is_sparse = archive_entry_sparse_count(entry) > 0;
    if (!is_sparse && size > (la_int64_t)SPACE_STEP_BYTES &&
        space_check(u->tree.root, (uint64_t)size, e) != 0)
        return -1;
    while ((rc = archive_read_data_block(a, &data, &n, &off)) == ARCHIVE_OK) {
        if (off < 0 || (uint64_t)off + n > (uint64_t)size)
            return err_set(e, ERR_INVALID, "a file is longer than it says");
        u->unchecked += n;
        if (u->unchecked > SPACE_STEP_BYTES) {
            u->unchecked = 0;
            if (space_check(u->tree.root, n, e) != 0)
                return -1;
        }
        if (io_write_all(fd, data, n, off, e) != 0)
            return -1;
    }
    if (rc != ARCHIVE_EOF)
        return err_set(e, ERR_INVALID, "bad tar: %.150s",
                       archive_error_string(a));
    if (ftruncate(fd, size) != 0)
        return err_sys(e, errno, "set the size");
    u->result.bytes += (uint64_t)size;
    return 0;
}

static int put_file(struct unpack *u, struct archive *a, int parent,
                    const char *leaf, struct archive_entry *entry,
                    struct err *e)
{
    scoped_fd fd =
        openat(parent, leaf,
               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "create");
    if (copy_data(u, a, fd, entry, e) != 0)
        return -1;
    return set_all(fd, entry, true, e);
}

static int put_dir(struct unpack *u, int parent, const struct tree_name *name,
                   struct archive_entry *entry, struct err *e)
{
    const char *leaf = name->leaf;
    if (leaf[0] != '\0' && mkdirat(parent, leaf, 0700) != 0 && errno != EEXIST)
        return err_sys(e, errno, "make folder");
    scoped_fd fd = openat(parent, leaf[0] != '\0' ? leaf : ".",
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open folder");
    if (set_all(fd, entry, false, e) != 0)
        return -1;
    return later(u, name, entry, e);
}

/* By name, not by /proc or AT_EMPTY_PATH, which wants CAP_DAC_READ_SEARCH:
 * nobody else writes below the root. */
static int put_link(struct unpack *u, int parent, const char *leaf,
                    const char *target, struct err *e)
{
    struct tree_name name;
    struct stat st, own;
    if (tree_split(target, &name, e) != 0)
        return -1;
    scoped_fd dir = tree_open(&u->tree, name.parent, O_PATH | O_DIRECTORY);
    if (dir < 0 || name.leaf[0] == '\0' ||
        fstatat(dir, name.leaf, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(e, dir < 0 ? errno : ENOENT, "hard link to %.100s",
                       target);
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
        return err_set(e, ERR_INVALID, "hard link to %.100s, which is no file",
                       target);
    /* tar writes a file that it is given twice as a link to itself. */
    if (fstatat(parent, leaf, &own, AT_SYMLINK_NOFOLLOW) == 0 &&
        own.st_dev == st.st_dev && own.st_ino == st.st_ino)
        return 0;
    if (tree_make_way(parent, leaf, false, e) != 0)
        return -1;
    if (linkat(dir, name.leaf, parent, leaf, 0) != 0)
        return err_sys(e, errno, "hard link to %.100s", target);
    return 0;
}

static bool device_is_allowed(mode_t type, dev_t dev)
{
    static const unsigned char allowed[][2] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},
                                               {1, 9}, {5, 0}, {5, 1}, {5, 2}};
    for (size_t i = 0; type == S_IFCHR && i < array_len(allowed); i++) {
        if (major(dev) == allowed[i][0] && minor(dev) == allowed[i][1])
            return true;
    }
    return false;
}

static int put_device(struct unpack *u, int parent, const char *leaf,
                      struct archive_entry *entry, struct err *e)
{
    mode_t type = archive_entry_filetype(entry);
    dev_t dev = makedev((unsigned)archive_entry_rdevmajor(entry),
                        (unsigned)archive_entry_rdevminor(entry));
    mode_t mode = archive_entry_perm(entry) & 0777;
    if (!device_is_allowed(type, dev)) {
        u->result.skipped++;
        return 0;
    }
    if (mknodat(parent, leaf, type | mode, dev) != 0)
        return err_sys(e, errno, "make device");
    if (fchmodat(parent, leaf, mode, 0) != 0)
        return err_sys(e, errno, "chmod device");
    return set_at(parent, leaf, entry, e);
}

static int put_leaf(struct unpack *u, struct archive *a, int parent,
                    const struct tree_name *name, struct archive_entry *entry,
                    struct err *e)
{
    const char *link = archive_entry_hardlink(entry);
    mode_t type = archive_entry_filetype(entry);
    const char *target = archive_entry_symlink(entry);
    if (link == NULL && (type == S_IFIFO || type == S_IFSOCK)) {
        u->result.skipped++;
        return 0;
    }
    if (link != NULL)
        return put_link(u, parent, name->leaf, link, e);
    if (tree_make_way(parent, name->leaf, type == S_IFDIR, e) != 0)
        return -1;
    if (type == S_IFREG)
        return put_file(u, a, parent, name->leaf, entry, e);
    if (type == S_IFDIR)
        return put_dir(u, parent, name, entry, e);
    if (type == S_IFCHR || type == S_IFBLK)
        return put_device(u, parent, name->leaf, entry, e);
    if (type != S_IFLNK || target == NULL)
        return err_set(e, ERR_INVALID, "unknown kind of entry");
    if (symlinkat(target, parent, name->leaf) != 0)
        return err_sys(e, errno, "symlink");
    return set_at(parent, name->leaf, entry, e);
}

static int put_entry(struct unpack *u, struct archive *a,
                     struct archive_entry *entry, struct err *e)
{
    const char *text = archive_entry_pathname(entry);
    struct tree_name name;
    if (text == NULL || text[0] == '\0')
        return err_set(e, ERR_INVALID, "an entry of the layer has no name");
    if (tree_count(&u->tree, e) != 0 || tree_split(text, &name, e) != 0)
        return -1;
    if (strncmp(name.parent, TREE_WHITEOUT TREE_WHITEOUT,
                2 * (sizeof(TREE_WHITEOUT) - 1)) == 0)
        return 0; /* aufs' own bookkeeping, such as .wh..wh.plnk/ */
    if (name.leaf[0] == '\0') {
        if (archive_entry_filetype(entry) != S_IFDIR ||
            archive_entry_hardlink(entry) != NULL)
            return tree_bad_name(text, "the root must be a folder", e);
        u->result.has_root = true;
        return put_dir(u, u->tree.root, &name, entry, e);
    }
    if (strncmp(name.leaf, TREE_WHITEOUT, sizeof(TREE_WHITEOUT) - 1) == 0)
        return tree_whiteout(&u->tree, &name, e);
    scoped_fd parent = tree_open_parent(&u->tree, name.parent, e);
    if (parent < 0)
        return -1;
    if (put_leaf(u, a, parent, &name, entry, e) != 0)
        return err_prefix(e, "%.100s", text);
    return tree_remember(&u->tree, parent, name.leaf, e);
}

/* ---- the archive ---------------------------------------------------------*/

static la_ssize_t on_read(struct archive *a, void *arg, const void **data)
{
    struct unpack *u = arg;
    size_t n;
    if (decode_read(u->decode, data, &n, &u->read_error) != 0) {
        archive_set_error(a, EIO, "%s", u->read_error.msg);
        return ARCHIVE_FATAL;
    }
    return (la_ssize_t)n;
}

/*
 * Names of a PAX header that are no UTF-8 come as the bytes that they are,
 * which is what a file system wants.  There is no code for just that.
 */
static bool is_raw_name(struct archive *a)
{
    const char *text = archive_error_string(a);
    return text != NULL &&
           strstr(text, "can't be converted from UTF-8") != NULL;
}

static int read_all(struct unpack *u, struct archive *a, struct err *e)
{
    struct archive_entry *entry;
    int rc;
    if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_support_format_empty(a) != ARCHIVE_OK)
        return err_set(e, ERR_INTERNAL, "libarchive has no tar reader");
    rc = archive_read_open(a, u, NULL, on_read, NULL);
    while (rc == ARCHIVE_OK) {
        rc = archive_read_next_header(a, &entry);
        if (rc == ARCHIVE_WARN && is_raw_name(a))
            rc = ARCHIVE_OK;
        if (rc == ARCHIVE_OK && put_entry(u, a, entry, e) != 0) {
            if (u->read_error.code != ERR_NONE)
                *e = u->read_error;
            return -1;
        }
    }
    if (u->read_error.code != ERR_NONE) {
        *e = u->read_error;
        return -1;
    }
    /* A warning is a header that was not understood whole. */
    if (rc != ARCHIVE_EOF)
        return err_set(e, ERR_INVALID, "bad tar: %.180s",
                       archive_error_string(a));
    return decode_drain(u->decode, e);
}

void unpack_prepare(void)
{
    /* Without a UTF-8 locale libarchive cannot tell names of PAX headers. */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
}

static int unpack_all(struct unpack *u, struct err *e)
{
    if (tree_begin(&u->tree, e) != 0 || space_check(u->tree.root, 0, e) != 0)
        return -1;
    /* Headers and padding come on top of the files, and the last record. */
    decode_limit(u->decode, u->limits.bytes +
                                u->limits.entries * ENTRY_OVERHEAD +
                                END_OVERHEAD);
    struct archive *a = archive_read_new();
    int rc = a == NULL ? err_set(e, ERR_NO_MEMORY, "unpack: out of memory")
                       : read_all(u, a, e);
    (void)archive_read_free(a);
    if (rc == 0)
        set_late_times(u);
    return rc;
}

int unpack_tar(struct decode *d, int root, bool has_lower,
               const struct unpack_limits *limits, struct unpack_result *out,
               struct err *e)
{
    struct unpack u = {
        .decode = d,
        .tree = {.root = root, .has_lower = has_lower},
        .limits = {UNPACK_IMAGE_BYTES, UNPACK_IMAGE_ENTRIES},
    };
    if (limits != NULL)
        u.limits = *limits;
    u.tree.max_entries = u.limits.entries;
    scoped_fd cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    mode_t old_umask = umask(0);
    unpack_prepare();
    int rc = unpack_all(&u, e);
    (void)umask(old_umask);
    if (cwd >= 0)
        (void)!fchdir(cwd);
    tree_end(&u.tree);
    for (size_t i = 0; i < u.n_late; i++)
        free(u.late[i].path);
    free(u.late);
    u.result.entries = u.tree.entries;
    if (rc == 0)
        *out = u.result;
    return rc;
}
