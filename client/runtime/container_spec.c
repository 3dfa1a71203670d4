/* From the record of a container to what start needs; see container.h. */
#include "client/runtime/container.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static json_int_t integer(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key, const char *other)
{
    const char *v = json_member_string(o, key);
    return v != NULL ? v : other;
}

/* An array of strings as a NULL-terminated vector; lives until exit. */
static char *const *vector(const json_t *a)
{
    size_t n = json_array_size(a);
    const char **v = calloc(n + 1, sizeof(*v));
    for (size_t i = 0; v != NULL && i < n; i++)
        v[i] = json_string_value(json_array_get(a, i));
    return (char *const *)(uintptr_t)v;
}

/* What docker gives every process, unless the record says otherwise. */
static char *const *environment(const json_t *r)
{
    json_t *env = json_object_get(r, "env");
    const char *defaults[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=", "TERM=xterm"};
    size_t n = json_is_true(json_object_get(r, "tty")) ? 3 : 2, at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0, len = strcspn(defaults[i], "=") + 1;
        while (k < json_array_size(env) &&
               strncmp(json_string_value(json_array_get(env, k)), defaults[i],
                       len) != 0)
            k++;
        if (k == json_array_size(env))
            (void)json_array_insert_new(
                env, at++,
                json_sprintf("%s%s", defaults[i],
                             i == 1 ? text_of(r, "hostname", "berth") : ""));
    }
    return vector(env);
}

static int spec_lists(const json_t *r, struct rt_spec *o, struct err *e)
{
    const json_t *g = json_object_get(r, "groups"),
                 *m = json_object_get(r, "mounts"),
                 *u = json_object_get(r, "rlimits");
    if (json_array_size(g) > RT_GROUPS_MAX - 1 ||
        json_array_size(m) > RT_MOUNTS_MAX ||
        json_array_size(u) > RT_RLIMIT_MAX)
        return err_set(e, ERR_TOO_LARGE, "too many groups, mounts or ulimits");
    for (; o->n_groups < json_array_size(g); o->n_groups++)
        o->groups[o->n_groups] =
            json_string_value(json_array_get(g, o->n_groups));
    for (; o->n_mounts < json_array_size(m); o->n_mounts++) {
        const json_t *x = json_array_get(m, o->n_mounts);
        o->mounts[o->n_mounts] = (struct rt_mount){
            .kind = (enum rt_mount_kind)integer(x, "kind"),
            .source = text_of(x, "source", NULL),
            .target = text_of(x, "target", "/"),
            .options = text_of(x, "options", NULL),
            .is_read_only = json_is_true(json_object_get(x, "ro"))};
    }
    for (; o->n_rlimits < json_array_size(u); o->n_rlimits++) {
        const json_t *x = json_array_get(u, o->n_rlimits);
        o->rlimits[o->n_rlimits] = (struct rt_rlimit){
            (int)integer(x, "resource"),
            {(rlim_t)integer(x, "soft"), (rlim_t)integer(x, "hard")}};
    }
    return 0;
}

static int spec_layers(struct istore *s, const json_t *r, struct rt_spec *o,
                       struct err *e)
{
    struct istore_image img = {0};
    if (istore_container_image(r, &img, e) != 0)
        return -1;
    int rc = 0;
    if (img.n_layers == 0 || img.n_layers > RT_LAYERS_MAX)
        rc =
            err_set(e, ERR_UNSUPPORTED, "an image of %zu layers", img.n_layers);
    for (size_t i = img.n_layers; rc == 0 && i > 0; i--) {
        char *path = malloc(PATH_MAX);
        if (path == NULL)
            rc = err_set(e, ERR_NO_MEMORY, "out of memory");
        else
            rc = istore_layer_path(s, img.layers[i - 1], path, e);
        o->lower[o->n_lower++] = path;
    }
    istore_image_free(&img);
    return rc;
}

int ct_spec(struct istore *s, const char *id, const json_t *r,
            struct rt_spec *o, struct err *e)
{
    const json_t *l = json_object_get(r, "limits");
    char *dir = malloc(PATH_MAX);
    memset(o, 0, sizeof(*o));
    if (dir == NULL)
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    ct_dir(s, id, dir);
    (void)snprintf(o->id, sizeof(o->id), "%s", id);
    o->dir = dir;
    o->argv = vector(json_object_get(r, "argv"));
    o->env = environment(r);
    if (o->argv == NULL || o->env == NULL || o->argv[0] == NULL)
        return err_set(e, ERR_INVALID, "the record has no command");
    o->cwd = text_of(r, "cwd", "/");
    o->user = text_of(r, "user", "");
    o->hostname = text_of(r, "hostname", "berth");
    o->limits =
        (struct rt_limits){.memory = (uint64_t)integer(l, "memory"),
                           .memory_swap = integer(l, "memory_swap"),
                           .nano_cpus = (uint64_t)integer(l, "nano_cpus"),
                           .cpu_shares = (uint64_t)integer(l, "cpu_shares"),
                           .cpuset = text_of(l, "cpuset", NULL),
                           .pids = (uint64_t)integer(l, "pids")};
    o->caps = (uint64_t)integer(r, "caps");
    o->is_passing = json_is_true(json_object_get(r, "rm"));
    o->is_tty = json_is_true(json_object_get(r, "tty"));
    o->has_stdin = json_is_true(json_object_get(r, "stdin"));
    o->is_read_only = json_is_true(json_object_get(r, "read_only"));
    o->is_host_network = json_is_true(json_object_get(r, "host_network"));
    o->has_init = json_is_true(json_object_get(r, "init"));
    o->no_new_privs = json_is_true(json_object_get(r, "no_new_privs"));
    if (spec_lists(r, o, e) != 0)
        return -1;
    return spec_layers(s, r, o, e);
}
