/* berth logs: what a container wrote, and with -f what it will write. */
#include "client/cmd/cmd.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "client/cli/cli.h"
#include "client/cli/value.h"
#include "client/runtime/container.h"
#include "client/runtime/logread.h"
#include "client/store/store.h"

#define POLL_NS 50000000

static struct {
    bool follow, timestamps;
    const char *tail, *since, *until;
} o = {.tail = "all"};

struct view {
    char since[64], until[64]; /* as in the log; "" is no bound */
    struct timespec end;       /* of `until`, for -f */
    uint64_t skip;             /* lines to leave out for --tail */
};

static void show_line(struct view *v, const struct logread_line *line)
{
    if (v->skip > 0) {
        v->skip--;
        return;
    }
    if (strcmp(line->when, v->since) < 0 ||
        (v->until[0] != '\0' && strcmp(line->when, v->until) > 0))
        return;
    /* In the order of the log, where both go to one place. */
    FILE *f = line->stream == 2 ? stderr : stdout;
    if (f == stderr)
        (void)fflush(stdout);
    if (o.timestamps)
        (void)fprintf(f, "%s ", line->when);
    (void)fwrite(line->text, 1, line->n, f);
}

/* A bound as the log writes times, so that texts compare as times do. */
static int bound(const char *flag, const char *text, char out[64],
                 struct timespec *t, struct err *e)
{
    struct timespec now;
    struct tm tm;
    char second[32];
    out[0] = '\0';
    if (text == NULL)
        return 0;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (value_time(flag, text, now, t, e) != 0)
        return -1;
    if (gmtime_r(&t->tv_sec, &tm) == NULL ||
        strftime(second, sizeof(second), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
        return err_set(e, ERR_RANGE, "%s: no such time", flag);
    (void)snprintf(out, 64, "%s.%09ldZ", second, t->tv_nsec);
    return 0;
}

static bool is_past(const struct view *v)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return v->until[0] != '\0' && now.tv_sec > v->end.tv_sec;
}

/* Until the container has ended and its monitor has written all. */
static void follow(struct istore *s, const char *id, struct logread *l,
                   struct view *v)
{
    for (bool is_last = false; !is_last;) {
        struct logread_line line;
        struct ct_state st;
        ct_state(s, id, &st); /* before the read: nothing comes after it */
        is_last = (st.status != CT_RUNNING && st.monitor == 0) || is_past(v);
        while (logread_next(l, &line))
            show_line(v, &line);
        (void)fflush(stdout);
        if (!is_last)
            (void)nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
}

static int tail_of(int dir, uint64_t *skip, struct err *e)
{
    struct logread l;
    struct logread_line line;
    uint64_t keep, n = 0;
    *skip = 0;
    /* docker's: a negative number is all. */
    if (strcmp(o.tail, "all") == 0 ||
        (o.tail[0] == '-' &&
         num_parse_u64(slice_of(o.tail + 1), UINT64_MAX, &keep)))
        return 0;
    if (!num_parse_u64(slice_of(o.tail), UINT64_MAX, &keep))
        return err_set(e, ERR_INVALID, "invalid --tail: %.60s (a number)",
                       o.tail);
    logread_open(&l, dir);
    while (logread_next(&l, &line))
        n++;
    logread_close(&l);
    *skip = n > keep ? n - keep : 0;
    return 0;
}

static int show(struct istore *s, const char *id, struct err *e)
{
    struct view v = {.skip = 0};
    struct timespec since;
    struct logread l;
    struct logread_line line;
    if (bound("--since", o.since, v.since, &since, e) != 0 ||
        bound("--until", o.until, v.until, &v.end, e) != 0)
        return -1;
    scoped_fd dir = istore_container_open(s, id, e);
    if (dir < 0 || tail_of(dir, &v.skip, e) != 0)
        return -1;
    logread_open(&l, dir);
    if (o.follow)
        follow(s, id, &l, &v);
    else
        while (logread_next(&l, &line))
            show_line(&v, &line);
    logread_close(&l);
    return 0;
}

int cmd_logs(int argc, char **argv)
{
    static const struct cli_flag f[] = {
        {"follow", 'f', CLI_BOOL, &o.follow, NULL, "Go on until it ends"},
        {"since", 0, CLI_STR, &o.since, "TIME", "From a time, or 10m, 3h"},
        {"tail", 'n', CLI_STR, &o.tail, "N", "Only the last N lines"},
        {"timestamps", 't', CLI_BOOL, &o.timestamps, NULL, "Show times"},
        {"until", 0, CLI_STR, &o.until, "TIME", "Up to a time"}};
    const struct cli_verb v = {"logs",
                               "[OPTIONS] CONTAINER",
                               "Show the output of a container.",
                               f,
                               array_len(f),
                               1,
                               1,
                               false};
    struct err e;
    struct istore *s;
    char **args, id[ISTORE_HEX];
    int n, status;
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    if (ct_find(s, args[0], id, &e) != 0 || show(s, id, &e) != 0)
        status = cli_fail(1, &e);
    istore_close(s);
    return status;
}
