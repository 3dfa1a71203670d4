/* passwd and group without libc; see user.h. */
#include "client/runtime/user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"

#define ID_MAX 2147483647u

/* Field `want` (0-based) of a line "a:b:c"; false when there is none. */
static bool field(struct slice line, unsigned want, struct slice *out)
{
    const char *p = line.p, *end = line.p + line.n;
    for (unsigned i = 0;; i++) {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        const char *stop = colon != NULL ? colon : end;
        if (i == want) {
            *out = (struct slice){p, (size_t)(stop - p)};
            return true;
        }
        if (colon == NULL)
            return false;
        p = colon + 1;
    }
}

/* The next line of *text; false at the end. */
static bool next_line(const char **text, struct slice *line)
{
    if (*text == NULL || **text == '\0')
        return false;
    const char *nl = strchr(*text, '\n');
    size_t n = nl != NULL ? (size_t)(nl - *text) : strlen(*text);
    *line = (struct slice){*text, n};
    *text += n + (nl != NULL ? 1 : 0);
    return true;
}

/* The line whose field `key` is `want`. */
static bool find_line(const char *text, unsigned key, struct slice want,
                      struct slice *line)
{
    struct slice f;
    while (next_line(&text, line)) {
        if (field(*line, key, &f) && slice_eq(f, want))
            return true;
    }
    return false;
}

static bool is_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return s.n > 0;
}

static bool id_field(struct slice line, unsigned n, uint32_t *id)
{
    struct slice f;
    uint64_t v;
    if (!field(line, n, &f) || !num_parse_u64(f, ID_MAX, &v))
        return false;
    *id = (uint32_t)v;
    return true;
}

static int resolve_gid(struct slice name, const char *group, gid_t *gid,
                       struct err *e)
{
    struct slice line;
    uint64_t v;
    if (is_digits(name)) {
        if (!num_parse_u64(name, ID_MAX, &v))
            return err_set(e, ERR_RANGE, "group id %.*s is out of range",
                           (int)name.n, name.p);
        *gid = (gid_t)v;
        return 0;
    }
    if (name.n == 0 || !find_line(group, 0, name, &line) ||
        !id_field(line, 2, gid))
        return err_set(e, ERR_NOT_FOUND,
                       "unable to find group %.*s: no matching entries in "
                       "group file",
                       (int)name.n, name.p);
    return 0;
}

static void add_group(struct user *u, gid_t gid)
{
    for (size_t i = 0; i < u->n_groups; i++) {
        if (u->groups[i] == gid)
            return;
    }
    if (u->n_groups < RT_GROUPS_MAX)
        u->groups[u->n_groups++] = gid;
}

/* Is `name` in the comma list of a group line? */
static bool is_member(struct slice line, struct slice name)
{
    struct slice list;
    if (!field(line, 3, &list))
        return false;
    const char *p = list.p, *end = list.p + list.n;
    while (p <= end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma != NULL ? comma : end;
        if (slice_eq((struct slice){p, (size_t)(stop - p)}, name))
            return true;
        p = stop + 1;
    }
    return false;
}

static void add_memberships(struct user *u, struct slice name,
                            const char *group)
{
    struct slice line;
    gid_t gid;
    while (next_line(&group, &line)) {
        if (is_member(line, name) && id_field(line, 2, &gid))
            add_group(u, gid);
    }
}

/* Take uid, gid and home from the passwd line of this user, if any. */
static int resolve_uid(struct slice name, const char *passwd, struct user *u,
                       struct slice *login, struct err *e)
{
    struct slice line, home;
    uint64_t v;
    bool found;
    *login = (struct slice){NULL, 0};
    if (is_digits(name)) {
        if (!num_parse_u64(name, ID_MAX, &v))
            return err_set(e, ERR_RANGE, "user id %.*s is out of range",
                           (int)name.n, name.p);
        u->uid = (uid_t)v;
        char text[16];
        (void)snprintf(text, sizeof(text), "%u", u->uid);
        found = find_line(passwd, 2, slice_of(text), &line);
    } else {
        found = find_line(passwd, 0, name, &line) && id_field(line, 2, &u->uid);
        if (!found)
            return err_set(e, ERR_NOT_FOUND,
                           "unable to find user %.*s: no matching entries in "
                           "passwd file",
                           (int)name.n, name.p);
    }
    if (!found)
        return 0;
    (void)id_field(line, 3, &u->gid);
    if (field(line, 5, &home) && home.n > 0 && home.n < sizeof(u->home) &&
        home.p[0] == '/')
        (void)snprintf(u->home, sizeof(u->home), "%.*s", (int)home.n, home.p);
    (void)field(line, 0, login);
    return 0;
}

int user_resolve(const char *spec, const char *const *extra, size_t n_extra,
                 const char *passwd, const char *group, struct user *u,
                 struct err *e)
{
    *u = (struct user){.home = "/"};
    if (spec == NULL || spec[0] == '\0')
        spec = "0";
    const char *colon = strchr(spec, ':');
    struct slice name = {spec,
                         colon != NULL ? (size_t)(colon - spec) : strlen(spec)};
    struct slice login;
    if (name.n == 0)
        name = slice_of("0");
    if (resolve_uid(name, passwd, u, &login, e) != 0)
        return -1;
    if (colon != NULL && colon[1] != '\0') {
        if (resolve_gid(slice_of(colon + 1), group, &u->gid, e) != 0)
            return -1;
        add_group(u, u->gid);
    } else {
        add_group(u, u->gid);
        if (login.n > 0)
            add_memberships(u, login, group);
    }
    for (size_t i = 0; i < n_extra; i++) {
        gid_t gid;
        if (resolve_gid(slice_of(extra[i]), group, &gid, e) != 0)
            return -1;
        add_group(u, gid);
    }
    return 0;
}

/* The text of a file of the image, or NULL when there is none. */
static int read_in(int rootfd, const char *path, char **out, struct err *e)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    struct stat st;
    struct statfs fs;
    *out = NULL;
    scoped_fd fd = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
    if (fd < 0 || fstat(fd, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_sys(e, errno, "open %s of the image", path);
    /* Files of /proc are regular too: that would be ours, or have no end. */
    if (!S_ISREG(st.st_mode) || st.st_size > USER_FILE_MAX ||
        fstatfs(fd, &fs) != 0 || fs.f_type == PROC_SUPER_MAGIC)
        return err_set(e, ERR_INVALID,
                       "%s of the image is no regular file of at most 1 MiB",
                       path);
    /* Only now that it is known to be a plain file is it opened to read. */
    how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    scoped_fd in = (int)syscall(SYS_openat2, rootfd, path, &how, sizeof(how));
    if (in < 0 || fstat(in, &st) != 0 || !S_ISREG(st.st_mode) ||
        fstatfs(in, &fs) != 0 || fs.f_type == PROC_SUPER_MAGIC)
        return err_set(e, ERR_INVALID, "%s of the image changed", path);
    scoped_free char *text = malloc(USER_FILE_MAX + 1);
    if (text == NULL)
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    size_t n = 0;
    ssize_t got = 0;
    while (n < USER_FILE_MAX &&
           (got = read(in, text + n, USER_FILE_MAX - n)) > 0)
        n += (size_t)got;
    if (got < 0)
        return err_sys(e, errno, "read %s of the image", path);
    text[n] = '\0';
    *out = take_ptr(text);
    return 0;
}

int user_resolve_in(int rootfd, const char *spec, const char *const *extra,
                    size_t n_extra, struct user *out, struct err *e)
{
    scoped_free char *passwd = NULL;
    scoped_free char *group = NULL;
    if (read_in(rootfd, "etc/passwd", &passwd, e) != 0 ||
        read_in(rootfd, "etc/group", &group, e) != 0)
        return -1;
    return user_resolve(spec, extra, n_extra, passwd, group, out, e);
}
