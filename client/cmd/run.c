/* berth run: image and flags become a record, the monitor does the rest. */
#include "client/cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "client/cli/cli.h"
#include "client/cmd/run_record.h"
#include "client/runtime/container.h"
#include "client/runtime/life.h"
#include "client/runtime/monitor.h"
#include "client/store/platform.h"
#include "client/store/store.h"

#define NAME_CHARS \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define NO_NETWORK                                                            \
    "a container has its own loopback interface, or with --network host all " \
    "of the host's"

static struct run_options o = {
    .network = "none", .pull = "missing", .stop_timeout = RUN_STOP_DEFAULT};

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
    {"net", 0, CLI_STR, &o.network, "none|host", "The same as --network"},
    {"pids-limit", 0, CLI_I64, &o.pids, "N", "Limit of processes; -1: none"},
    {"platform", 0, CLI_STR, &o.platform, "OS/ARCH", "Platform to pull"},
    {"pull", 0, CLI_STR, &o.pull, "POLICY", "missing, always or never"},
    {"read-only", 0, CLI_BOOL, &o.read_only, NULL, "Root file system ro"},
    {"rm", 0, CLI_BOOL, &o.rm, NULL, "Remove the container when it ends"},
    {"security-opt", 0, CLI_LIST, &o.security, "OPT", "no-new-privileges"},
    {"stop-signal", 0, CLI_STR, &o.stop_signal, "SIG", "Signal of stop"},
    {"stop-timeout", 0, CLI_I64, &o.stop_timeout, "S",
     "Seconds before KILL (default 10; -1: never)"},
    {"tmpfs", 0, CLI_LIST, &o.tmpfs, "PATH[:OPTS]", "Mount a tmpfs"},
    {"tty", 't', CLI_BOOL, &o.tty, NULL, "Give it a terminal"},
    {"ulimit", 0, CLI_LIST, &o.ulimits, "NAME=SOFT[:HARD]", "Set a limit"},
    {"user", 'u', CLI_STR, &o.user, "USER[:GROUP]", "User"},
    {"volume", 'v', CLI_LIST, &o.volumes, "[SRC:]DST[:ro]",
     "Bind mount, or a volume of its own"},
    {"workdir", 'w', CLI_STR, &o.cwd, "DIR", "Working directory"},
    {"add-host", 0, CLI_LATER, NULL, NULL, NO_NETWORK},
    {"device", 0, CLI_LATER, NULL, NULL, "it has docker's default devices"},
    {"dns", 0, CLI_LATER, NULL, NULL, NO_NETWORK},
    {"expose", 0, CLI_LATER, NULL, NULL, NO_NETWORK},
    {"health-cmd", 0, CLI_LATER, NULL, NULL, "no health checks"},
    {"ipc", 0, CLI_LATER, NULL, NULL, "namespaces are always its own"},
    {"link", 0, CLI_LATER, NULL, NULL, NO_NETWORK},
    {"mount", 0, CLI_LATER, NULL, NULL, "use -v or --tmpfs"},
    {"pid", 0, CLI_LATER, NULL, NULL, "namespaces are always its own"},
    {"privileged", 0, CLI_LATER, NULL, NULL, "use --cap-add"},
    {"publish", 'p', CLI_LATER, NULL, NULL, NO_NETWORK},
    {"publish-all", 'P', CLI_LATER, NULL, NULL, NO_NETWORK},
    {"restart", 0, CLI_LATER, NULL, NULL, "a container ends once"},
    {"shm-size", 0, CLI_LATER, NULL, NULL, "/dev/shm has 64 MiB"},
    {"sysctl", 0, CLI_LATER, NULL, NULL, "/proc/sys is read-only"},
    {"userns", 0, CLI_LATER, NULL, NULL, "root only, without user namespaces"},
    {"volumes-from", 0, CLI_LATER, NULL, NULL, "name the folders with -v"},
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
    struct platform platform;
    if (o.platform != NULL && platform_parse(o.platform, &platform, e) != 0)
        return err_prefix(e, "--platform");
    if (strcmp(o.pull, "missing") != 0 && strcmp(o.pull, "always") != 0 &&
        strcmp(o.pull, "never") != 0)
        return err_set(e, ERR_INVALID, "--pull: missing, always or never");
    if (o.cwd != NULL && o.cwd[0] != '/')
        return err_set(e, ERR_INVALID, "-w %s: must be absolute", o.cwd);
    if (o.tty && o.interactive && !o.detach && !isatty(0))
        return err_set(e, ERR_INVALID, "the input device is not a terminal");
    if (o.shares == 1 || o.shares > 262144)
        return err_set(e, ERR_RANGE, "--cpu-shares: from 2 to 262144");
    if (o.memory > 0 && o.memory < 6 << 20)
        return err_set(e, ERR_RANGE, "-m: at least 6m");
    return 0;
}

/* Is the image for --platform?  An image that does not say is for any. */
static int check_platform(struct istore *s, const struct istore_image *img,
                          struct err *e)
{
    struct platform want;
    if (o.platform == NULL)
        return 0;
    if (platform_parse(o.platform, &want, e) != 0)
        return -1;
    json_t *config = istore_config(s, img, e);
    if (config == NULL)
        return -1;
    const char *os = json_member_string(config, "os");
    const char *arch = json_member_string(config, "architecture");
    const char *variant = json_member_string(config, "variant");
    json_t *entry =
        json_pack("{s:{s:s,s:s,s:s*}}", "platform", "os", os ? os : "linux",
                  "architecture", arch ? arch : "", "variant", variant);
    bool is_match = arch == NULL || platform_matches(&want, entry);
    int rc = is_match ? 0
                      : err_set(e, ERR_NOT_FOUND,
                                "image %.100s is for %.20s/%.20s, not %.60s",
                                img->name, os ? os : "linux", arch, o.platform);
    json_decref(entry);
    json_decref(config);
    return rc;
}

static int find_image(struct istore *s, const char *name,
                      struct istore_image *img, struct err *e)
{
    if (istore_resolve(s, name, img, e) != 0)
        return -1;
    if (check_platform(s, img, e) == 0)
        return 0;
    istore_image_free(img);
    return -1;
}

static int get_image(struct istore *s, char *name, struct istore_image *img,
                     struct err *e)
{
    bool is_always = strcmp(o.pull, "always") == 0;
    if (!is_always && find_image(s, name, img, e) == 0)
        return 0;
    if (!is_always &&
        (e->code != ERR_NOT_FOUND || strcmp(o.pull, "never") == 0))
        return -1;
    char pull[] = "pull", platform[] = "--platform";
    char *argv[5] = {pull, name, NULL, NULL, NULL};
    if (o.platform != NULL) {
        argv[1] = platform;
        argv[2] = (char *)(uintptr_t)o.platform;
        argv[3] = name;
    }
    if (cmd_run_image(argv) != 0)
        return err_set(e, ERR_NOT_FOUND, "%s", ""); /* it said why */
    return find_image(s, name, img, e);
}

static int put_text(int dir, const char *name, const char *text, struct err *e)
{
    scoped_fd fd = openat(
        dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0 || fchmod(fd, 0644) != 0)
        return err_sys(e, errno, "write %s", name);
    return io_write_all(fd, text, strlen(text), -1, e);
}

/* /etc/hosts: the host's with its network, else the names of loopback. */
static int put_hosts(int dir, const char *host, const char *text, struct err *e)
{
    char own[512];
    (void)snprintf(own, sizeof(own),
                   "127.0.0.1\tlocalhost\n"
                   "::1\tlocalhost ip6-localhost ip6-loopback\n"
                   "fe00::0\tip6-localnet\n"
                   "ff00::0\tip6-mcastprefix\n"
                   "ff02::1\tip6-allnodes\n"
                   "ff02::2\tip6-allrouters\n"
                   "127.0.1.1\t%s\n",
                   host);
    return put_text(dir, "hosts", text != NULL ? text : own, e);
}

/* What the root is made of beside the layers: mount point and /etc files. */
static int fill_folder(int fd, const json_t *record, void *arg, struct err *e)
{
    size_t dir_len = strlen(arg); /* the folder's name to be */
    scoped_free char *resolv = NULL;
    scoped_free char *hosts = NULL;
    char text[HOST_NAME_MAX + 8];
    size_t n;
    struct err ignored;
    const char *host = json_member_string(record, "hostname");
    const json_t *m = json_object_get(record, "mounts");
    if (io_mkdir(fd, "root", 0700, e) != 0 ||
        io_mkdir(fd, "volumes", 0700, e) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(m); i++) {
        const json_t *x = json_array_get(m, i);
        if (json_integer_value(json_object_get(x, "kind")) == RT_VOLUME &&
            io_mkdir(fd, json_member_string(x, "source") + dir_len + 1, 0755,
                     e) != 0)
            return -1;
    }
    if (json_is_true(json_object_get(record, "host_network"))) {
        (void)!io_read_file(AT_FDCWD, "/etc/resolv.conf", 1 << 16, &resolv, &n,
                            &ignored);
        (void)!io_read_file(AT_FDCWD, "/etc/hosts", 1 << 16, &hosts, &n,
                            &ignored);
    }
    (void)snprintf(text, sizeof(text), "%.64s\n", host);
    if (put_text(fd, "hostname", text, e) != 0 ||
        put_hosts(fd, host, hosts, e) != 0)
        return -1;
    return put_text(fd, "resolv.conf", resolv != NULL ? resolv : "", e);
}

static int check_name(struct istore *s, const char *id, struct err *e)
{
    static char generated[32];
    char found[ISTORE_HEX];
    struct err none;
    if (o.name == generated)
        return 0;
    if (o.name == NULL || o.name[0] == '\0') {
        (void)snprintf(generated, sizeof(generated), "berth_%.8s", id);
        o.name = generated;
        return 0;
    }
    if (o.name[strspn(o.name, NAME_CHARS)] != '\0' || o.name[1] == '\0' ||
        strchr("_.-", o.name[0]) != NULL)
        return err_set(e, ERR_INVALID,
                       "invalid container name: %.60s (two or more letters, "
                       "digits and _.-, the first a letter or digit)",
                       o.name);
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

/*
 * Held from the look at the names to the new record, so that of runs at once
 * with one name one gets it.
 */
static int lock_names(struct istore *s, struct err *e)
{
    scoped_fd fd = openat(istore_dirfd(s), "containers",
                          O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : 0;
    while (rc == 0 && flock(fd, LOCK_EX) != 0)
        rc = errno == EINTR ? 0 : -1;
    return rc == 0 ? take_fd(&fd) : err_sys(e, errno, "lock the names");
}

/* Make the container; returns its life sign. */
static int create(struct istore *s, char **args, int n, char id[ISTORE_HEX],
                  struct err *e)
{
    char dir[PATH_MAX];
    struct istore_image img = {0};
    io_random_hex(id, 32);
    if (check_name(s, id, e) != 0 || get_image(s, args[0], &img, e) != 0)
        return -1;
    ct_dir(s, id, dir);
    json_t *config = istore_config(s, &img, e);
    json_t *record = NULL;
    if (config != NULL)
        record = run_record(&o, json_object_get(config, "config"), id, dir,
                            args, n, e);
    int rc = -1;
    scoped_fd names = record != NULL ? lock_names(s, e) : -1;
    bool is_free = names >= 0 && check_name(s, id, e) == 0;
    /* First of all, so that nothing that a kill leaves is without an owner. */
    scoped_fd life = is_free ? life_take_new(s, id, e) : -1;
    if (life >= 0 &&
        istore_container_create(s, id, &img, record, fill_folder, dir, e) == 0)
        rc = take_fd(&life);
    else if (life >= 0)
        life_end(id);
    istore_image_free(&img);
    json_decref(config);
    json_decref(record);
    return rc;
}

/* A descriptor of the new --cidfile, or -1 with *rc != 0 when it fails. */
static int open_cidfile(int *rc, struct err *e)
{
    *rc = 0;
    if (o.cidfile == NULL)
        return -1;
    int fd = open(o.cidfile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        *rc = errno == EEXIST
                  ? err_set(e, ERR_EXISTS,
                            "--cidfile %.150s: is there already; is its "
                            "container still running?",
                            o.cidfile)
                  : err_sys(e, errno, "make --cidfile %.150s", o.cidfile);
    return fd;
}

/* The container, its id in --cidfile, its monitor. */
static int launch(struct istore *s, char **args, int n, char id[ISTORE_HEX],
                  struct mon_client *c, struct err *e)
{
    struct err ignored;
    int rc;
    scoped_fd cid = open_cidfile(&rc, e);
    if (rc != 0)
        return -1;
    int life = create(s, args, n, id, e);
    rc = life < 0 ? -1 : 0;
    if (rc == 0 && cid >= 0)
        rc = io_write_all(cid, id, strlen(id), -1, e);
    if (rc == 0)
        rc = mon_start(s, id, life, o.detach, o.rm, c, e);
    /* What could not be started leaves nothing to inspect. */
    if (rc != 0 && life >= 0)
        (void)!ct_remove(s, id, &ignored);
    if (rc != 0 && cid >= 0)
        (void)unlink(o.cidfile);
    return rc;
}

static int run(struct istore *s, char **args, int n)
{
    struct err e;
    struct mon_client c;
    char id[ISTORE_HEX];

    if (launch(s, args, n, id, &c, &e) != 0)
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
    life_clean(s);
    int status = run(s, args, n);
    istore_close(s);
    return status;
}
