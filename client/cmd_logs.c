/* berth logs: the json-file log and its rotated parts, oldest first. */
#include "client/cmd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/cli.h"
#include "client/image/store.h"
#include "client/runtime/container.h"

static struct {
    bool follow, timestamps;
    const char *tail, *since;
} o;

struct reader {
    char since[40]; /* lines before this time are left out; "" all */
    uint64_t skip;  /* lines still to leave out for --tail */
};

static void print_line(struct reader *r, const char *line, size_t n)
{
    struct err ignored;
    if (r->skip > 0) {
        r->skip--;
        return;
    }
    json_t *j = json_load_object(line, n, &ignored);
    const char *text = j ? json_member_string(j, "log") : NULL;
    const char *when = j ? json_member_string(j, "time") : NULL;
    const char *stream = j ? json_member_string(j, "stream") : NULL;
    if (text != NULL && when != NULL && stream != NULL &&
        strcmp(when, r->since) >= 0) {
        FILE *f = strcmp(stream, "stderr") == 0 ? stderr : stdout;
        if (o.timestamps)
            (void)fprintf(f, "%s ", when);
        (void)fputs(text, f);
    }
    json_decref(j);
}

/* Whole lines from the file's position on; an unfinished one waits. */
static void read_lines(struct reader *r, FILE *f, bool is_counting,
                       uint64_t *count)
{
    char *line = NULL;
    size_t cap = 0;
    off_t at = ftello(f);
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0; at = ftello(f)) {
        if (line[n - 1] != '\n')
            break;
        if (is_counting)
            ++*count;
        else
            print_line(r, line, (size_t)n - 1);
    }
    (void)fseeko(f, at, SEEK_SET);
    clearerr(f);
    free(line);
    (void)fflush(stdout);
}

static FILE *open_log(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (f == NULL)
        scope_close(&fd);
    return f;
}

/* "10m", "3h", "45s", or a time as in the log, or seconds since 1970. */
static int parse_since(char out[40], struct err *e)
{
    static const struct {
        char unit;
        int seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
    size_t n = o.since ? strlen(o.since) : 0;
    uint64_t v;
    out[0] = '\0';
    if (n == 0)
        return 0;
    time_t t = -1;
    for (size_t i = 0; i < array_len(units); i++) {
        if (o.since[n - 1] == units[i].unit &&
            num_parse_u64((struct slice){o.since, n - 1}, 1u << 30, &v))
            t = (time_t)(clock_wall_s() - (int64_t)v * units[i].seconds);
    }
    if (t < 0 && num_parse_u64(slice_of(o.since), INT64_MAX, &v))
        t = (time_t)v;
    struct tm tm;
    if (t >= 0 && gmtime_r(&t, &tm) != NULL)
        return strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm) > 0 ? 0 : -1;
    if (n >= 10 && n < 40 && o.since[4] == '-') {
        (void)snprintf(out, 40, "%s", o.since);
        return 0;
    }
    return err_set(e, ERR_INVALID, "invalid --since: %s (10m, or a time)",
                   o.since);
}

/* Until the container has ended; a rotated file is read to its end first. */
static void follow(struct istore *s, const char *id, int dir, struct reader *r,
                   FILE *f)
{
    for (;;) {
        struct ct_state st;
        struct stat a, b;
        ct_state(s, id, &st);
        read_lines(r, f, false, NULL);
        if (fstat(fileno(f), &a) == 0 && fstatat(dir, "log", &b, 0) == 0 &&
            a.st_ino != b.st_ino) {
            FILE *next = open_log(dir, "log");
            if (next != NULL) {
                read_lines(r, f, false, NULL);
                (void)fclose(f);
                f = next;
                continue;
            }
        }
        if (st.status != CT_RUNNING && st.monitor == 0)
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    (void)fclose(f);
}

static int show(struct istore *s, const char *id, struct err *e)
{
    static const char *const names[] = {"log.2", "log.1", "log"};
    struct reader r = {.skip = 0};
    uint64_t count = 0, keep = UINT64_MAX;
    FILE *f[3];
    if (parse_since(r.since, e) != 0)
        return -1;
    if (o.tail != NULL && strcmp(o.tail, "all") != 0 &&
        !num_parse_u64(slice_of(o.tail), UINT64_MAX, &keep))
        return err_set(e, ERR_INVALID, "invalid --tail: %s", o.tail);
    scoped_fd dir = istore_container_open(s, id, e);
    if (dir < 0)
        return -1;
    for (size_t i = 0; i < 3; i++) {
        f[i] = open_log(dir, names[i]);
        if (f[i] != NULL && keep != UINT64_MAX) {
            read_lines(&r, f[i], true, &count);
            rewind(f[i]);
        }
    }
    r.skip = count > keep ? count - keep : 0;
    for (size_t i = 0; i < 3; i++) {
        if (f[i] == NULL)
            continue;
        read_lines(&r, f[i], false, NULL);
        if (i == 2 && o.follow)
            follow(s, id, dir, &r, f[i]);
        else
            (void)fclose(f[i]);
    }
    return 0;
}

int cmd_logs(int argc, char **argv)
{
    static const struct cli_flag f[] = {
        {"follow", 'f', CLI_BOOL, &o.follow, NULL, "Go on until it ends"},
        {"since", 0, CLI_STR, &o.since, "TIME", "From a time, or 10m, 3h"},
        {"tail", 'n', CLI_STR, &o.tail, "N", "Only the last N lines"},
        {"timestamps", 't', CLI_BOOL, &o.timestamps, NULL, "Show times"}};
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
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(1, &e);
    if (istore_open(NULL, &s, &e) != 0 || ct_find(s, args[0], id, &e) != 0 ||
        show(s, id, &e) != 0)
        return cli_fail(1, &e);
    istore_close(s);
    return 0;
}
