/*
 * Verbs on containers that exist: ps, stop, kill, wait, rm, inspect, exec.
 * All read the state files; none needs the monitor to be alive.
 */
#include "client/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/cli.h"
#include "client/image/store.h"
#include "client/runtime/attach.h"
#include "client/runtime/caps.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/container.h"
#include "client/runtime/start.h"

/* Parse, open the store; true to go on, else *status is the result. */
static bool begin(const struct cli_verb *v, int argc, char **argv, char ***args,
                  int *n, struct istore **s, int *status)
{
    struct err e;
    enum cli_result r = cli_parse(v, argc, argv, args, n, &e);
    *status = 0;
    if (r == CLI_HELP)
        return false;
    if (r == CLI_OK && istore_open(NULL, s, &e) == 0)
        return true;
    *status = cli_fail(1, &e);
    return false;
}

/* ---- ps ----------------------------------------------------------------- */

static void status_text(const struct ct_state *st, char out[96])
{
    char age[32];
    int64_t now = clock_wall_s();
    if (st->status == CT_RUNNING) {
        cli_format_age(now - st->started, age);
        (void)snprintf(out, 96, "Up %s%s", age,
                       st->monitor == 0 ? " (monitor gone)" : "");
    } else if (st->status == CT_CREATED) {
        (void)snprintf(out, 96, "Created");
    } else if (!st->is_known) {
        (void)snprintf(out, 96, "Exited (unknown)");
    } else {
        cli_format_age(now - st->finished, age);
        (void)snprintf(out, 96, "Exited (%d) %s ago", st->exit_code, age);
    }
}

static void command_text(const json_t *record, char out[64])
{
    const json_t *argv = json_object_get(record, "argv");
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(argv) && n < 40; i++)
        n += (size_t)snprintf(out + n, 64 - n, "%s%.*s", i ? " " : "",
                              (int)(40 - n),
                              json_string_value(json_array_get(argv, i)));
}

static const struct cli_column ps_columns[] = {
    {"CONTAINER ID", "ID"},   {"IMAGE", "Image"},   {"COMMAND", "Command"},
    {"CREATED", "CreatedAt"}, {"STATUS", "Status"}, {NULL, "State"},
    {"NAMES", "Names"}};

static int ps_row(struct istore *s, struct cli_table *t, const char *id,
                  bool is_all, bool is_quiet, struct err *e)
{
    struct ct_state st;
    struct istore_image img = {0};
    struct err gone;
    char command[64], created[48], age[32], status[96], short_id[16];
    char name[REFERENCE_MAX] = "";
    json_t *r = istore_container_read(s, id, &gone);
    ct_state(s, id, &st);
    if (r == NULL || (!is_all && st.status != CT_RUNNING)) {
        json_decref(r); /* removed meanwhile, or not asked for */
        return 0;
    }
    (void)snprintf(short_id, sizeof(short_id), "%.12s", id);
    if (istore_container_image(r, &img, &gone) == 0) {
        struct reference ref;
        (void)snprintf(name, sizeof(name), "%s", img.name);
        if (reference_parse(img.name, &ref, &gone) == 0)
            reference_familiar(&ref, name);
    }
    command_text(r, command);
    status_text(&st, status);
    cli_format_age(clock_wall_s() -
                       json_integer_value(json_object_get(r, "created")),
                   age);
    (void)snprintf(created, sizeof(created), "%s ago", age);
    const char *cells[] = {short_id,
                           name,
                           command,
                           created,
                           status,
                           st.status == CT_RUNNING   ? "running"
                           : st.status == CT_CREATED ? "created"
                                                     : "exited",
                           json_member_string(r, "name")};
    int rc = 0;
    if (is_quiet)
        printf("%s\n", short_id);
    else
        rc = cli_table_row(t, cells, e);
    istore_image_free(&img);
    json_decref(r);
    return rc;
}

int cmd_ps(int argc, char **argv)
{
    static bool all, quiet;
    static const char *format;
    static const struct cli_flag f[] = {
        {"all", 'a', CLI_BOOL, &all, NULL, "Also those that have ended"},
        {"quiet", 'q', CLI_BOOL, &quiet, NULL, "Only the ids"},
        {"format", 0, CLI_STR, &format, "FORMAT", "table or json"}};
    const struct cli_verb v = {
        "ps", "[OPTIONS]", "List containers.", f, array_len(f), 0, 0, false};
    struct err e;
    struct istore *s;
    char **args, (*ids)[ISTORE_HEX] = NULL;
    int n, status;
    size_t count = 0;
    bool as_json;
    if (!begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    struct cli_table *t = cli_table_new(ps_columns, array_len(ps_columns));
    if (t == NULL || cli_format_json(format, &as_json, &e) != 0 ||
        istore_container_list(s, &ids, &count, &e) != 0)
        return cli_fail(1, &e);
    for (size_t i = 0; i < count; i++) {
        if (ps_row(s, t, ids[i], all, quiet, &e) != 0)
            return cli_fail(1, &e);
    }
    if (!quiet)
        cli_table_print(t, as_json);
    cli_table_free(t);
    free(ids);
    istore_close(s);
    return 0;
}

/* ---- stop, kill, wait, rm ----------------------------------------------- */

struct options {
    int sig;
    int64_t timeout_s; /* -1: the container's own */
    bool is_force;
};

typedef int each_fn(struct istore *s, const char *id, const struct options *o,
                    struct err *e);

/* Do it for every container named; report each failure, go on. */
static int for_each(struct istore *s, char **args, int n, each_fn *fn,
                    const struct options *o, bool is_named)
{
    int status = 0;
    for (int i = 0; i < n; i++) {
        struct err e;
        char id[ISTORE_HEX];
        if (ct_find(s, args[i], id, &e) != 0 || fn(s, id, o, &e) != 0)
            status = cli_fail(1, &e);
        else if (is_named)
            printf("%s\n", args[i]);
    }
    istore_close(s);
    return status;
}

static int send_signal(struct istore *s, const char *id, int sig, struct err *e)
{
    scoped_fd fd = ct_pidfd(s, id, e);
    if (fd < 0)
        return -1;
    if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) != 0 && errno != ESRCH)
        return err_sys(e, errno, "signal container %.12s", id);
    return 0;
}

static int do_stop(struct istore *s, const char *id, const struct options *o,
                   struct err *e)
{
    struct ct_state st;
    ct_state(s, id, &st);
    if (st.status != CT_RUNNING)
        return 0;
    json_t *r = istore_container_read(s, id, e);
    if (r == NULL)
        return -1;
    const char *name = json_member_string(r, "stop_signal");
    int sig = name != NULL ? ct_signal(name) : SIGTERM;
    int64_t wait_s =
        o->timeout_s >= 0
            ? o->timeout_s
            : json_integer_value(json_object_get(r, "stop_timeout"));
    json_decref(r);
    struct err gone;
    if (send_signal(s, id, sig, &gone) != 0)
        return 0; /* it ended by itself */
    if (!ct_wait(s, id, wait_s > 86400 ? -1 : (int)wait_s * 1000))
        ct_kill(s, id);
    return 0;
}

static int do_kill(struct istore *s, const char *id, const struct options *o,
                   struct err *e)
{
    if (send_signal(s, id, o->sig, e) != 0)
        return -1;
    if (o->sig == SIGKILL)
        ct_kill(s, id);
    return 0;
}

static int do_wait(struct istore *s, const char *id, const struct options *o,
                   struct err *e)
{
    struct ct_state st;
    (void)o;
    (void)e;
    (void)ct_wait(s, id, -1);
    ct_state(s, id, &st);
    printf("%d\n", st.exit_code);
    return 0;
}

static int do_rm(struct istore *s, const char *id, const struct options *o,
                 struct err *e)
{
    struct ct_state st;
    ct_state(s, id, &st);
    if (st.status == CT_RUNNING && !o->is_force)
        return err_set(e, ERR_BUSY,
                       "container %.12s is running: stop it, or use rm -f", id);
    if (st.status == CT_RUNNING)
        ct_kill(s, id);
    return ct_remove(s, id, e);
}

int cmd_stop(int argc, char **argv)
{
    static uint64_t timeout = UINT64_MAX;
    static const struct cli_flag f[] = {
        {"time", 't', CLI_U64, &timeout, "S", "Seconds before SIGKILL"}};
    const struct cli_verb v = {"stop",
                               "[OPTIONS] CONTAINER...",
                               "Ask containers to end, then kill them.",
                               f,
                               array_len(f),
                               1,
                               -1,
                               false};
    struct istore *s;
    char **args;
    int n, status;
    if (!begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    struct options o = {.timeout_s =
                            timeout > INT32_MAX ? -1 : (int64_t)timeout};
    return for_each(s, args, n, do_stop, &o, true);
}

int cmd_kill(int argc, char **argv)
{
    static const char *name = "KILL";
    static const struct cli_flag f[] = {
        {"signal", 's', CLI_STR, &name, "SIG", "Signal (default KILL)"}};
    const struct cli_verb v = {"kill",
                               "[OPTIONS] CONTAINER...",
                               "Send a signal to containers.",
                               f,
                               array_len(f),
                               1,
                               -1,
                               false};
    struct istore *s;
    struct err e;
    char **args;
    int n, status;
    if (!begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    struct options o = {.sig = ct_signal(name)};
    if (o.sig < 0) {
        (void)err_set(&e, ERR_INVALID, "unknown signal: %s", name);
        return cli_fail(1, &e);
    }
    return for_each(s, args, n, do_kill, &o, true);
}

int cmd_wait(int argc, char **argv)
{
    const struct cli_verb v = {
        "wait",
        "CONTAINER...",
        "Wait until containers end; print their exit codes.",
        NULL,
        0,
        1,
        -1,
        false};
    struct istore *s;
    char **args;
    int n, status;
    if (!begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    return for_each(s, args, n, do_wait, NULL, false);
}

int cmd_rm(int argc, char **argv)
{
    static bool force;
    static const struct cli_flag f[] = {
        {"force", 'f', CLI_BOOL, &force, NULL, "Kill it first if it runs"}};
    const struct cli_verb v = {"rm",
                               "[OPTIONS] CONTAINER...",
                               "Remove containers.",
                               f,
                               array_len(f),
                               1,
                               -1,
                               false};
    struct istore *s;
    char **args;
    int n, status;
    if (!begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    struct options o = {.is_force = force};
    return for_each(s, args, n, do_rm, &o, true);
}

/* ---- inspect ------------------------------------------------------------ */

static json_t *time_json(int64_t seconds)
{
    char text[40] = "0001-01-01T00:00:00Z";
    struct tm tm;
    time_t t = (time_t)seconds;
    if (t > 0 && gmtime_r(&t, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *inspect_one(struct istore *s, const char *id, struct err *e)
{
    struct ct_state st;
    struct istore_image img = {0};
    json_t *r = istore_container_read(s, id, e);
    if (r == NULL || istore_container_image(r, &img, e) != 0) {
        json_decref(r);
        return NULL;
    }
    ct_state(s, id, &st);
    const json_t *l = json_object_get(r, "limits");
    json_t *state = json_pack(
        "{s:s,s:b,s:b,s:i,s:i,s:s,s:o,s:o}", "Status",
        st.status == CT_RUNNING   ? "running"
        : st.status == CT_CREATED ? "created"
                                  : "exited",
        "Running", st.status == CT_RUNNING, "OOMKilled", st.is_oom, "Pid",
        (int)st.pid, "ExitCode", st.exit_code, "Error", st.error, "StartedAt",
        time_json(st.started), "FinishedAt", time_json(st.finished));
    json_t *config = json_pack(
        "{s:O,s:O,s:O,s:O,s:O,s:O,s:s,s:O}", "Hostname",
        json_object_get(r, "hostname"), "User", json_object_get(r, "user"),
        "Env", json_object_get(r, "env"), "Cmd", json_object_get(r, "argv"),
        "WorkingDir", json_object_get(r, "cwd"), "Tty",
        json_object_get(r, "tty"), "Image", img.name, "StopSignal",
        json_object_get(r, "stop_signal"));
    json_t *host = json_pack(
        "{s:O,s:O,s:I,s:O,s:O,s:O,s:s}", "Memory", json_object_get(l, "memory"),
        "MemorySwap", json_object_get(l, "memory_swap"), "NanoCpus",
        json_integer_value(json_object_get(l, "cpu_milli")) * 1000000,
        "CpuShares", json_object_get(l, "cpu_shares"), "PidsLimit",
        json_object_get(l, "pids"), "ReadonlyRootfs",
        json_object_get(r, "read_only"), "NetworkMode",
        json_is_true(json_object_get(r, "host_network")) ? "host" : "none");
    char image[80];
    (void)snprintf(image, sizeof(image), "sha256:%s", img.config);
    json_t *all =
        json_pack("{s:s,s:o,s:s,s:s+,s:o,s:o,s:o,s:O}", "Id", id, "Created",
                  time_json(json_integer_value(json_object_get(r, "created"))),
                  "Image", image, "Name", "/", json_member_string(r, "name"),
                  "State", state, "Config", config, "HostConfig", host,
                  "Mounts", json_object_get(r, "mounts"));
    istore_image_free(&img);
    json_decref(r);
    if (all == NULL)
        (void)err_set(e, ERR_INVALID, "the record of %.12s is incomplete", id);
    return all;
}

int cmd_inspect(int argc, char **argv)
{
    struct err e;
    struct istore *s;
    json_t *list = json_array();
    /* Images, and flags that only they have, are berth-image's. */
    for (int i = 1; i < argc; i++) {
        char id[ISTORE_HEX];
        bool is_here = argv[i][0] != '-' && istore_open(NULL, &s, &e) == 0 &&
                       ct_find(s, argv[i], id, &e) == 0;
        if (!is_here)
            return cmd_exec_image(argv - 1);
        json_t *o = inspect_one(s, id, &e);
        if (o == NULL)
            return cli_fail(1, &e);
        (void)json_array_append_new(list, o);
        istore_close(s);
    }
    if (argc < 2)
        return cmd_exec_image(argv - 1);
    (void)json_dumpf(list, stdout, JSON_INDENT(4));
    (void)putchar('\n');
    json_decref(list);
    return 0;
}

/* ---- exec --------------------------------------------------------------- */

static struct {
    bool interactive, tty, detach;
    const char *user, *cwd;
    struct cli_list env;
} x;

/* The container's variables, then those of -e. */
static char *const *exec_env(char *const *base)
{
    size_t n = 0, k = 0;
    while (base[n] != NULL)
        n++;
    const char **all = calloc(n + x.env.n + 2, sizeof(*all));
    if (all == NULL)
        return base;
    for (size_t i = 0; i < x.env.n; i++) {
        if (strchr(x.env.v[i], '=') != NULL)
            all[k++] = x.env.v[i];
    }
    for (size_t i = 0; i < n; i++) {
        bool is_replaced = false;
        for (size_t j = 0; j < x.env.n; j++) {
            size_t len = strcspn(x.env.v[j], "=") + 1;
            if (strncmp(base[i], x.env.v[j], len) == 0)
                is_replaced = true;
        }
        if (!is_replaced)
            all[k++] = base[i];
    }
    return (char *const *)(uintptr_t)all;
}

static int exec_run(const struct rt_spec *spec, int pidfd, struct err *e)
{
    static struct cg_layout l;
    struct rt_started run;
    int stdio[3] = {0, 1, 2};
    scoped_fd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (!x.interactive || x.detach)
        stdio[0] = null_fd;
    if (x.detach)
        stdio[1] = stdio[2] = null_fd;
    if (cg_detect_self(&l, e) != 0)
        return cli_fail(125, e);
    if (rt_exec(spec, &l, pidfd, stdio, &run, e) != 0)
        return cli_fail(run.status, e);
    if (x.detach)
        return 0;
    if (run.tty_master >= 0)
        return attach_tty(run.tty_master, run.pid);
    int status = 0;
    while (waitpid(run.pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int cmd_exec(int argc, char **argv)
{
    static const struct cli_flag f[] = {
        {"detach", 'd', CLI_BOOL, &x.detach, NULL, "Run in the background"},
        {"env", 'e', CLI_LIST, &x.env, "K=V", "Set a variable"},
        {"interactive", 'i', CLI_BOOL, &x.interactive, NULL,
         "Give it our stdin"},
        {"tty", 't', CLI_BOOL, &x.tty, NULL, "Give it a terminal"},
        {"user", 'u', CLI_STR, &x.user, "USER[:GROUP]", "User"},
        {"workdir", 'w', CLI_STR, &x.cwd, "DIR", "Working directory"}};
    const struct cli_verb v = {"exec",
                               "[OPTIONS] CONTAINER COMMAND [ARG...]",
                               "Run a command in a running container.",
                               f,
                               array_len(f),
                               2,
                               -1,
                               true};
    /* The strings of a spec live until exit, as does what they point into. */
    static struct {
        struct rt_spec spec;
        struct istore *store;
        json_t *record;
        char *const *env;
    } own;
    struct rt_spec spec;
    struct err e;
    char **args, id[ISTORE_HEX];
    int n, status;
    if (!begin(&v, argc, argv, &args, &n, &own.store, &status))
        return status;
    if (ct_find(own.store, args[0], id, &e) != 0)
        return cli_fail(1, &e);
    scoped_fd pidfd = ct_pidfd(own.store, id, &e);
    if (pidfd >= 0)
        own.record = istore_container_read(own.store, id, &e);
    if (own.record == NULL ||
        ct_spec(own.store, id, own.record, &own.spec, &e) != 0)
        return cli_fail(1, &e);
    spec = own.spec;
    spec.argv = args + 1;
    spec.env = own.env = exec_env(own.spec.env);
    spec.is_tty = x.tty && !x.detach;
    spec.cwd = x.cwd != NULL ? x.cwd : spec.cwd;
    spec.user = x.user != NULL ? x.user : spec.user;
    return exec_run(&spec, pidfd, &e);
}
