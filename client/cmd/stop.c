/*
 * Verbs that end or remove containers: stop, kill, wait, rm.  All read the
 * state files; none needs the monitor to be alive.
 */
#include "client/cmd/cmd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/cli/cli.h"
#include "client/cli/value.h"
#include "client/runtime/container.h"
#include "client/runtime/life.h"
#include "client/store/store.h"

#define TAKE_WAIT_MS 10000
#define TAKE_POLL_MS 2

#define TIMEOUT_OWN INT64_MIN /* the container's own stop timeout */

struct options {
    int sig;           /* 0: the container's own */
    int64_t timeout_s; /* TIMEOUT_OWN, or negative: no end */
    int64_t asked_ms;  /* stop: when they were asked */
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
        bool is_found = ct_find(s, args[i], id, &e) == 0;
        if (is_found && fn(s, id, o, &e) == 0) {
            if (is_named)
                printf("%s\n", args[i]);
            continue;
        }
        (void)cli_fail(1, &e);
        /* rm -f of what is not there did what was wanted, as docker's. */
        bool is_gone = !is_found && o->is_force && e.code == ERR_NOT_FOUND;
        status = is_gone ? status : 1;
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

/* Ask it to end; nothing to do for one that does not run. */
static int ask_to_stop(struct istore *s, const char *id,
                       const struct options *o, struct err *e)
{
    struct ct_state st;
    int sig = o->sig;
    ct_state(s, id, &st);
    if (st.status != CT_RUNNING)
        return 0;
    if (sig == 0) {
        json_t *r = istore_container_read(s, id, e);
        const char *name = r ? json_member_string(r, "stop_signal") : NULL;
        sig = name != NULL && name[0] != '\0' ? value_signal(name) : SIGTERM;
        json_decref(r);
    }
    return send_signal(s, id, sig, e);
}

/* What was asked before: wait for it, kill it when its time is over. */
static int finish_stop(struct istore *s, const char *id,
                       const struct options *o, struct err *e)
{
    struct ct_state st;
    int64_t wait_s = o->timeout_s;
    ct_state(s, id, &st);
    if (st.status != CT_RUNNING)
        return 0;
    json_t *r = istore_container_read(s, id, e);
    if (r == NULL)
        return -1;
    if (wait_s == TIMEOUT_OWN)
        wait_s = json_integer_value(json_object_get(r, "stop_timeout"));
    json_decref(r);
    bool is_endless = wait_s < 0 || wait_s > INT32_MAX / 1000;
    int64_t left_ms = wait_s * 1000 - (clock_mono_ms() - o->asked_ms);
    if (!ct_wait(s, id, is_endless ? -1 : left_ms > 0 ? (int)left_ms : 0, NULL))
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

/* A signal flag into *sig; `none` when it was not given. */
static int signal_flag(const char *name, int none, int *sig, struct err *e)
{
    *sig = name != NULL ? value_signal(name) : none;
    return *sig >= 0 ? 0
                     : err_set(e, ERR_INVALID, "unknown signal: %.60s", name);
}

int cmd_stop(int argc, char **argv)
{
    static int64_t timeout = TIMEOUT_OWN;
    static const char *name;
    static const struct cli_flag f[] = {
        {"signal", 's', CLI_STR, &name, "SIG", "Signal (default its own)"},
        {"time", 't', CLI_I64, &timeout, "S",
         "Seconds before SIGKILL (default its own; -1: never)"},
        {"timeout", 0, CLI_I64, &timeout, "S", "The same as --time"}};
    const struct cli_verb v = {"stop",
                               "[OPTIONS] CONTAINER...",
                               "Ask containers to end, then kill them.",
                               f,
                               array_len(f),
                               1,
                               -1,
                               false};
    struct options o;
    struct istore *s;
    struct err e;
    char **args;
    int n, status;
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    o = (struct options){.timeout_s = timeout};
    if (signal_flag(name, 0, &o.sig, &e) != 0) {
        istore_close(s);
        return cli_fail(1, &e);
    }
    /* All are asked before any is waited for: they end side by side. */
    for (int i = 0; i < n; i++) {
        char id[ISTORE_HEX];
        if (ct_find(s, args[i], id, &e) == 0)
            (void)!ask_to_stop(s, id, &o, &e);
    }
    o.asked_ms = clock_mono_ms();
    return for_each(s, args, n, finish_stop, &o, true);
}

int cmd_kill(int argc, char **argv)
{
    static const char *name;
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
    struct options o = {.timeout_s = TIMEOUT_OWN};
    if (signal_flag(name, SIGKILL, &o.sig, &e) != 0) {
        istore_close(s);
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
    struct options o = {.timeout_s = TIMEOUT_OWN};
    return for_each(s, args, n, do_wait, &o, false);
}

int cmd_rm(int argc, char **argv)
{
    static bool force, volumes;
    static const struct cli_flag f[] = {
        {"force", 'f', CLI_BOOL, &force, NULL, "Kill it first if it runs"},
        {"volumes", 'v', CLI_BOOL, &volumes, NULL,
         "Its anonymous volumes too: they always go with it"}};
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
