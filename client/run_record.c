/* From image and flags to the record of a container; see run_record.h. */
#include "client/run_record.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "client/runtime/caps.h"
#include "client/runtime/container.h"

/* Set "K=V", or "K" from our own environment, in an array of "K=V". */
static void env_set(json_t *env, const char *kv)
{
    char from_host[8192];
    const char *eq = strchr(kv, '=');
    size_t n = eq != NULL ? (size_t)(eq - kv) + 1 : strlen(kv) + 1;
    if (eq == NULL) {
        const char *v = getenv(kv);
        if (v == NULL)
            return;
        (void)snprintf(from_host, sizeof(from_host), "%s=%s", kv, v);
        kv = from_host;
    }
    for (size_t i = 0; i < json_array_size(env); i++) {
        if (strncmp(json_string_value(json_array_get(env, i)), kv, n) == 0) {
            (void)json_array_set_new(env, i, json_string(kv));
            return;
        }
    }
    (void)json_array_append_new(env, json_string(kv));
}

static int env_from_file(json_t *env, const char *path, struct err *e)
{
    char *text = NULL, *save = NULL;
    size_t n;
    if (io_read_file(AT_FDCWD, path, 1 << 20, &text, &n, e) != 0)
        return err_prefix(e, "--env-file");
    for (char *l = strtok_r(text, "\n", &save); l != NULL;
         l = strtok_r(NULL, "\n", &save)) {
        l += strspn(l, " \t");
        if (*l != '#' && *l != '\0')
            env_set(env, l);
    }
    free(text);
    return 0;
}

static json_t *make_env(const struct run_options *o, const json_t *config,
                        const char *hostname, struct err *e)
{
    char text[300];
    size_t i;
    json_t *v, *env = json_array();
    env_set(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                 "/sbin:/bin");
    (void)snprintf(text, sizeof(text), "HOSTNAME=%s", hostname);
    env_set(env, text);
    if (o->tty)
        env_set(env, "TERM=xterm");
    json_array_foreach (json_object_get(config, "Env"), i, v) {
        if (json_is_string(v) && strchr(json_string_value(v), '=') != NULL)
            env_set(env, json_string_value(v));
    }
    for (i = 0; i < o->env_file.n; i++) {
        if (env_from_file(env, o->env_file.v[i], e) != 0) {
            json_decref(env);
            return NULL;
        }
    }
    for (i = 0; i < o->env.n; i++)
        env_set(env, o->env.v[i]);
    return env;
}

/* ---- the rest --------------------------------------------- */

static json_t *make_argv(const struct run_options *o, const json_t *config,
                         char **args, int n)
{
    json_t *argv = json_array(), *entry = json_object_get(config, "Entrypoint");
    if (o->entrypoint != NULL && o->entrypoint[0] != '\0')
        (void)json_array_append_new(argv, json_string(o->entrypoint));
    else if (o->entrypoint == NULL && json_is_array(entry))
        (void)json_array_extend(argv, entry);
    for (int i = 0; i < n; i++)
        (void)json_array_append_new(argv, json_string(args[i]));
    if (n == 0 && o->entrypoint == NULL) {
        json_t *cmd = json_object_get(config, "Cmd");
        if (json_is_array(cmd))
            (void)json_array_extend(argv, cmd);
    }
    return argv;
}

static json_t *list_json(const struct cli_list *l)
{
    json_t *a = json_array();
    for (size_t i = 0; i < l->n; i++)
        (void)json_array_append_new(a, json_string(l->v[i]));
    return a;
}

static int make_caps(const struct run_options *o, uint64_t *caps, struct err *e)
{
    uint64_t bits;
    *caps = caps_default();
    for (size_t i = 0; i < o->cap_drop.n; i++) {
        if (caps_parse(o->cap_drop.v[i], &bits, e) != 0)
            return -1;
        *caps &= ~bits;
    }
    for (size_t i = 0; i < o->cap_add.n; i++) {
        if (caps_parse(o->cap_add.v[i], &bits, e) != 0)
            return -1;
        *caps |= bits;
    }
    return 0;
}

static int add_volume(json_t *mounts, const char *text, struct err *e)
{
    char src[PATH_MAX], dst[PATH_MAX], opt[16] = "";
    if (sscanf(text, "%4095[^:]:%4095[^:]:%15s", src, dst, opt) < 2 ||
        src[0] != '/' || dst[0] != '/' ||
        (opt[0] != '\0' && strcmp(opt, "ro") != 0 && strcmp(opt, "rw") != 0))
        return err_set(e, ERR_INVALID,
                       "-v %s: want /SOURCE:/TARGET[:ro], absolute paths",
                       text);
    /* As docker: a source that is absent becomes a folder. */
    if (access(src, F_OK) != 0 && io_mkdir_all(src, 0755, e) != 0)
        return -1;
    return json_array_append_new(
        mounts, json_pack("{s:i,s:s,s:s,s:b}", "kind", RT_BIND, "source", src,
                          "target", dst, "ro", strcmp(opt, "ro") == 0));
}

static bool is_target(const json_t *mounts, const char *path)
{
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        const char *t = json_member_string(json_array_get(mounts, i), "target");
        if (t != NULL && strcmp(t, path) == 0)
            return true;
    }
    return false;
}

static json_t *make_mounts(const struct run_options *o, const json_t *config,
                           const char *dir, struct err *e)
{
    json_t *m = json_array(), *v;
    const char *path;
    size_t n = 0;
    for (size_t i = 0; i < o->volumes.n; i++) {
        if (add_volume(m, o->volumes.v[i], e) != 0)
            return NULL;
    }
    for (size_t i = 0; i < o->tmpfs.n; i++) {
        char dst[PATH_MAX], opts[200] = "";
        if (sscanf(o->tmpfs.v[i], "%4095[^:]:%199s", dst, opts) < 1 ||
            dst[0] != '/') {
            (void)err_set(e, ERR_INVALID, "--tmpfs %s: want an absolute path",
                          o->tmpfs.v[i]);
            return NULL;
        }
        (void)json_array_append_new(m,
                                    json_pack("{s:i,s:s,s:s}", "kind", RT_TMPFS,
                                              "target", dst, "options", opts));
    }
    json_object_foreach (json_object_get(config, "Volumes"), path, v) {
        char src[PATH_MAX];
        (void)snprintf(src, sizeof(src), "%.4000s/volumes/%zu", dir, n);
        if (path[0] != '/' || is_target(m, path))
            continue;
        n++;
        (void)json_array_append_new(m, json_pack("{s:i,s:s,s:s}", "kind",
                                                 RT_VOLUME, "source", src,
                                                 "target", path));
    }
    return m;
}

static json_t *make_rlimits(const struct run_options *o, struct err *e)
{
    static const struct {
        const char *name;
        int resource;
    } names[] = {{"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},
                 {"core", RLIMIT_CORE},     {"memlock", RLIMIT_MEMLOCK},
                 {"stack", RLIMIT_STACK},   {"fsize", RLIMIT_FSIZE},
                 {"cpu", RLIMIT_CPU},       {"as", RLIMIT_AS},
                 {"data", RLIMIT_DATA},     {"msgqueue", RLIMIT_MSGQUEUE}};
    json_t *a = json_array();
    for (size_t i = 0; i < o->ulimits.n; i++) {
        char name[32];
        unsigned long long soft, hard;
        int got =
            sscanf(o->ulimits.v[i], "%31[a-z]=%llu:%llu", name, &soft, &hard);
        size_t k = 0;
        while (got >= 2 && k < array_len(names) &&
               strcmp(name, names[k].name) != 0)
            k++;
        if (got < 2 || k == array_len(names)) {
            (void)err_set(e, ERR_INVALID, "invalid --ulimit: %s",
                          o->ulimits.v[i]);
            json_decref(a);
            return NULL;
        }
        (void)json_array_append_new(
            a, json_pack("{s:i,s:I,s:I}", "resource", names[k].resource, "soft",
                         (json_int_t)soft, "hard",
                         (json_int_t)(got == 3 ? hard : soft)));
    }
    return a;
}

/* "1.5" -> 1500 */
static int parse_cpus(const struct run_options *o, uint64_t *milli,
                      struct err *e)
{
    unsigned whole = 0, part = 0;
    char digits[4] = "000", tail = 0;
    *milli = 0;
    if (o->cpus == NULL)
        return 0;
    const char *dot = strchr(o->cpus, '.');
    int got = dot == o->cpus ? 1 : sscanf(o->cpus, "%4u", &whole);
    for (size_t i = 0; dot != NULL && i < 3 && dot[i + 1] != '\0'; i++)
        digits[i] = dot[i + 1];
    if (got != 1 || sscanf(digits, "%3u%c", &part, &tail) != 1 ||
        whole * 1000 + part < 10)
        return err_set(e, ERR_INVALID, "invalid --cpus: %s (from 0.01)",
                       o->cpus);
    *milli = whole * 1000 + part;
    return 0;
}

static json_t *make_limits(const struct run_options *o, struct err *e)
{
    uint64_t milli, swap = 0;
    bool is_free = o->swap != NULL && strcmp(o->swap, "-1") == 0;
    if (parse_cpus(o, &milli, e) != 0)
        return NULL;
    if (o->swap != NULL && !is_free &&
        (!cli_parse_size(o->swap, &swap) || swap < o->memory)) {
        (void)err_set(e, ERR_INVALID,
                      "--memory-swap %s: want at least the memory limit",
                      o->swap);
        return NULL;
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:s*}", "memory",
                     (json_int_t)o->memory, "memory_swap",
                     is_free ? (json_int_t)-1 : (json_int_t)swap, "cpu_milli",
                     (json_int_t)milli, "cpu_shares", (json_int_t)o->shares,
                     "pids", (json_int_t)o->pids, "cpuset", o->cpuset);
}

/* Set "K=V" ("K" alone: an empty value) in an array of such texts. */
static int label_set(json_t *labels, const char *key, size_t key_len,
                     const char *value, struct err *e)
{
    json_t *text = json_sprintf("%.*s=%s", (int)key_len, key, value);
    if (text == NULL)
        return err_set(e, ERR_INVALID, "bad label: %.100s", key);
    for (size_t i = 0; i < json_array_size(labels); i++) {
        if (strncmp(json_string_value(json_array_get(labels, i)),
                    json_string_value(text), key_len + 1) == 0)
            return json_array_set_new(labels, i, text);
    }
    return json_array_append_new(labels, text);
}

/* The image's labels, then those of --label: the latter win. */
static json_t *make_labels(const struct run_options *o, const json_t *config,
                           struct err *e)
{
    json_t *v, *labels = json_array();
    const char *key;
    int rc = 0;
    json_object_foreach (json_object_get(config, "Labels"), key, v) {
        if (rc == 0 && json_is_string(v))
            rc = label_set(labels, key, strlen(key), json_string_value(v), e);
    }
    for (size_t i = 0; i < o->labels.n && rc == 0; i++) {
        const char *text = o->labels.v[i];
        size_t n = strcspn(text, "=");
        rc = n == 0 ? err_set(e, ERR_INVALID, "bad --label: \"%.100s\"", text)
                    : label_set(labels, text, n,
                                text[n] == '=' ? text + n + 1 : "", e);
    }
    if (rc == 0)
        return labels;
    json_decref(labels);
    return NULL;
}

static const char *or_config(const char *flag, const json_t *config,
                             const char *key, const char *other)
{
    const char *v = flag != NULL ? flag : json_member_string(config, key);
    return v != NULL && v[0] != '\0' ? v : other;
}

json_t *run_record(const struct run_options *o, const json_t *config,
                   const char *id, const char *dir, char **args, int n,
                   struct err *e)
{
    uint64_t caps;
    char host[65];
    (void)snprintf(host, sizeof(host), "%.64s",
                   o->hostname != NULL ? o->hostname : "");
    if (o->hostname == NULL)
        (void)snprintf(host, sizeof(host), "%.12s", id);
    json_t *labels = make_labels(o, config, e);
    if (labels == NULL)
        return NULL;
    json_t *argv = make_argv(o, config, args, n);
    if (json_array_size(argv) == 0) {
        (void)err_set(e, ERR_INVALID,
                      "no command given, and the image has "
                      "none");
        return NULL;
    }
    json_t *env = make_env(o, config, host, e);
    json_t *mounts = env ? make_mounts(o, config, dir, e) : NULL;
    json_t *rlimits = mounts ? make_rlimits(o, e) : NULL;
    json_t *limits = rlimits ? make_limits(o, e) : NULL;
    if (limits == NULL || make_caps(o, &caps, e) != 0)
        return NULL;
    const char *sig =
        or_config(o->stop_signal, config, "StopSignal", "SIGTERM");
    if (ct_signal(sig) < 0) {
        (void)err_set(e, ERR_INVALID, "unknown signal: %s", sig);
        return NULL;
    }
    return json_pack(
        "{s:s,s:s,s:I,s:o,s:o,s:s,s:s,s:o,s:s,s:o,s:o,s:o,s:I,s:b,s:b,s:b,s:b,"
        "s:b,s:b,s:b,s:s,s:I,s:o}",
        "id", id, "name", o->name, "created", (json_int_t)clock_wall_s(),
        "argv", argv, "env", env, "cwd",
        or_config(o->cwd, config, "WorkingDir", "/"), "user",
        or_config(o->user, config, "User", ""), "groups", list_json(&o->groups),
        "hostname", host, "mounts", mounts, "rlimits", rlimits, "limits",
        limits, "caps", (json_int_t)caps, "tty", o->tty, "stdin",
        o->interactive, "read_only", o->read_only, "host_network",
        strcmp(o->network, "host") == 0, "init", o->init, "no_new_privs",
        o->security.n > 0, "rm", o->rm, "stop_signal", sig, "stop_timeout",
        (json_int_t)o->stop_timeout, "labels", labels);
}
