/* berth start: run again what has ended. */
#include "client/cmd/cmd.h"

#include <poll.h>
#include <stdio.h>

#include "base/json.h"
#include "client/cli/cli.h"
#include "client/runtime/container.h"
#include "client/runtime/life.h"
#include "client/runtime/monitor.h"
#include "client/store/store.h"

#define TAKE_WAIT_MS 10000
#define TAKE_POLL_MS 2

/*
 * Become the keeper of one that has ended, or find that it runs: *life is -1
 * then.  Its monitor may be just ending, or somebody just starting it.
 */
static int take(struct istore *s, const char *id, int *life, struct err *e)
{
    for (int waited_ms = 0;; waited_ms += TAKE_POLL_MS) {
        struct ct_state st;
        *life = -1;
        ct_state(s, id, &st);
        if (st.status == CT_RUNNING)
            return 0;
        *life = life_take(s, id, e);
        if (*life >= 0)
            return 0;
        if (e->code != ERR_BUSY || waited_ms >= TAKE_WAIT_MS)
            return -1;
        (void)poll(NULL, 0, TAKE_POLL_MS);
    }
}

/* Start a container again; is_attached: show its output. */
static int start_again(struct istore *s, const char *name, bool is_attached,
                       bool is_interactive)
{
    struct err e;
    struct mon_client c;
    char id[ISTORE_HEX];
    int life;

    if (ct_find(s, name, id, &e) != 0 || take(s, id, &life, &e) != 0)
        return cli_fail(1, &e);
    if (life < 0 && is_attached) {
        (void)err_set(&e, ERR_BUSY,
                      "container %.12s runs already: see its output with logs "
                      "-f",
                      id);
        return cli_fail(1, &e);
    }
    if (life < 0) {
        printf("%s\n", name);
        return 0;
    }
    json_t *record = istore_container_read(s, id, &e);
    if (record == NULL) { /* removed while it was waited for */
        life_end(id);
        scope_close(&life);
        return cli_fail(1, &e);
    }
    bool is_tty = json_is_true(json_object_get(record, "tty"));
    bool is_removed = json_is_true(json_object_get(record, "rm"));
    json_decref(record);
    if (mon_start(s, id, life, !is_attached, is_removed, &c, &e) != 0)
        return cli_fail(1, &e);
    int status = mon_await_start(&c);
    if (status != 0)
        return is_attached ? status : 1;
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
                               "[OPTIONS] CONTAINER...",
                               "Start containers that have ended.",
                               f,
                               array_len(f),
                               1,
                               -1,
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
    life_clean(s);
    int status = 0;
    if ((attach || interactive) && n > 1) {
        (void)err_set(&e, ERR_INVALID,
                      "cannot show the output of several containers");
        status = cli_fail(1, &e);
    } else if (attach || interactive) {
        status = start_again(s, args[0], true, interactive);
    } else {
        for (int i = 0; i < n; i++)
            status |= start_again(s, args[i], false, false);
    }
    istore_close(s);
    return status;
}
