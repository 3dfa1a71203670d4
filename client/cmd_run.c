/*
 * berth run, and start of what was run before: image and flags become a
 * record, the monitor does the rest.
 */
#include "client/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "client/cli.h"
#include "client/image/store.h"
#include "client/runtime/caps.h"
#include "client/runtime/container.h"
#include "client/runtime/monitor.h"
#include "client/runtime/start.h"

static struct {
    bool detach, interactive, tty, rm, read_only, init;
    const char *name, *cwd, *user, *hostname, *entrypoint, *cpus, *cpuset,
        *network, *stop_signal, *pull, *platform, *cidfile, *swap;
    struct cli_list env, env_file, groups, volumes, tmpfs, cap_add, cap_drop,
        security, ulimits, labels;
    uint64_t memory, shares, pids, stop_timeout;
} o = {.network = "none", .pull = "missing", .stop_timeout = 10};

static const struct cli_flag flags[] = {
    {"cap-add", 0, CLI_LIST, &o.cap_add, "CAP", "Add a capability"},
    {"cap-drop", 0, CLI_LIST, &o.cap_drop, "CAP", "Drop a capability, or ALL"},
    {"cidfile", 0, CLI_STR, &o.cidfile, "FILE", "Write the id to a new file"},
    {"cpu-shares", 'c', CLI_U64, &o.shares, "N", "Relative CPU weight"},
    {"cpus", 0, CLI_STR, &o.cpus, "N.M", "Number of CPUs"},
    {"cpuset-cpus", 0, CLI_STR, &o.cpuset, "LIST", "CPUs to use (0-3, 0,1)"},
    {"detach", 'd', CLI_BOOL, &o.detach, NULL, "Run in the background"},
    {"entrypoint", 0, CLI_STR, &o.entrypoint, "CMD", "Replace the entrypoint"},
    {"env", 'e', CLI_LIST, &o.env, "K=V", "Set a variable"},
    {"env-file", 0, CLI_LIST, &o.env_file, "FILE", "Variables from a file"},
    {"group-add", 0, CLI_LIST, &o.groups, "GROUP", "Further groups"},
    {"hostname", 'h', CLI_STR, &o.hostname, "NAME", "Host name"},
    {"init", 0, CLI_BOOL, &o.init, NULL, "An init as pid 1 that reaps"},
    {"interactive", 'i', CLI_BOOL, &o.interactive, NULL, "Keep stdin open"},
    {"label", 'l', CLI_LIST, &o.labels, "K=V", "Set a label"},
    {"memory", 'm', CLI_SIZE, &o.memory, "BYTES", "Memory limit (64m, 1g)"},
    {"memory-swap", 0, CLI_STR, &o.swap, "BYTES",
     "Memory plus swap; -1: no limit"},
    {"name", 0, CLI_STR, &o.name, "NAME", "Name of the container"},
    {"network", 0, CLI_STR, &o.network, "none|host",
     "Network (default none: loopback only)"},
    {"pids-limit", 0, CLI_U64, &o.pids, "N", "Limit of processes"},
    {"platform", 0, CLI_STR, &o.platform, "OS/ARCH", "Platform to pull"},
    {"pull", 0, CLI_STR, &o.pull, "POLICY", "missing, always or never"},
    {"read-only", 0, CLI_BOOL, &o.read_only, NULL, "Root file system ro"},
    {"rm", 0, CLI_BOOL, &o.rm, NULL, "Remove the container when it ends"},
    {"security-opt", 0, CLI_LIST, &o.security, "OPT", "no-new-privileges"},
    {"stop-signal", 0, CLI_STR, &o.stop_signal, "SIG", "Signal of stop"},
    {"stop-timeout", 0, CLI_U64, &o.stop_timeout, "S", "Seconds before KILL"},
    {"tmpfs", 0, CLI_LIST, &o.tmpfs, "PATH[:OPTS]", "Mount a tmpfs"},
    {"tty", 't', CLI_BOOL, &o.tty, NULL, "Give it a terminal"},
    {"ulimit", 0, CLI_LIST, &o.ulimits, "NAME=SOFT[:HARD]", "Set a limit"},
    {"user", 'u', CLI_STR, &o.user, "USER[:GROUP]", "User"},
    {"volume", 'v', CLI_LIST, &o.volumes, "SRC:DST[:ro]", "Bind mount"},
    {"workdir", 'w', CLI_STR, &o.cwd, "DIR", "Working directory"},
};

static const struct cli_verb verb = {
    "run",
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Run a command in a new container. It has no network but its loopback\n"
    "interface unless --network host is given.",
    flags,
    array_len(flags),
    1,
    -1,
    true};

/* ---- environment -------------------------------------------------------- */

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

static json_t *make_env(const json_t *config, const char *hostname,
                        struct err *e)
{
    char text[300];
    size_t i;
    json_t *v, *env = json_array();
    env_set(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                 "/sbin:/bin");
    (void)snprintf(text, sizeof(text), "HOSTNAME=%s", hostname);
    env_set(env, text);
    if (o.tty)
        env_set(env, "TERM=xterm");
    json_array_foreach (json_object_get(config, "Env"), i, v) {
        if (json_is_string(v) && strchr(json_string_value(v), '=') != NULL)
            env_set(env, json_string_value(v));
    }
    for (i = 0; i < o.env_file.n; i++) {
        if (env_from_file(env, o.env_file.v[i], e) != 0) {
            json_decref(env);
            return NULL;
        }
    }
    for (i = 0; i < o.env.n; i++)
        env_set(env, o.env.v[i]);
    return env;
}

/* ---- the rest of the record --------------------------------------------- */

static json_t *make_argv(const json_t *config, char **args, int n)
{
    json_t *argv = json_array(), *entry = json_object_get(config, "Entrypoint");
    if (o.entrypoint != NULL && o.entrypoint[0] != '\0')
        (void)json_array_append_new(argv, json_string(o.entrypoint));
    else if (o.entrypoint == NULL && json_is_array(entry))
        (void)json_array_extend(argv, entry);
    for (int i = 0; i < n; i++)
        (void)json_array_append_new(argv, json_string(args[i]));
    if (n == 0 && o.entrypoint == NULL) {
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

static int make_caps(uint64_t *caps, struct err *e)
{
    uint64_t bits;
    *caps = caps_default();
    for (size_t i = 0; i < o.cap_drop.n; i++) {
        if (caps_parse(o.cap_drop.v[i], &bits, e) != 0)
            return -1;
        *caps &= ~bits;
    }
    for (size_t i = 0; i < o.cap_add.n; i++) {
        if (caps_parse(o.cap_add.v[i], &bits, e) != 0)
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

static json_t *make_mounts(const json_t *config, const char *dir, struct err *e)
{
    json_t *m = json_array(), *v;
    const char *path;
    size_t n = 0;
    for (size_t i = 0; i < o.volumes.n; i++) {
        if (add_volume(m, o.volumes.v[i], e) != 0)
            return NULL;
    }
    for (size_t i = 0; i < o.tmpfs.n; i++) {
        char dst[PATH_MAX], opts[200] = "";
        if (sscanf(o.tmpfs.v[i], "%4095[^:]:%199s", dst, opts) < 1 ||
            dst[0] != '/') {
            (void)err_set(e, ERR_INVALID, "--tmpfs %s: want an absolute path",
                          o.tmpfs.v[i]);
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

static json_t *make_rlimits(struct err *e)
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
    for (size_t i = 0; i < o.ulimits.n; i++) {
        char name[32];
        unsigned long long soft, hard;
        int got =
            sscanf(o.ulimits.v[i], "%31[a-z]=%llu:%llu", name, &soft, &hard);
        size_t k = 0;
        while (got >= 2 && k < array_len(names) &&
               strcmp(name, names[k].name) != 0)
            k++;
        if (got < 2 || k == array_len(names)) {
            (void)err_set(e, ERR_INVALID, "invalid --ulimit: %s",
                          o.ulimits.v[i]);
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
static int parse_cpus(uint64_t *milli, struct err *e)
{
    unsigned whole = 0, part = 0;
    char digits[4] = "000", tail = 0;
    *milli = 0;
    if (o.cpus == NULL)
        return 0;
    const char *dot = strchr(o.cpus, '.');
    int got = dot == o.cpus ? 1 : sscanf(o.cpus, "%4u", &whole);
    for (size_t i = 0; dot != NULL && i < 3 && dot[i + 1] != '\0'; i++)
        digits[i] = dot[i + 1];
    if (got != 1 || sscanf(digits, "%3u%c", &part, &tail) != 1 ||
        whole * 1000 + part < 10)
        return err_set(e, ERR_INVALID, "invalid --cpus: %s (from 0.01)",
                       o.cpus);
    *milli = whole * 1000 + part;
    return 0;
}

static json_t *make_limits(struct err *e)
{
    uint64_t milli, swap = 0;
    bool is_free = o.swap != NULL && strcmp(o.swap, "-1") == 0;
    if (parse_cpus(&milli, e) != 0)
        return NULL;
    if (o.swap != NULL && !is_free &&
        (!cli_parse_size(o.swap, &swap) || swap < o.memory)) {
        (void)err_set(e, ERR_INVALID,
                      "--memory-swap %s: want at least the memory limit",
                      o.swap);
        return NULL;
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:s*}", "memory",
                     (json_int_t)o.memory, "memory_swap",
                     is_free ? (json_int_t)-1 : (json_int_t)swap, "cpu_milli",
                     (json_int_t)milli, "cpu_shares", (json_int_t)o.shares,
                     "pids", (json_int_t)o.pids, "cpuset", o.cpuset);
}

static const char *or_config(const char *flag, const json_t *config,
                             const char *key, const char *other)
{
    const char *v = flag != NULL ? flag : json_member_string(config, key);
    return v != NULL && v[0] != '\0' ? v : other;
}

static json_t *make_record(const json_t *config, const char *id,
                           const char *dir, char **args, int n, struct err *e)
{
    uint64_t caps;
    char host[65];
    (void)snprintf(host, sizeof(host), "%.64s",
                   o.hostname != NULL ? o.hostname : "");
    if (o.hostname == NULL)
        (void)snprintf(host, sizeof(host), "%.12s", id);
    json_t *argv = make_argv(config, args, n);
    if (json_array_size(argv) == 0) {
        (void)err_set(e, ERR_INVALID,
                      "no command given, and the image has "
                      "none");
        return NULL;
    }
    json_t *env = make_env(config, host, e);
    json_t *mounts = env ? make_mounts(config, dir, e) : NULL;
    json_t *rlimits = mounts ? make_rlimits(e) : NULL;
    json_t *limits = rlimits ? make_limits(e) : NULL;
    if (limits == NULL || make_caps(&caps, e) != 0)
        return NULL;
    const char *sig = or_config(o.stop_signal, config, "StopSignal", "SIGTERM");
    if (ct_signal(sig) < 0) {
        (void)err_set(e, ERR_INVALID, "unknown signal: %s", sig);
        return NULL;
    }
    return json_pack(
        "{s:s,s:s,s:I,s:o,s:o,s:s,s:s,s:o,s:s,s:o,s:o,s:o,s:I,s:b,s:b,s:b,s:b,"
        "s:b,s:b,s:b,s:s,s:I,s:o}",
        "id", id, "name", o.name, "created", (json_int_t)clock_wall_s(), "argv",
        argv, "env", env, "cwd", or_config(o.cwd, config, "WorkingDir", "/"),
        "user", or_config(o.user, config, "User", ""), "groups",
        list_json(&o.groups), "hostname", host, "mounts", mounts, "rlimits",
        rlimits, "limits", limits, "caps", (json_int_t)caps, "tty", o.tty,
        "stdin", o.interactive, "read_only", o.read_only, "host_network",
        strcmp(o.network, "host") == 0, "init", o.init, "no_new_privs",
        o.security.n > 0, "rm", o.rm, "stop_signal", sig, "stop_timeout",
        (json_int_t)o.stop_timeout, "labels", list_json(&o.labels));
}

/* ---- steps of run ------------------------------------------------------- */

static int check_flags(struct err *e)
{
    for (size_t i = 0; i < o.security.n; i++) {
        if (strcmp(o.security.v[i], "no-new-privileges") != 0 &&
            strcmp(o.security.v[i], "no-new-privileges=true") != 0)
            return err_set(e, ERR_UNSUPPORTED, "--security-opt %s",
                           o.security.v[i]);
    }
    if (strcmp(o.network, "none") != 0 && strcmp(o.network, "host") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "--network %s: this version knows none and host",
                       o.network);
    if (strcmp(o.pull, "missing") != 0 && strcmp(o.pull, "always") != 0 &&
        strcmp(o.pull, "never") != 0)
        return err_set(e, ERR_INVALID, "--pull: missing, always or never");
    if (o.cwd != NULL && o.cwd[0] != '/')
        return err_set(e, ERR_INVALID, "-w %s: must be absolute", o.cwd);
    if (o.tty && !o.detach && !isatty(0))
        return err_set(e, ERR_INVALID, "the input device is not a terminal");
    if (o.shares == 1 || o.shares > 262144)
        return err_set(e, ERR_RANGE, "--cpu-shares: from 2 to 262144");
    if (o.memory > 0 && o.memory < 6 << 20)
        return err_set(e, ERR_RANGE, "-m: at least 6m");
    return 0;
}

static int get_image(struct istore *s, char *name, struct istore_image *img,
                     struct err *e)
{
    bool is_always = strcmp(o.pull, "always") == 0;
    if (!is_always && istore_resolve(s, name, img, e) == 0)
        return 0;
    if (!is_always &&
        (e->code != ERR_NOT_FOUND || strcmp(o.pull, "never") == 0))
        return -1;
    char pull[] = "pull", quiet[] = "--platform";
    char *argv[5] = {pull, name, NULL, NULL, NULL};
    if (o.platform != NULL) {
        argv[1] = quiet;
        argv[2] = (char *)(uintptr_t)o.platform;
        argv[3] = name;
    }
    if (cmd_run_image(argv) != 0)
        return err_set(e, ERR_NOT_FOUND, "cannot get image %s", name);
    return istore_resolve(s, name, img, e);
}

static int put_text(int dir, const char *name, const char *text, struct err *e)
{
    scoped_fd fd = openat(
        dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644) != 0)
        return err_sys(e, errno, "write %s", name);
    return io_write_all(fd, text, strlen(text), -1, e);
}

/* What the root is made of beside the layers: mount point and /etc files. */
static int fill_folder(const char *dir, const json_t *record, struct err *e)
{
    scoped_fd fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char text[1024], *resolv = NULL;
    size_t n;
    struct err ignored;
    const char *host = json_member_string(record, "hostname");
    const json_t *m = json_object_get(record, "mounts");
    if (fd < 0)
        return err_sys(e, errno, "open %s", dir);
    if (io_mkdir(fd, "root", 0700, e) != 0 ||
        io_mkdir(fd, "volumes", 0700, e) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(m); i++) {
        const json_t *x = json_array_get(m, i);
        if (json_integer_value(json_object_get(x, "kind")) == RT_VOLUME &&
            io_mkdir_all(json_member_string(x, "source"), 0755, e) != 0)
            return -1;
    }
    (void)snprintf(text, sizeof(text), "%s\n", host);
    if (put_text(fd, "hostname", text, e) != 0)
        return -1;
    (void)snprintf(text, sizeof(text),
                   "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost "
                   "ip6-loopback\n127.0.1.1\t%s\n",
                   host);
    if (put_text(fd, "hosts", text, e) != 0)
        return -1;
    if (json_is_true(json_object_get(record, "host_network")))
        (void)!io_read_file(AT_FDCWD, "/etc/resolv.conf", 1 << 16, &resolv, &n,
                            &ignored);
    int rc = put_text(fd, "resolv.conf", resolv != NULL ? resolv : "", e);
    free(resolv);
    return rc;
}

static int check_name(struct istore *s, const char *id, struct err *e)
{
    static char generated[32];
    char found[ISTORE_HEX];
    struct err none;
    if (o.name == NULL) {
        (void)snprintf(generated, sizeof(generated), "berth_%.8s", id);
        o.name = generated;
        return 0;
    }
    if (o.name[strspn(o.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTU"
                              "VWXYZ0123456789_.-")] != '\0' ||
        o.name[0] == '-' || o.name[0] == '.' || o.name[0] == '\0')
        return err_set(e, ERR_INVALID, "invalid container name: %s", o.name);
    if (ct_find(s, o.name, found, &none) != 0)
        return 0;
    json_t *r = istore_container_read(s, found, &none);
    const char *name = r ? json_member_string(r, "name") : NULL;
    bool is_taken = name != NULL && strcmp(name, o.name) == 0;
    json_decref(r);
    return is_taken ? err_set(e, ERR_EXISTS,
                              "the name %s is in use by container %.12s",
                              o.name, found)
                    : 0;
}

static int create(struct istore *s, char **args, int n, char id[ISTORE_HEX],
                  struct err *e)
{
    unsigned char random[32];
    char dir[PATH_MAX];
    struct istore_image img = {0};
    io_random(random, sizeof(random));
    num_hex(random, sizeof(random), id);
    if (check_name(s, id, e) != 0 || get_image(s, args[0], &img, e) != 0)
        return -1;
    ct_dir(s, id, dir);
    json_t *config = istore_config(s, &img, e);
    json_t *record = NULL;
    if (config != NULL)
        record = make_record(json_object_get(config, "config"), id, dir,
                             args + 1, n - 1, e);
    int rc = -1;
    if (record != NULL && istore_container_create(s, id, &img, record, e) == 0)
        rc = fill_folder(dir, record, e);
    istore_image_free(&img);
    json_decref(config);
    json_decref(record);
    return rc;
}

static int write_cidfile(const char *id, struct err *e)
{
    if (o.cidfile == NULL)
        return 0;
    scoped_fd fd =
        open(o.cidfile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(e, errno, "make the cidfile %s", o.cidfile);
    return io_write_all(fd, id, strlen(id), -1, e);
}

static int run(struct istore *s, char **args, int n)
{
    struct err e;
    struct mon_client c;
    char id[ISTORE_HEX];

    if (create(s, args, n, id, &e) != 0 || write_cidfile(id, &e) != 0 ||
        mon_start(s, id, o.detach, o.rm, &c, &e) != 0)
        return cli_fail(125, &e);
    int status = mon_await_start(&c);
    if (status != 0)
        return status;
    if (o.detach) {
        printf("%s\n", id);
        return 0;
    }
    return mon_attach(&c, o.interactive, o.tty);
}

int cmd_run(int argc, char **argv)
{
    struct err e;
    struct istore *s;
    char **args;
    int n;
    enum cli_result r = cli_parse(&verb, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    if (geteuid() != 0) {
        (void)err_set(&e, ERR_DENIED, "run needs root in this version");
        return cli_fail(125, &e);
    }
    if (check_flags(&e) != 0 || istore_open(NULL, &s, &e) != 0)
        return cli_fail(125, &e);
    int status = run(s, args, n);
    istore_close(s);
    return status;
}

/* Start a container again; is_attached: show its output. */
static int start_again(struct istore *s, const char *name, bool is_attached,
                       bool is_interactive)
{
    struct err e;
    struct mon_client c;
    struct ct_state st;
    char id[ISTORE_HEX];

    if (ct_find(s, name, id, &e) != 0)
        return cli_fail(1, &e);
    ct_state(s, id, &st);
    if (st.status == CT_RUNNING) {
        printf("%s\n", name);
        return 0;
    }
    json_t *record = istore_container_read(s, id, &e);
    if (record == NULL)
        return cli_fail(1, &e);
    bool is_tty = json_is_true(json_object_get(record, "tty"));
    bool is_removed = json_is_true(json_object_get(record, "rm"));
    json_decref(record);
    if (mon_start(s, id, !is_attached, is_removed, &c, &e) != 0)
        return cli_fail(1, &e);
    int status = mon_await_start(&c);
    if (status != 0)
        return status;
    if (is_attached)
        return mon_attach(&c, is_interactive, is_tty);
    printf("%s\n", name);
    return 0;
}

int cmd_start(int argc, char **argv)
{
    static bool attach, interactive;
    static const struct cli_flag f[] = {
        {"attach", 'a', CLI_BOOL, &attach, NULL, "Show its output"},
        {"interactive", 'i', CLI_BOOL, &interactive, NULL, "Give it stdin"}};
    const struct cli_verb v = {"start",
                               "[OPTIONS] CONTAINER",
                               "Start a container that has ended.",
                               f,
                               array_len(f),
                               1,
                               1,
                               false};
    struct err e;
    struct istore *s;
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(1, &e);
    if (istore_open(NULL, &s, &e) != 0)
        return cli_fail(1, &e);
    int status = start_again(s, args[0], attach || interactive, interactive);
    istore_close(s);
    return status;
}
