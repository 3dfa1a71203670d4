/* Values of flags that limit, and the lines of an --env-file. */
#include "client/cli/value.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "client/cli/amount.h"

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

int value_cpus(const char *text, uint64_t *nano, struct err *e)
{
    uint64_t whole;
    uint32_t part;
    if (!num_parse_decimal(slice_of(text), VALUE_CPUS_MAX, &whole, &part))
        return err_set(e, ERR_INVALID,
                       "invalid --cpus: %.60s (a number such as 1.5)", text);
    *nano = whole * NUM_NANO + part;
    if (*nano != 0 && *nano < NUM_NANO / 100)
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
    if (!amount_parse_size(text, &v))
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
