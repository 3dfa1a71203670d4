#include "client/image/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "client/image/unpack.h"
#include "client/store/space.h"
#include "client/store/store.h"

#define OPAQUE     ".wh..wh..opq"
#define LINKS_MAX  40 /* as the kernel */
#define HIDE_DEPTH (2 * TREE_MAX_DEPTH)
/* Small files take space as well: look so often. */
#define ENTRIES_STEP 1000

/* ---- names ---------------------------------------------------------------*/

int tree_bad_name(const char *text, const char *why, struct err *e)
{
    return err_set(e, ERR_INVALID, "bad name in the layer: \"%.100s\": %s",
                   text, why);
}

const char *tree_part(const char **p, size_t *len)
{
    while (**p != '\0') {
        const char *part = *p;
        *len = strcspn(part, "/");
        *p += *len;
        *p += strspn(*p, "/");
        if (*len > 0 && !(*len == 1 && part[0] == '.'))
            return part;
    }
    return NULL;
}

int tree_split(const char *text, struct tree_name *out, struct err *e)
{
    char clean[PATH_MAX];
    const char *part, *p = text;
    size_t len, n = 0, leaf = 0;
    int depth = 0;
    while ((part = tree_part(&p, &len)) != NULL) {
        if (len == 2 && part[0] == '.' && part[1] == '.')
            return tree_bad_name(text, "it has \"..\"", e);
        if (len > NAME_MAX || n + len + 2 > sizeof(clean))
            return tree_bad_name(text, "too long", e);
        if (++depth > TREE_MAX_DEPTH)
            return tree_bad_name(text, "too deep", e);
        if (n > 0)
            clean[n++] = '/';
        leaf = n;
        memcpy(clean + n, part, len);
        n += len;
    }
    clean[n] = '\0';
    memcpy(out->leaf, clean + leaf, n - leaf + 1);
    memcpy(out->parent, clean, leaf);
    out->parent[leaf > 0 ? leaf - 1 : 0] = '\0';
    return 0;
}

int tree_open(const struct tree *t, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned long long)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    const char *p = path[0] != '\0' ? path : ".";
    long fd;
    do { /* EAGAIN: a rename elsewhere raced with the walk */
        fd = syscall(SYS_openat2, t->root, p, &how, sizeof(how));
    } while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return (int)fd;
}

int tree_count(struct tree *t, struct err *e)
{
    if (++t->entries > t->max_entries)
        return err_set(e, ERR_TOO_LARGE,
                       "the image has over %llu files and folders",
                       UNPACK_IMAGE_ENTRIES);
    return t->entries % ENTRIES_STEP == 0 ? space_check(t->root, 0, e) : 0;
}

/*
 * The name at dir/leaf is a link to nothing: put what it says in its place.
 * path[0..start) leads to dir, path + end to the rest.
 */
static int expand_link(int dir, char path[PATH_MAX], size_t start, size_t end,
                       struct err *e)
{
    char link[PATH_MAX], rest[PATH_MAX];
    ssize_t n = readlinkat(dir, path + start, link, sizeof(link) - 1);
    if (n < 0)
        return err_sys(e, errno, "make folder %.100s of the layer", path);
    link[n] = '\0';
    (void)snprintf(rest, sizeof(rest), "%s", path + end);
    if (link[0] == '/')
        start = 0;
    n = snprintf(path + start, PATH_MAX - start, "%s%s%s", link,
                 rest[0] != '\0' ? "/" : "", rest);
    if ((size_t)n >= PATH_MAX - start)
        return err_set(e, ERR_INVALID, "a link of the layer leads too far");
    return 0;
}

/*
 * Open the folders of path one by one, made (0755) where they are absent.
 * Returns the last, or -1; *again when a link was put in, and one must begin
 * anew.
 */
static int walk(struct tree *t, char path[PATH_MAX], bool *again, struct err *e)
{
    size_t start, end = 0;
    scoped_fd dir = tree_open(t, "", O_PATH | O_DIRECTORY);
    *again = false;
    while (dir >= 0) {
        start = end + strspn(path + end, "/");
        end = start + strcspn(path + start, "/");
        if (end == start)
            break;
        char slash = path[end];
        path[end] = '\0';
        int next = tree_open(t, path, O_PATH | O_DIRECTORY);
        if (next < 0 && errno == ENOENT) {
            if (mkdirat(dir, path + start, 0755) == 0) {
                if (tree_count(t, e) != 0)
                    return -1;
                next = openat(dir, path + start,
                              O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            } else if (errno == EEXIST) {
                *again = true;
                return expand_link(dir, path, start, slash ? end + 1 : end, e);
            }
        }
        path[end] = slash;
        (void)close(dir);
        dir = next;
    }
    return dir >= 0
               ? take_fd(&dir)
               : err_sys(e, errno, "open folder %.100s of the layer", path);
}

int tree_open_parent(struct tree *t, const char *path, struct err *e)
{
    char text[PATH_MAX];
    bool again;
    int fd = tree_open(t, path, O_PATH | O_DIRECTORY);
    if (fd >= 0)
        return fd;
    if (errno != ENOENT)
        return err_sys(e, errno, "open folder %.100s of the layer", path);
    (void)snprintf(text, sizeof(text), "%s", path);
    for (int links = 0; links < LINKS_MAX; links++) {
        fd = walk(t, text, &again, e);
        if (fd < 0 || !again)
            return fd;
    }
    return err_sys(e, ELOOP, "open folder %.100s of the layer", path);
}

/* Remove what is there; what cannot be removed must not be taken for gone. */
static int remove_all(int parent, const char *leaf, struct err *e)
{
    struct stat st;
    io_remove_tree(parent, leaf);
    if (fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(e, ERR_IO, "cannot remove %.100s of a lower layer",
                       leaf);
    return 0;
}

int tree_make_way(int parent, const char *leaf, bool for_dir, struct err *e)
{
    struct stat st;
    if (fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        (for_dir && S_ISDIR(st.st_mode)))
        return 0;
    return remove_all(parent, leaf, e);
}

/* ---- what this layer wrote -----------------------------------------------*/

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/*
 * The path of a folder as the kernel has it, symlinks resolved.  Not by /proc,
 * which is not there; the call itself, since libc's refuses the "(unreachable)"
 * that stands before the path when the mount is nowhere in our root.
 */
static int real_path(int fd, char out[PATH_MAX], struct err *e)
{
    if (fchdir(fd) != 0 || syscall(SYS_getcwd, out, PATH_MAX) < 0)
        return err_sys(e, errno, "tell a folder's path");
    return 0;
}

/* The path of parent/leaf below the root. */
static int canonical(struct tree *t, int parent, const char *leaf,
                     char out[PATH_MAX * 2], struct err *e)
{
    char dir[PATH_MAX];
    if (real_path(parent, dir, e) != 0)
        return -1;
    if (strlen(dir) < t->root_len)
        return err_set(e, ERR_INTERNAL, "a folder is not below the root");
    const char *below = dir + t->root_len;
    if (strcmp(below, "/") == 0) /* the root of a mount, see tree_begin() */
        below = "";
    (void)snprintf(out, PATH_MAX * 2, "%s/%s", below, leaf);
    return 0;
}

int tree_remember(struct tree *t, int parent, const char *leaf, struct err *e)
{
    char path[PATH_MAX * 2];
    if (!t->has_lower)
        return 0;
    if (canonical(t, parent, leaf, path, e) != 0)
        return -1;
    for (;;) {
        char *copy = strdup(path);
        char **slot = copy ? tsearch(copy, &t->written, compare_text) : NULL;
        if (slot == NULL) {
            free(copy);
            return err_set(e, ERR_NO_MEMORY, "unpack: out of memory");
        }
        if (*slot != copy) { /* known, so are the folders above it */
            free(copy);
            return 0;
        }
        char *slash = strrchr(path, '/');
        if (slash == NULL || slash == path)
            return 0;
        *slash = '\0';
    }
}

static bool is_ours(struct tree *t, int parent, const char *leaf)
{
    char path[PATH_MAX * 2];
    struct err quiet;
    return canonical(t, parent, leaf, path, &quiet) == 0 &&
           tfind(path, &t->written, compare_text) != NULL;
}

static int hide(struct tree *t, int parent, const char *leaf, struct err *e);

/* Hide what lower layers have in a folder. */
static int hide_all(struct tree *t, int dir, const char *what, struct err *e)
{
    int rc = 0;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        scope_close(&fd);
        return err_sys(e, errno, "read folder %.100s", what);
    }
    for (struct dirent *de; rc == 0 && (de = readdir(d)) != NULL;) {
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            rc = hide(t, fd, de->d_name, e);
    }
    (void)closedir(d);
    return rc;
}

/* Hide what lower layers have at parent/leaf; ours stays. */
static int hide(struct tree *t, int parent, const char *leaf, struct err *e)
{
    struct stat st;
    if (!is_ours(t, parent, leaf))
        return remove_all(parent, leaf, e);
    if (fstatat(parent, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISDIR(st.st_mode))
        return 0;
    scoped_fd fd =
        openat(parent, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open folder %.100s", leaf);
    /* By links a tree can be deeper than any name; the stack is not. */
    if (++t->depth > HIDE_DEPTH)
        return err_set(e, ERR_INVALID, "the folders of the layer are too deep");
    int rc = hide_all(t, fd, leaf, e);
    t->depth--;
    return rc;
}

int tree_whiteout(struct tree *t, const struct tree_name *name, struct err *e)
{
    const char *victim = name->leaf + sizeof(TREE_WHITEOUT) - 1;
    if (victim[0] == '\0' || strcmp(victim, ".") == 0 ||
        strcmp(victim, "..") == 0)
        return tree_bad_name(name->leaf, "a whiteout of nothing", e);
    if (!t->has_lower)
        return 0;
    scoped_fd parent = tree_open(t, name->parent, O_RDONLY | O_DIRECTORY);
    if (parent < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_sys(e, errno, "open folder %.100s", name->parent);
    if (strcmp(name->leaf, OPAQUE) == 0)
        return hide_all(t, parent, name->parent, e);
    /* Other names with a double prefix are aufs' own bookkeeping. */
    if (strncmp(victim, TREE_WHITEOUT, sizeof(TREE_WHITEOUT) - 1) == 0)
        return 0;
    return hide(t, parent, victim, e);
}

int tree_begin(struct tree *t, struct err *e)
{
    char path[PATH_MAX];
    if (real_path(t->root, path, e) != 0)
        return -1;
    t->root_len = strlen(path);
    /* The root of a mount ends with the slash that leads to its folders. */
    if (t->root_len > 0 && path[t->root_len - 1] == '/')
        t->root_len--;
    return 0;
}

void tree_end(struct tree *t)
{
    tdestroy(t->written, free);
    t->written = NULL;
}
