/* What the user mounts: -v, VOLUME, --tmpfs, and the files of /etc. */
#include "client/runtime/rootfs_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/runtime/copyup.h"

/* "size=64m,mode=1777,ro" for a tmpfs; unknown words are refused. */
static int user_tmpfs(const struct rt_mount *m, struct err *e)
{
    const char *o[8][2];
    size_t n = 0;
    unsigned attr = ROOTFS_SAFE;
    char text[256];
    bool has_mode = false;
    (void)snprintf(text, sizeof(text), "%s", m->options ? m->options : "");
    char *save = NULL;
    for (char *w = strtok_r(text, ",", &save); w != NULL && n < 7;
         w = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(w, '=');
        if (eq != NULL) {
            *eq = '\0';
            has_mode = has_mode || strcmp(w, "mode") == 0;
            o[n][0] = w;
            o[n++][1] = eq + 1;
        } else if (strcmp(w, "ro") == 0) {
            attr |= MOUNT_ATTR_RDONLY;
        } else if (strcmp(w, "exec") == 0) {
            attr &= ~(unsigned)MOUNT_ATTR_NOEXEC;
        } else if (strcmp(w, "suid") == 0) {
            attr &= ~(unsigned)MOUNT_ATTR_NOSUID;
        } else if (strcmp(w, "dev") == 0) {
            attr &= ~(unsigned)MOUNT_ATTR_NODEV;
        } else if (strcmp(w, "rw") != 0 && strncmp(w, "no", 2) != 0) {
            return err_set(e, ERR_INVALID, "unknown tmpfs option: %s", w);
        }
    }
    if (!has_mode) {
        o[n][0] = "mode";
        o[n++][1] = "1777";
    }
    return rootfs_make_mount("tmpfs", (const char *const(*)[2])o, n, attr, e);
}

static int user_mount(const struct rt_mount *m, int rootfd, struct err *e)
{
    struct stat st;
    if (m->kind == RT_TMPFS) {
        scoped_fd fs = user_tmpfs(m, e);
        scoped_fd at = fs < 0 ? -1 : rootfs_make_dir(rootfd, m->target, e);
        return at < 0 ? -1 : rootfs_attach(fs, at, m->target, e);
    }
    scoped_fd src = open(m->source, O_PATH | O_CLOEXEC);
    if (src < 0 || fstat(src, &st) != 0)
        return err_sys(e, errno, "open %s for -v", m->source);
    scoped_fd at = S_ISDIR(st.st_mode) ? rootfs_make_dir(rootfd, m->target, e)
                                       : rootfs_make_file(rootfd, m->target, e);
    if (at < 0)
        return -1;
    if (m->kind == RT_VOLUME && copyup_dir(at, m->source, e) != 0)
        return -1;
    scoped_fd copy = rootfs_clone_tree(src, m->source, e);
    if (copy < 0 || (m->is_read_only &&
                     rootfs_set_read_only(copy, true, m->target, e) != 0))
        return -1;
    return rootfs_attach(copy, at, m->target, e);
}

static int etc_file(const struct rt_spec *s, const char *name, int rootfd,
                    struct err *e)
{
    char from[PATH_MAX], to[64];
    (void)snprintf(from, sizeof(from), "%.4000s/%s", s->dir, name);
    (void)snprintf(to, sizeof(to), "/etc/%s", name);
    const struct rt_mount m = {.kind = RT_BIND, .source = from, .target = to};
    return user_mount(&m, rootfd, e);
}

int rootfs_user_mounts(const struct rt_spec *s, int rootfd, struct err *e)
{
    static const char *const etc[] = {"hosts", "hostname", "resolv.conf"};
    for (size_t i = 0; i < array_len(etc); i++) {
        if (etc_file(s, etc[i], rootfd, e) != 0)
            return -1;
    }
    for (size_t i = 0; i < s->n_mounts; i++) {
        if (user_mount(&s->mounts[i], rootfd, e) != 0)
            return -1;
    }
    return 0;
}
