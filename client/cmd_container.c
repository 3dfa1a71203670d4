/*
 * Verbs that end or remove containers: stop, kill, wait, rm.  All read the
 * state files; none needs the monitor to be alive.
 */
#include "client/cmd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/json.h"
#include "client/cli.h"
#include "client/image/store.h"
#include "client/runtime/container.h"
#include "client/runtime/life.h"

#define TAKE_WAIT_MS 10000
#define TAKE_POLL_MS 2

bool cmd_begin(const struct cli_verb *v, int argc, char **argv, char ***args,
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
    /* Also what these ended, if their monitors were dead. */
    life_clean(s);
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
    if (!ct_wait(s, id, wait_s > 86400 ? -1 : (int)wait_s * 1000, NULL))
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
    int code = CT_UNKNOWN;
    (void)o;
    (void)e;
    (void)ct_wait(s, id, -1, &code);
    printf("%d\n", code);
    return 0;
}

/* Become the keeper of one that does not run, ending it before if asked. */
static int take_over(struct istore *s, const char *id, bool is_force,
                     struct err *e)
{
    for (int waited_ms = 0;; waited_ms += TAKE_POLL_MS) {
        struct ct_state st;
        ct_state(s, id, &st);
        if (st.status == CT_RUNNING && !is_force)
            return err_set(e, ERR_BUSY,
                           "container %.12s is running: stop it, or use rm -f",
                           id);
        if (st.status == CT_RUNNING)
            ct_kill(s, id);
        int life = life_take(s, id, e);
        if (life >= 0 || e->code != ERR_BUSY || waited_ms >= TAKE_WAIT_MS)
            return life;
        /* It is just being started, or its monitor is just ending. */
        (void)poll(NULL, 0, TAKE_POLL_MS);
    }
}

static int do_rm(struct istore *s, const char *id, const struct options *o,
                 struct err *e)
{
    scoped_fd life = take_over(s, id, o->is_force, e);
    if (life < 0)
        return -1;
    if (ct_remove(s, id, e) == 0)
        return 0;
    /* Somebody else removed it while we waited: as was asked for. */
    life_end(id);
    return e->sys == ENOENT ? 0 : -1;
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
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
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
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
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
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
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
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    struct options o = {.is_force = force};
    return for_each(s, args, n, do_rm, &o, true);
}
