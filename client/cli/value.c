/* Flag values; see value.h. */
#include "client/cli/value.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "client/cli/cli.h"

#define NANO 1000000000u

static const struct {
    const char *name;
    int resource;
} ulimits[] = {{"as", RLIMIT_AS},
               {"core", RLIMIT_CORE},
               {"cpu", RLIMIT_CPU},
               {"data", RLIMIT_DATA},
               {"fsize", RLIMIT_FSIZE},
               {"locks", RLIMIT_LOCKS},
               {"memlock", RLIMIT_MEMLOCK},
               {"msgqueue", RLIMIT_MSGQUEUE},
               {"nice", RLIMIT_NICE},
               {"nofile", RLIMIT_NOFILE},
               {"nproc", RLIMIT_NPROC},
               {"rss", RLIMIT_RSS},
               {"rtprio", RLIMIT_RTPRIO},
               {"rttime", RLIMIT_RTTIME},
               {"sigpending", RLIMIT_SIGPENDING},
               {"stack", RLIMIT_STACK}};

/* Up to nine digits after a dot as billionths; false for none or more. */
static bool fraction(const char *p, size_t n, uint32_t *nano)
{
    uint64_t v;
    if (n > 9 || !num_parse_u64((struct slice){p, n}, NANO - 1, &v))
        return false;
    for (; n < 9; n++)
        v *= 10;
    *nano = (uint32_t)v;
    return true;
}

/* "12", "1.5", ".5" or "1." of n bytes; false for anything else. */
static bool decimal(const char *p, size_t n, uint64_t max, uint64_t *whole,
                    uint32_t *nano)
{
    const char *dot = memchr(p, '.', n);
    size_t left = dot != NULL ? (size_t)(dot - p) : n;
    size_t right = dot != NULL ? n - left - 1 : 0;
    *whole = 0;
    *nano = 0;
    return left + right > 0 &&
           (left == 0 || num_parse_u64((struct slice){p, left}, max, whole)) &&
           (right == 0 || fraction(dot + 1, right, nano));
}

int value_cpus(const char *text, uint64_t *nano, struct err *e)
{
    uint64_t whole;
    uint32_t part;
    if (!decimal(text, strlen(text), VALUE_CPUS_MAX, &whole, &part))
        return err_set(e, ERR_INVALID,
                       "invalid --cpus: %.60s (a number such as 1.5)", text);
    *nano = whole * NANO + part;
    if (*nano != 0 && *nano < NANO / 100)
        return err_set(e, ERR_RANGE, "--cpus %.60s: at least 0.01", text);
    return 0;
}

int value_cpuset(const char *flag, const char *text, struct value_cpuset *out,
                 struct err *e)
{
    memset(out, 0, sizeof(*out));
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        const char *dash = memchr(p, '-', n);
        size_t left = dash != NULL ? (size_t)(dash - p) : n;
        uint64_t from, to;
        if (!num_parse_u64((struct slice){p, left}, VALUE_CPUS_MAX - 1, &from))
            break;
        to = from;
        if (dash != NULL &&
            (!num_parse_u64((struct slice){dash + 1, n - left - 1},
                            VALUE_CPUS_MAX - 1, &to) ||
             to < from))
            break;
        for (; from <= to; from++)
            out->bits[from / 8] |= (unsigned char)(1 << from % 8);
        p += n;
        if (*p == '\0')
            return 0;
    }
    return err_set(e, ERR_INVALID, "invalid %s: %.60s (such as 0-2,5)", flag,
                   text);
}

bool value_cpuset_within(const struct value_cpuset *inner,
                         const struct value_cpuset *outer)
{
    for (size_t i = 0; i < sizeof(inner->bits); i++) {
        if ((inner->bits[i] & ~outer->bits[i]) != 0)
            return false;
    }
    return true;
}

int value_swap(const char *text, uint64_t memory, int64_t *swap, struct err *e)
{
    uint64_t v = 0;
    *swap = 0;
    if (text == NULL)
        return 0;
    if (strcmp(text, "-1") == 0) {
        *swap = -1;
        return 0;
    }
    if (!cli_parse_size(text, &v))
        return err_set(e, ERR_INVALID, "invalid --memory-swap: %.60s", text);
    if (v != 0 && memory == 0)
        return err_set(e, ERR_INVALID,
                       "--memory-swap %.60s: needs a memory limit (-m) too",
                       text);
    if (v != 0 && v < memory)
        return err_set(e, ERR_RANGE,
                       "--memory-swap %.60s: is memory and swap together, at "
                       "least the memory limit",
                       text);
    *swap = (int64_t)v;
    return 0;
}

const char *value_ulimit_name(int resource)
{
    for (size_t i = 0; i < array_len(ulimits); i++) {
        if (ulimits[i].resource == resource)
            return ulimits[i].name;
    }
    return NULL;
}

static bool limit_number(struct slice s, rlim_t *out)
{
    uint64_t v;
    if (slice_is(s, "-1")) {
        *out = RLIM_INFINITY;
        return true;
    }
    if (!num_parse_u64(s, INT64_MAX, &v))
        return false;
    *out = v;
    return true;
}

int value_ulimit(const char *text, int *resource, struct rlimit *out,
                 struct err *e)
{
    size_t n = strcspn(text, "="), k = 0;
    while (k < array_len(ulimits) &&
           !slice_is((struct slice){text, n}, ulimits[k].name))
        k++;
    if (text[n] == '\0' || k == array_len(ulimits))
        return err_set(e, ERR_INVALID,
                       "invalid --ulimit: %.60s (such as nofile=1024:2048)",
                       text);
    const char *soft = text + n + 1;
    size_t len = strcspn(soft, ":");
    const char *hard = soft[len] == ':' ? soft + len + 1 : soft;
    *resource = ulimits[k].resource;
    if (!limit_number((struct slice){soft, len}, &out->rlim_cur) ||
        !limit_number(slice_of(hard), &out->rlim_max))
        return err_set(e, ERR_INVALID, "invalid --ulimit: %.60s", text);
    if (out->rlim_cur > out->rlim_max)
        return err_set(e, ERR_RANGE,
                       "--ulimit %.60s: the soft limit is above the hard one",
                       text);
    return 0;
}

/* "RTMIN", "RTMIN+n", "RTMAX-n"; -1 for anything else. */
static int realtime_signal(const char *name)
{
    int base = strncasecmp(name, "RTMIN", 5) == 0   ? SIGRTMIN
               : strncasecmp(name, "RTMAX", 5) == 0 ? SIGRTMAX
                                                    : -1;
    uint64_t n = 0;
    char sign = base == SIGRTMIN ? '+' : '-';
    if (base < 0 || (name[5] != '\0' &&
                     (name[5] != sign ||
                      !num_parse_u64(slice_of(name + 6),
                                     (uint64_t)(SIGRTMAX - SIGRTMIN), &n))))
        return -1;
    return sign == '+' ? base + (int)n : base - (int)n;
}

int value_signal(const char *name)
{
    static const struct {
        const char *name;
        int sig;
    } others[] = {{"IOT", SIGABRT}, {"CLD", SIGCHLD}, {"IO", SIGPOLL}};
    uint64_t n;
    if (num_parse_u64(slice_of(name), NSIG - 1, &n))
        return n > 0 ? (int)n : -1;
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < NSIG; i++) {
        const char *abbrev = sigabbrev_np(i);
        if (abbrev != NULL && strcasecmp(abbrev, name) == 0)
            return i;
    }
    for (size_t i = 0; i < array_len(others); i++) {
        if (strcasecmp(others[i].name, name) == 0)
            return others[i].sig;
    }
    return realtime_signal(name);
}

/* Copy a path without doubled and trailing slashes; false when too long. */
static bool clean_path(const char *p, size_t n, char out[PATH_MAX])
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '/' && k > 0 && out[k - 1] == '/')
            continue;
        if (k + 1 >= PATH_MAX)
            return false;
        out[k++] = p[i];
    }
    if (k > 1 && out[k - 1] == '/')
        k--;
    out[k] = '\0';
    return true;
}

static bool has_dotdot(const char *path)
{
    for (const char *p = path; (p = strstr(p, "..")) != NULL; p += 2) {
        if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0'))
            return true;
    }
    return false;
}

bool value_target(const char *text, size_t n, char out[PATH_MAX])
{
    return n > 0 && text[0] == '/' && clean_path(text, n, out) &&
           strcmp(out, "/") != 0 && !has_dotdot(out);
}

static int volume_mode(struct value_volume *v, const char *text, struct err *e)
{
    static const char *const known[] = {"ro", "rw",      "z",
                                        "Z",  "private", "rprivate"};
    for (const char *p = v->mode;; p++) {
        size_t n = strcspn(p, ","), k = 0;
        struct slice word = {p, n};
        while (k < array_len(known) && !slice_is(word, known[k]))
            k++;
        if (k == array_len(known))
            return err_set(e, ERR_INVALID, "-v %.100s: unknown mode %.*s", text,
                           (int)n, p);
        if (k == 0)
            v->is_read_only = true;
        p += n;
        if (*p == '\0')
            return 0;
    }
}

int value_volume(const char *text, const char *cwd, struct value_volume *v,
                 struct err *e)
{
    const char *colon = strchr(text, ':');
    const char *target = colon != NULL ? colon + 1 : text;
    size_t n = strcspn(target, ":");
    size_t src = colon != NULL ? (size_t)(colon - text) : 0;
    memset(v, 0, sizeof(*v));
    if (!value_target(target, n, v->target))
        return err_set(e, ERR_INVALID,
                       "-v %.100s: the target must be an absolute path below /",
                       text);
    if (target[n] == ':') {
        if (strlen(target + n + 1) >= sizeof(v->mode))
            return err_set(e, ERR_INVALID, "-v %.100s: unknown mode", text);
        (void)snprintf(v->mode, sizeof(v->mode), "%s", target + n + 1);
        if (volume_mode(v, text, e) != 0)
            return -1;
    }
    if (colon == NULL)
        return 0;
    if (text[0] == '.' && (src == 1 || text[1] == '/' || text[1] == '.')) {
        char joined[2 * PATH_MAX];
        int len =
            snprintf(joined, sizeof(joined), "%s/%.*s", cwd, (int)src, text);
        if (len > 0 && (size_t)len < sizeof(joined) &&
            clean_path(joined, (size_t)len, v->source))
            return 0;
    } else if (text[0] == '/' && clean_path(text, src, v->source)) {
        return 0;
    }
    return err_set(e, ERR_UNSUPPORTED,
                   "-v %.100s: the source must be a path (/x or ./x); this "
                   "version has no named volumes",
                   text);
}

/* A word without a value that a tmpfs may have. */
static bool tmpfs_word(struct value_tmpfs *t, const char *w)
{
    static const char *const plain[] = {"rw",      "nosuid",   "nodev",
                                        "noexec",  "relatime", "strictatime",
                                        "noatime", "private",  "rprivate"};
    const struct {
        const char *name;
        bool *flag;
    } set[] = {{"ro", &t->is_read_only},
               {"exec", &t->has_exec},
               {"suid", &t->has_suid},
               {"dev", &t->has_dev}};
    for (size_t i = 0; i < array_len(set); i++) {
        if (strcmp(w, set[i].name) == 0)
            return *set[i].flag = true;
    }
    for (size_t i = 0; i < array_len(plain); i++) {
        if (strcmp(w, plain[i]) == 0)
            return true;
    }
    return false;
}

int value_tmpfs(const char *text, struct value_tmpfs *t, struct err *e)
{
    static const char *const keys[] = {"size",      "mode", "uid",      "gid",
                                       "nr_blocks", "mpol", "nr_inodes"};
    size_t n = strcspn(text, ":");
    char *save = NULL;
    memset(t, 0, sizeof(*t));
    if (!value_target(text, n, t->target))
        return err_set(e, ERR_INVALID,
                       "--tmpfs %.100s: want an absolute path below /", text);
    if (text[n] == '\0')
        return 0;
    if (strlen(text + n + 1) >= sizeof(t->text))
        return err_set(e, ERR_INVALID, "--tmpfs %.100s: too many options",
                       text);
    (void)snprintf(t->text, sizeof(t->text), "%s", text + n + 1);
    for (char *w = strtok_r(t->text, ",", &save); w != NULL;
         w = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(w, '=');
        size_t k = 0;
        if (eq == NULL && tmpfs_word(t, w))
            continue;
        while (eq != NULL && k < array_len(keys) &&
               !slice_is((struct slice){w, (size_t)(eq - w)}, keys[k]))
            k++;
        if (eq == NULL || k == array_len(keys) || t->n == VALUE_TMPFS_OPTIONS)
            return err_set(e, ERR_INVALID,
                           "--tmpfs %.60s: unknown option %.60s", t->target, w);
        *eq = '\0';
        t->has_mode = t->has_mode || strcmp(w, "mode") == 0;
        t->option[t->n][0] = w;
        t->option[t->n++][1] = eq + 1;
    }
    return 0;
}

/* ---- moments ------------------------------------------------------------ */

/* Exactly n digits at *p; moves on. */
static bool digits(const char **p, size_t n, int *out)
{
    uint64_t v;
    if (strlen(*p) < n || !num_parse_u64((struct slice){*p, n}, INT32_MAX, &v))
        return false;
    *out = (int)v;
    *p += n;
    return true;
}

/* "", "Z", "+02:00": the seconds east of Greenwich, or is_local. */
static bool zone(const char *p, int *east, bool *is_local)
{
    int h, m, sign = *p == '-' ? -1 : 1;
    *is_local = *p == '\0';
    *east = 0;
    if (*p == '\0' || strcmp(p, "Z") == 0)
        return true;
    if (*p != '+' && *p != '-')
        return false;
    p++;
    if (!digits(&p, 2, &h) || *p++ != ':' || !digits(&p, 2, &m) || *p != '\0')
        return false;
    *east = sign * (h * 3600 + m * 60);
    return true;
}

static bool date(const char *p, struct timespec *out)
{
    struct tm tm = {.tm_isdst = -1};
    uint32_t nano = 0;
    int east;
    bool is_local;
    if (!digits(&p, 4, &tm.tm_year) || *p++ != '-' ||
        !digits(&p, 2, &tm.tm_mon) || *p++ != '-' ||
        !digits(&p, 2, &tm.tm_mday))
        return false;
    if (*p == 'T') {
        p++;
        if (!digits(&p, 2, &tm.tm_hour) || *p++ != ':' ||
            !digits(&p, 2, &tm.tm_min))
            return false;
        if (*p == ':' && (p++, !digits(&p, 2, &tm.tm_sec)))
            return false;
        if (*p == '.') {
            size_t n = strspn(++p, "0123456789");
            if (!fraction(p, n, &nano))
                return false;
            p += n;
        }
    }
    if (!zone(p, &east, &is_local) || tm.tm_mon < 1 || tm.tm_mon > 12 ||
        tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    time_t t = is_local ? mktime(&tm) : timegm(&tm);
    *out = (struct timespec){t - east, (long)nano};
    return true;
}

/* "1h30m" in nanoseconds. */
static bool duration(const char *p, int64_t *out)
{
    static const struct {
        const char *name;
        int64_t nano;
    } units[] = {{"ns", 1},   {"us", 1000},       {"ms", 1000000},
                 {"s", NANO}, {"m", 60LL * NANO}, {"h", 3600LL * NANO}};
    *out = 0;
    while (*p != '\0') {
        size_t n = strspn(p, "0123456789.");
        size_t u = strspn(p + n, "abcdefghijklmnopqrstuvwxyz"), k = 0;
        uint64_t whole;
        uint32_t part;
        while (k < array_len(units) &&
               !slice_is((struct slice){p + n, u}, units[k].name))
            k++;
        if (k == array_len(units) ||
            !decimal(p, n, (uint64_t)(INT64_MAX / 4 / units[k].nano), &whole,
                     &part))
            return false;
        int64_t v = (int64_t)whole * units[k].nano +
                    (int64_t)((double)part / NANO * (double)units[k].nano);
        if (*out > INT64_MAX / 2 - v)
            return false;
        *out += v;
        p += n + u;
    }
    return true;
}

int value_time(const char *flag, const char *text, struct timespec now,
               struct timespec *out, struct err *e)
{
    uint64_t whole;
    uint32_t nano;
    int64_t before;
    if (date(text, out))
        return 0;
    if (decimal(text, strlen(text), INT32_MAX * 64ull, &whole, &nano)) {
        *out = (struct timespec){(time_t)whole, (long)nano};
        return 0;
    }
    if (text[0] != '\0' && duration(text, &before)) {
        int64_t t = (int64_t)now.tv_sec * NANO + now.tv_nsec - before;
        t = t < 0 ? 0 : t;
        *out = (struct timespec){t / NANO, (long)(t % NANO)};
        return 0;
    }
    return err_set(e, ERR_INVALID,
                   "invalid %s: %.60s (2026-01-31T12:00:00Z, 10m or seconds "
                   "since 1970)",
                   flag, text);
}

int value_env_line(const char **line, size_t *name_len, struct err *e)
{
    const char *p = *line;
    p += strspn(p, " \t\v\f\r");
    *line = p;
    *name_len = 0;
    if (*p == '\0' || *p == '#')
        return 0;
    size_t n = strcspn(p, "=");
    if (n == 0)
        return err_set(e, ERR_INVALID, "no variable name on line '%.60s'", p);
    if (strcspn(p, " \t\v\f\r") < n)
        return err_set(e, ERR_INVALID, "variable '%.*s' contains whitespaces",
                       n > 60 ? 60 : (int)n, p);
    *name_len = n;
    return 0;
}
