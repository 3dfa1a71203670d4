/* berth exec: another process beside the first one of a container. */
#include "client/cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cmd/run_env.h"
#include "client/runtime/attach.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/container.h"
#include "client/runtime/start.h"
#include "client/store/store.h"

#define START_POLL_MS 5

static struct {
    bool interactive, tty, detach;
    const char *user, *cwd;
    struct cli_list env, env_file;
} x;

/* The container's variables, then those of the flags. */
static char *const *exec_env(json_t *env, struct err *e)
{
    /* The container's own TERM, if it says one, is the better one. */
    if (x.tty && !run_env_has(env, "TERM") &&
        run_env_set(env, "TERM=xterm", false, e) != 0)
        return NULL;
    if (run_env_flags(env, &x.env_file, &x.env, e) != 0)
        return NULL;
    size_t n = json_array_size(env);
    const char **all = calloc(n + 1, sizeof(*all));
    if (all == NULL)
        (void)err_set(e, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; all != NULL && i < n; i++)
        all[i] = json_string_value(json_array_get(env, i));
    return (char *const *)(uintptr_t)all;
}

/* One that is just being started is waited for, as long as it is there. */
static int start(const struct rt_spec *spec, int pidfd, const int stdio[3],
                 struct rt_started *run)
{
    static struct cg_layout l;
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    struct err e;
    *run = (struct rt_started){.status = 125};
    int rc = cg_detect_self(&l, &e);
    if (rc != 0)
        return cli_fail(125, &e);
    do
        rc = rt_exec(spec, &l, pidfd, stdio, run, &e);
    while (rc != 0 && e.code == ERR_BUSY && poll(&end, 1, START_POLL_MS) <= 0);
    if (rc == 0)
        return 0;
    /* One that ends meanwhile fails at whatever step comes next. */
    if (run->status == 125 && (e.sys == ESRCH || poll(&end, 1, 0) > 0)) {
        (void)err_set(&e, ERR_INVALID, "container %.12s is not running",
                      spec->id);
        return cli_fail(1, &e);
    }
    return cli_fail(run->status, &e);
}

static int exec_detached(const struct rt_spec *spec, int pidfd)
{
    struct rt_started run;
    const int stdio[3] = {-1, -1, -1}; /* the container's null device */
    int status = start(spec, pidfd, stdio, &run);
    scope_close(&run.tty_master);
    return status;
}

static int exec_attached(struct rt_spec *spec, int pidfd)
{
    struct attach_exec a = {.in = -1, .out = -1, .err = -1};
    struct rt_started run;
    struct winsize ws;
    struct err e;
    int stdio[3] = {-1, -1, -1};
    a.sigs = attach_signals();
    if (!spec->is_tty && attach_pipes(x.interactive, stdio, &a, &e) != 0)
        return cli_fail(125, &e);
    if (spec->is_tty && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0) {
        spec->tty_rows = ws.ws_row;
        spec->tty_cols = ws.ws_col;
    }
    int status = start(spec, pidfd, stdio, &run);
    for (size_t i = 0; i < array_len(stdio); i++)
        scope_close(&stdio[i]);
    if (status != 0)
        return status;
    if (spec->is_tty) {
        a.is_tty = true;
        a.has_in = x.interactive;
        a.in = run.tty_master;
        a.out = fcntl(run.tty_master, F_DUPFD_CLOEXEC, 3);
    }
    return attach_run(&a, run.pid);
}

int cmd_exec(int argc, char **argv)
{
    static const struct cli_flag f[] = {
        {"detach", 'd', CLI_BOOL, &x.detach, NULL, "Run in the background"},
        {"env", 'e', CLI_LIST, &x.env, "K=V", "Set a variable"},
        {"env-file", 0, CLI_LIST, &x.env_file, "FILE", "Variables of a file"},
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
    if (!cmd_begin(&v, argc, argv, &args, &n, &own.store, &status))
        return status;
    if (x.tty && x.interactive && !x.detach && !isatty(STDIN_FILENO)) {
        (void)err_set(&e, ERR_INVALID, "the input device is not a terminal");
        return cli_fail(1, &e);
    }
    if (x.cwd != NULL && x.cwd[0] != '/') {
        (void)err_set(&e, ERR_INVALID, "-w %.100s: must be absolute", x.cwd);
        return cli_fail(1, &e);
    }
    if (ct_find(own.store, args[0], id, &e) != 0)
        return cli_fail(1, &e);
    scoped_fd pidfd = ct_pidfd(own.store, id, &e);
    if (pidfd >= 0)
        own.record = istore_container_read(own.store, id, &e);
    if (own.record == NULL ||
        ct_spec(own.store, id, own.record, &own.spec, &e) != 0)
        return cli_fail(1, &e);
    spec = own.spec;
    spec.is_exec = true;
    spec.argv = args + 1;
    spec.env = own.env = exec_env(json_object_get(own.record, "env"), &e);
    if (spec.env == NULL)
        return cli_fail(1, &e);
    spec.is_tty = x.tty;
    spec.cwd = x.cwd != NULL ? x.cwd : spec.cwd;
    spec.user = x.user != NULL ? x.user : spec.user;
    return x.detach ? exec_detached(&spec, pidfd) : exec_attached(&spec, pidfd);
}
