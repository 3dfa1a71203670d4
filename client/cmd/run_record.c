/* From image and flags to the record of a container; see run_record.h. */
#include "client/cmd/run_record.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "client/cli/value.h"
#include "client/cmd/run_env.h"
#include "client/cmd/run_json.h"
#include "client/cmd/run_mounts.h"
#include "client/runtime/caps.h"
#include "client/runtime/spec.h"

#define HOSTNAME_MAX     64 /* what the kernel takes */
#define ONLINE_CPUS_FILE "/sys/devices/system/cpu/online"

/* What the image says, then the flags. */
static int put_env(json_t *r, const struct run_options *o, const json_t *config,
                   struct err *e)
{
    json_t *v, *env = json_array();
    size_t i;
    if (run_put(r, "env", env, e) != 0)
        return -1;
    json_array_foreach (json_object_get(config, "Env"), i, v) {
        const char *kv = json_string_value(v);
        if (kv != NULL && strchr(kv, '=') != NULL &&
            run_env_set(env, kv, false, e) != 0)
            return -1;
    }
    return run_env_flags(env, &o->env_file, &o->env, e);
}

/* ---- what it runs ------------------------------------------------------- */

static json_t *array_or_null(json_t *v)
{
    return json_array_size(v) > 0 ? json_incref(v) : json_null();
}

/* argv for the start; entrypoint and cmd apart for inspect. */
static int put_command(json_t *r, const struct run_options *o,
                       const json_t *config, char **args, int n, struct err *e)
{
    json_t *asked = json_object_get(r, "asked"), *argv = json_array();
    json_t *entry = NULL, *cmd = NULL;
    size_t i;
    json_t *v;
    if (run_put(r, "argv", argv, e) != 0)
        return -1;
    if (o->entrypoint == NULL)
        entry = array_or_null(json_object_get(config, "Entrypoint"));
    else if (o->entrypoint[0] != '\0')
        entry = json_pack("[s]", o->entrypoint);
    else
        entry = json_null();
    if (n > 0) {
        cmd = json_array();
        for (int k = 0; k < n; k++) {
            if (run_append(cmd, "the command", args[k], e) != 0) {
                json_decref(entry);
                json_decref(cmd);
                return -1;
            }
        }
    } else {
        cmd = o->entrypoint == NULL
                  ? array_or_null(json_object_get(config, "Cmd"))
                  : json_null();
    }
    if (json_is_array(entry))
        (void)json_array_extend(argv, entry);
    if (json_is_array(cmd))
        (void)json_array_extend(argv, cmd);
    if (run_put(asked, "entrypoint", entry, e) != 0) {
        json_decref(cmd);
        return -1;
    }
    if (run_put(asked, "cmd", cmd, e) != 0)
        return -1;
    json_array_foreach (argv, i, v) {
        if (!json_is_string(v))
            return err_set(e, ERR_INVALID,
                           "the command of the image is no list of texts");
    }
    if (json_array_size(argv) == 0)
        return err_set(e, ERR_INVALID,
                       "no command given, and the image has none");
    return 0;
}

static const char *or_config(const char *flag, const json_t *config,
                             const char *key, const char *other)
{
    const char *v = flag != NULL ? flag : json_member_string(config, key);
    return v != NULL && v[0] != '\0' ? v : other;
}

/* ---- rights and limits -------------------------------------------------- */

/* Capabilities of one flag, in docker's spelling, and their bits. */
static json_t *cap_list(const char *flag, const struct cli_list *l,
                        uint64_t *bits, struct err *e)
{
    json_t *a = json_array();
    *bits = 0;
    for (size_t i = 0; i < l->n; i++) {
        char name[CAPS_NAME_MAX];
        uint64_t one;
        if (caps_parse(l->v[i], &one, e) != 0 ||
            (caps_format(l->v[i], name), run_append(a, flag, name, e)) != 0) {
            json_decref(a);
            return NULL;
        }
        *bits |= one;
    }
    return a;
}

/* ALL first, then the single ones, as docker: `--cap-drop ALL --cap-add X`. */
static int put_caps(json_t *r, const struct run_options *o, struct err *e)
{
    json_t *asked = json_object_get(r, "asked");
    uint64_t add, drop, caps = caps_default();
    json_t *added = cap_list("--cap-add", &o->cap_add, &add, e);
    if (added == NULL || run_put(asked, "cap_add", added, e) != 0)
        return -1;
    json_t *dropped = cap_list("--cap-drop", &o->cap_drop, &drop, e);
    if (dropped == NULL || run_put(asked, "cap_drop", dropped, e) != 0)
        return -1;
    if (add == caps_all())
        caps = caps_all() & ~(drop == caps_all() ? 0 : drop);
    else
        caps = (caps & ~drop) | add;
    return run_put(r, "caps", json_integer((json_int_t)caps), e);
}

static int put_rlimits(json_t *r, const struct run_options *o, struct err *e)
{
    json_t *a = json_array();
    if (run_put(r, "rlimits", a, e) != 0)
        return -1;
    if (o->ulimits.n > RT_RLIMIT_MAX)
        return err_set(e, ERR_TOO_LARGE, "more than %d ulimits", RT_RLIMIT_MAX);
    for (size_t i = 0; i < o->ulimits.n; i++) {
        struct rlimit u;
        int resource;
        if (value_ulimit(o->ulimits.v[i], &resource, &u, e) != 0)
            return -1;
        (void)json_array_append_new(a, json_pack("{s:i,s:I,s:I}", "resource",
                                                 resource, "soft",
                                                 (json_int_t)u.rlim_cur, "hard",
                                                 (json_int_t)u.rlim_max));
    }
    return 0;
}

/* A number of CPUs, or certain CPUs, that the machine does not have. */
static int check_cpus(const struct run_options *o, uint64_t nano, struct err *e)
{
    scoped_fd fd = open(ONLINE_CPUS_FILE, O_RDONLY | O_CLOEXEC);
    char online[1024];
    struct value_cpuset have, want;
    struct err ignored;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n > 0 && nano > (uint64_t)n * 1000000000u)
        return err_set(e, ERR_RANGE, "--cpus %s: this machine has %ld", o->cpus,
                       n);
    if (o->cpuset == NULL)
        return 0;
    if (value_cpuset("--cpuset-cpus", o->cpuset, &want, e) != 0)
        return -1;
    ssize_t got = fd < 0 ? 0 : read(fd, online, sizeof(online) - 1);
    online[got > 0 ? got : 0] = '\0';
    online[strcspn(online, "\n")] = '\0';
    if (value_cpuset("online", online, &have, &ignored) != 0 ||
        value_cpuset_within(&want, &have))
        return 0;
    return err_set(e, ERR_RANGE, "--cpuset-cpus %.60s: this machine has %.60s",
                   o->cpuset, online);
}

static int put_limits(json_t *r, const struct run_options *o, struct err *e)
{
    uint64_t nano = 0;
    int64_t swap;
    if ((o->cpus != NULL && value_cpus(o->cpus, &nano, e) != 0) ||
        check_cpus(o, nano, e) != 0 ||
        value_swap(o->swap, o->memory, &swap, e) != 0)
        return -1;
    return run_put(
        r, "limits",
        json_pack("{s:I,s:I,s:I,s:I,s:I,s:s*}", "memory", (json_int_t)o->memory,
                  "memory_swap", (json_int_t)swap, "nano_cpus",
                  (json_int_t)nano, "cpu_shares", (json_int_t)o->shares, "pids",
                  (json_int_t)(o->pids > 0 ? o->pids : 0), "cpuset", o->cpuset),
        e);
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

/* ---- the whole ---------------------------------------------------------- */

/* With the host's network comes its name, as in docker. */
static json_t *host_name(const struct run_options *o, const char *id)
{
    char own[HOSTNAME_MAX + 1];
    if (o->hostname != NULL && o->hostname[0] != '\0')
        return json_string(o->hostname);
    if (strcmp(o->network, "host") == 0 && gethostname(own, sizeof(own)) == 0)
        return json_string(own);
    return json_sprintf("%.12s", id);
}

static int put_names(json_t *r, const struct run_options *o,
                     const json_t *config, const char *id, const char *image,
                     struct err *e)
{
    json_t *asked = json_object_get(r, "asked");
    struct timespec now;
    const char *sig = or_config(o->stop_signal, config, "StopSignal", "");
    json_t *host = host_name(o, id);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (run_put(r, "hostname", host, e) != 0)
        return -1;
    if (json_string_length(host) > HOSTNAME_MAX)
        return err_set(e, ERR_TOO_LARGE, "--hostname: at most %d bytes",
                       HOSTNAME_MAX);
    if (sig[0] != '\0' && value_signal(sig) < 0)
        return err_set(e, ERR_INVALID, "--stop-signal: unknown signal: %.60s",
                       sig);
    if (o->stop_timeout != RUN_STOP_DEFAULT &&
        run_put(asked, "stop_timeout", json_integer(o->stop_timeout), e) != 0)
        return -1;
    return run_put(r, "id", json_string(id), e) != 0 ||
                   run_put(r, "name", json_string(o->name), e) != 0 ||
                   run_put(r, "created", json_integer(now.tv_sec), e) != 0 ||
                   run_put(r, "created_ns", json_integer(now.tv_nsec), e) !=
                       0 ||
                   run_put(asked, "image", json_string(image), e) != 0 ||
                   run_put(r, "stop_signal", json_string(sig), e) != 0
               ? -1
               : 0;
}

/* What needs no more than to be written down. */
static int put_rest(json_t *r, const struct run_options *o,
                    const json_t *config, struct err *e)
{
    json_t *asked = json_object_get(r, "asked");
    json_t *more = json_pack(
        "{s:s,s:s,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:I}", "cwd",
        or_config(o->cwd, config, "WorkingDir", "/"), "user",
        or_config(o->user, config, "User", ""), "tty", o->tty, "stdin",
        o->interactive, "read_only", o->read_only, "host_network",
        strcmp(o->network, "host") == 0, "init", o->init, "no_new_privs",
        o->security.n > 0, "rm", o->rm, "stop_timeout",
        (json_int_t)(o->stop_timeout == RUN_STOP_DEFAULT ? RUN_STOP_S
                                                         : o->stop_timeout));
    if (more == NULL)
        return err_set(e, ERR_INVALID, "--user or --workdir is not UTF-8");
    int rc = json_object_update(r, more);
    json_decref(more);
    if (rc != 0)
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    if (run_put(asked, "attach", json_boolean(!o->detach), e) != 0 ||
        run_put(asked, "cidfile",
                json_string(o->cidfile != NULL ? o->cidfile : ""), e) != 0 ||
        run_put(asked, "workdir",
                json_string(or_config(o->cwd, config, "WorkingDir", "")),
                e) != 0)
        return -1;
    json_t *security = run_list("--security-opt", &o->security, e);
    if (security == NULL || run_put(asked, "security_opt", security, e) != 0)
        return -1;
    json_t *groups = run_list("--group-add", &o->groups, e);
    return groups == NULL ? -1 : run_put(r, "groups", groups, e);
}

json_t *run_record(const struct run_options *o, const json_t *config,
                   const char *id, const char *dir, char **args, int n,
                   struct err *e)
{
    json_t *r = json_object(), *labels;
    if (run_mounts(r, &o->volumes, &o->tmpfs, config, dir, e) == 0 &&
        put_names(r, o, config, id, args[0], e) == 0 &&
        put_command(r, o, config, args + 1, n - 1, e) == 0 &&
        put_env(r, o, config, e) == 0 && put_caps(r, o, e) == 0 &&
        put_rlimits(r, o, e) == 0 && put_limits(r, o, e) == 0 &&
        put_rest(r, o, config, e) == 0 &&
        (labels = make_labels(o, config, e)) != NULL &&
        run_put(r, "labels", labels, e) == 0)
        return r;
    json_decref(r);
    return NULL;
}
