#include "client/cmd/run_mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "client/cli/value.h"
#include "client/cmd/run_json.h"
#include "client/runtime/spec.h"

static json_t *find_target(const json_t *mounts, const char *path)
{
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        json_t *m = json_array_get(mounts, i);
        const char *t = json_member_string(m, "target");
        if (t != NULL && strcmp(t, path) == 0)
            return m;
    }
    return NULL;
}

/* An anonymous volume: a folder with a name of its own in the container's. */
static int add_anonymous(json_t *mounts, const char *dir, const char *target,
                         bool is_read_only, struct err *e)
{
    char name[65], source[PATH_MAX];
    io_random_hex(name, 32);
    (void)snprintf(source, sizeof(source), "%.3900s/volumes/%s", dir, name);
    json_t *m =
        json_pack("{s:i,s:s,s:s,s:s,s:b}", "kind", RT_VOLUME, "name", name,
                  "source", source, "target", target, "ro", is_read_only);
    return json_array_append_new(mounts, m) == 0
               ? 0
               : err_set(e, ERR_INVALID, "bad volume: %.100s", target);
}

static int add_bind(json_t *mounts, const struct value_volume *v, struct err *e)
{
    /* As docker: a source that is absent becomes a folder. */
    if (access(v->source, F_OK) != 0 &&
        (errno != ENOENT || io_mkdir_all(v->source, 0755, e) != 0))
        return errno != ENOENT ? err_sys(e, errno, "look at %s", v->source)
                               : -1;
    json_t *m =
        json_pack("{s:i,s:s,s:s,s:s,s:b}", "kind", RT_BIND, "source", v->source,
                  "target", v->target, "mode", v->mode, "ro", v->is_read_only);
    return json_array_append_new(mounts, m) == 0
               ? 0
               : err_set(e, ERR_INVALID, "-v %.100s: not UTF-8", v->source);
}

static int add_volumes(const struct cli_list *list, json_t *mounts,
                       json_t *asked, const char *dir, struct err *e)
{
    json_t *binds = json_object_get(asked, "binds");
    json_t *volumes = json_object_get(asked, "volumes");
    char cwd[PATH_MAX];
    if (getcwd(cwd, sizeof(cwd)) == NULL)
        return err_sys(e, errno, "find the current folder");
    for (size_t i = 0; i < list->n; i++) {
        struct value_volume v;
        const char *text = list->v[i];
        if (value_volume(text, cwd, &v, e) != 0)
            return -1;
        const json_t *same = find_target(mounts, v.target);
        const char *source = same ? json_member_string(same, "source") : NULL;
        if (same != NULL && v.source[0] != '\0' && source != NULL &&
            strcmp(source, v.source) == 0)
            continue;
        if (same != NULL)
            return err_set(e, ERR_INVALID, "-v %.100s: duplicate mount point",
                           text);
        if (v.source[0] != '\0') {
            json_t *bind = json_sprintf("%s:%s%s%s", v.source, v.target,
                                        v.mode[0] != '\0' ? ":" : "", v.mode);
            if (add_bind(mounts, &v, e) != 0)
                return -1;
            (void)json_array_append_new(binds, bind);
        } else if (add_anonymous(mounts, dir, v.target, v.is_read_only, e) !=
                       0 ||
                   run_put(volumes, v.target, json_object(), e) != 0) {
            return -1;
        }
    }
    return 0;
}

static int add_tmpfs(const struct cli_list *tmpfs, json_t *mounts,
                     json_t *asked, struct err *e)
{
    json_t *all = json_object_get(asked, "tmpfs");
    for (size_t i = 0; i < tmpfs->n; i++) {
        struct value_tmpfs t;
        const char *text = tmpfs->v[i];
        if (value_tmpfs(text, &t, e) != 0)
            return -1;
        if (find_target(mounts, t.target) != NULL)
            return err_set(e, ERR_INVALID,
                           "--tmpfs %.100s: duplicate mount point", text);
        const char *options = text + strcspn(text, ":");
        options += *options == ':';
        json_t *m =
            json_pack("{s:i,s:s,s:s,s:b}", "kind", RT_TMPFS, "target", t.target,
                      "options", options, "ro", t.is_read_only);
        if (json_array_append_new(mounts, m) != 0)
            return err_set(e, ERR_INVALID, "--tmpfs %.100s: not UTF-8", text);
        if (run_put(all, t.target, json_string(options), e) != 0)
            return -1;
    }
    return 0;
}

/* VOLUME of the image, where the user mounts nothing. */
static int add_image_volumes(const json_t *config, json_t *mounts,
                             json_t *asked, const char *dir, struct err *e)
{
    json_t *list = json_object_get(config, "Volumes"), *v;
    json_t *volumes = json_object_get(asked, "volumes");
    const char *path;
    json_object_foreach (list, path, v) {
        char target[PATH_MAX];
        if (!value_target(path, strlen(path), target))
            return err_set(e, ERR_INVALID,
                           "the image has a volume at \"%.100s\", which is no "
                           "absolute path below /",
                           path);
        if (run_put(volumes, path, json_object(), e) != 0)
            return -1;
        if (find_target(mounts, target) == NULL &&
            add_anonymous(mounts, dir, target, false, e) != 0)
            return -1;
    }
    return 0;
}

static size_t depth_of(const json_t *mount)
{
    const char *p = json_member_string(mount, "target");
    size_t n = 0;
    for (; p != NULL && *p != '\0'; p++)
        n += *p == '/';
    return n;
}

/* Parents first, else in the order given: /x must not cover /x/y. */
static json_t *sorted(json_t *mounts)
{
    json_t *out = json_array(), *m;
    size_t left = json_array_size(mounts), i;
    for (size_t depth = 1; left > 0 && depth < PATH_MAX; depth++) {
        json_array_foreach (mounts, i, m) {
            if (depth_of(m) == depth) {
                (void)json_array_append(out, m);
                left--;
            }
        }
    }
    json_decref(mounts);
    return out;
}

int run_mounts(json_t *record, const struct cli_list *volumes,
               const struct cli_list *tmpfs, const json_t *config,
               const char *dir, struct err *e)
{
    json_t *mounts = json_array();
    json_t *asked = json_pack("{s:[],s:{},s:{}}", "binds", "volumes", "tmpfs");
    if (run_put(record, "asked", asked, e) != 0 ||
        add_volumes(volumes, mounts, asked, dir, e) != 0 ||
        add_tmpfs(tmpfs, mounts, asked, e) != 0 ||
        add_image_volumes(config, mounts, asked, dir, e) != 0) {
        json_decref(mounts);
        return -1;
    }
    if (json_array_size(mounts) > RT_MOUNTS_MAX) {
        json_decref(mounts);
        return err_set(e, ERR_TOO_LARGE, "more than %d mounts", RT_MOUNTS_MAX);
    }
    return run_put(record, "mounts", sorted(mounts), e);
}
