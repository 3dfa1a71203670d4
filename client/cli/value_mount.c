/* Values of -v and --tmpfs. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "client/cli/value.h"

/* Copy a path without doubled and trailing slashes; false when too long. */
static bool clean_path(const char *p, size_t n, char out[PATH_MAX])
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '/' && k > 0 && out[k - 1] == '/')
            continue;
        if (k + 1 >= PATH_MAX)
            return false;
        out[k++] = p[i];
    }
    if (k > 1 && out[k - 1] == '/')
        k--;
    out[k] = '\0';
    return true;
}

static bool has_dotdot(const char *path)
{
    for (const char *p = path; (p = strstr(p, "..")) != NULL; p += 2) {
        if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0'))
            return true;
    }
    return false;
}

bool value_target(const char *text, size_t n, char out[PATH_MAX])
{
    return n > 0 && text[0] == '/' && clean_path(text, n, out) &&
           strcmp(out, "/") != 0 && !has_dotdot(out);
}

static int volume_mode(struct value_volume *v, const char *text, struct err *e)
{
    static const char *const known[] = {"ro", "rw",      "z",
                                        "Z",  "private", "rprivate"};
    for (const char *p = v->mode;; p++) {
        size_t n = strcspn(p, ","), k = 0;
        struct slice word = {p, n};
        while (k < array_len(known) && !slice_is(word, known[k]))
            k++;
        if (k == array_len(known))
            return err_set(e, ERR_INVALID, "-v %.100s: unknown mode %.*s", text,
                           (int)n, p);
        if (k == 0)
            v->is_read_only = true;
        p += n;
        if (*p == '\0')
            return 0;
    }
}

int value_volume(const char *text, const char *cwd, struct value_volume *v,
                 struct err *e)
{
    const char *colon = strchr(text, ':');
    const char *target = colon != NULL ? colon + 1 : text;
    size_t n = strcspn(target, ":");
    size_t src = colon != NULL ? (size_t)(colon - text) : 0;
    memset(v, 0, sizeof(*v));
    if (!value_target(target, n, v->target))
        return err_set(e, ERR_INVALID,
                       "-v %.100s: the target must be an absolute path below /",
                       text);
    if (target[n] == ':') {
        if (strlen(target + n + 1) >= sizeof(v->mode))
            return err_set(e, ERR_INVALID, "-v %.100s: unknown mode", text);
        (void)snprintf(v->mode, sizeof(v->mode), "%s", target + n + 1);
        if (volume_mode(v, text, e) != 0)
            return -1;
    }
    if (colon == NULL)
        return 0;
    if (text[0] == '.' && (src == 1 || text[1] == '/' || text[1] == '.')) {
        char joined[2 * PATH_MAX];
        int len =
            snprintf(joined, sizeof(joined), "%s/%.*s", cwd, (int)src, text);
        if (len > 0 && (size_t)len < sizeof(joined) &&
            clean_path(joined, (size_t)len, v->source))
            return 0;
    } else if (text[0] == '/' && clean_path(text, src, v->source)) {
        return 0;
    }
    return err_set(e, ERR_UNSUPPORTED,
                   "-v %.100s: the source must be a path (/x or ./x); this "
                   "version has no named volumes",
                   text);
}

/* A word without a value that a tmpfs may have. */
static bool tmpfs_word(struct value_tmpfs *t, const char *w)
{
    static const char *const plain[] = {"rw",      "nosuid",   "nodev",
                                        "noexec",  "relatime", "strictatime",
                                        "noatime", "private",  "rprivate"};
    const struct {
        const char *name;
        bool *flag;
    } set[] = {{"ro", &t->is_read_only},
               {"exec", &t->has_exec},
               {"suid", &t->has_suid},
               {"dev", &t->has_dev}};
    for (size_t i = 0; i < array_len(set); i++) {
        if (strcmp(w, set[i].name) == 0)
            return *set[i].flag = true;
    }
    for (size_t i = 0; i < array_len(plain); i++) {
        if (strcmp(w, plain[i]) == 0)
            return true;
    }
    return false;
}

int value_tmpfs(const char *text, struct value_tmpfs *t, struct err *e)
{
    static const char *const keys[] = {"size",      "mode", "uid",      "gid",
                                       "nr_blocks", "mpol", "nr_inodes"};
    size_t n = strcspn(text, ":");
    char *save = NULL;
    memset(t, 0, sizeof(*t));
    if (!value_target(text, n, t->target))
        return err_set(e, ERR_INVALID,
                       "--tmpfs %.100s: want an absolute path below /", text);
    if (text[n] == '\0')
        return 0;
    if (strlen(text + n + 1) >= sizeof(t->text))
        return err_set(e, ERR_INVALID, "--tmpfs %.100s: too many options",
                       text);
    (void)snprintf(t->text, sizeof(t->text), "%s", text + n + 1);
    for (char *w = strtok_r(t->text, ",", &save); w != NULL;
         w = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(w, '=');
        size_t k = 0;
        if (eq == NULL && tmpfs_word(t, w))
            continue;
        while (eq != NULL && k < array_len(keys) &&
               !slice_is((struct slice){w, (size_t)(eq - w)}, keys[k]))
            k++;
        if (eq == NULL || k == array_len(keys) || t->n == VALUE_TMPFS_OPTIONS)
            return err_set(e, ERR_INVALID,
                           "--tmpfs %.60s: unknown option %.60s", t->target, w);
        *eq = '\0';
        t->has_mode = t->has_mode || strcmp(w, "mode") == 0;
        t->option[t->n][0] = w;
        t->option[t->n++][1] = eq + 1;
    }
    return 0;
}
