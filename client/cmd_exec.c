/* berth exec: another process beside the first one of a container. */
#include "client/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli.h"
#include "client/image/store.h"
#include "client/runtime/attach.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/container.h"
#include "client/runtime/start.h"

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

/* Pipes instead of our own streams: theirs[3] for it, ours[3] to join. */
static int make_pipes(int theirs[3], int ours[3], struct err *e)
{
    for (int i = 0; i < 3; i++) {
        int p[2];
        theirs[i] = ours[i] = -1;
        if (i == 0 && !x.interactive)
            continue;
        if (pipe2(p, O_CLOEXEC) != 0)
            return err_sys(e, errno, "make a pipe");
        theirs[i] = i == 0 ? p[0] : p[1];
        ours[i] = i == 0 ? p[1] : p[0];
        (void)fcntl(ours[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static int exec_run(const struct rt_spec *spec, int pidfd, struct err *e)
{
    static struct cg_layout l;
    struct rt_started run;
    int theirs[3] = {-1, -1, -1}, ours[3] = {-1, -1, -1};
    if (!x.detach && !spec->is_tty && make_pipes(theirs, ours, e) != 0)
        return cli_fail(125, e);
    if (cg_detect_self(&l, e) != 0)
        return cli_fail(125, e);
    if (rt_exec(spec, &l, pidfd, theirs, &run, e) != 0)
        return cli_fail(run.status, e);
    if (x.detach)
        return 0;
    if (run.tty_master >= 0)
        return attach_tty(run.tty_master, run.pid);
    for (int i = 0; i < 3; i++)
        scope_close(&theirs[i]);
    return attach_pipes(ours[0], ours + 1, run.pid);
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
    if (!cmd_begin(&v, argc, argv, &args, &n, &own.store, &status))
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
    spec.is_exec = true;
    spec.argv = args + 1;
    spec.env = own.env = exec_env(own.spec.env);
    spec.is_tty = x.tty && !x.detach;
    spec.cwd = x.cwd != NULL ? x.cwd : spec.cwd;
    spec.user = x.user != NULL ? x.user : spec.user;
    return exec_run(&spec, pidfd, &e);
}
