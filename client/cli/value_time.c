/* Moments: --since, --until. */
#include <string.h>

#include "base/num.h"
#include "client/cli/value.h"

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
    uint64_t whole;
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
            size_t n = 1 + strspn(p + 1, "0123456789");
            if (n == 1 ||
                !num_parse_decimal((struct slice){p, n}, 0, &whole, &nano))
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
    } units[] = {
        {"ns", 1},       {"us", 1000},           {"ms", 1000000},
        {"s", NUM_NANO}, {"m", 60LL * NUM_NANO}, {"h", 3600LL * NUM_NANO}};
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
            !num_parse_decimal((struct slice){p, n},
                               (uint64_t)(INT64_MAX / 4 / units[k].nano),
                               &whole, &part))
            return false;
        int64_t v = (int64_t)whole * units[k].nano +
                    (int64_t)((double)part / NUM_NANO * (double)units[k].nano);
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
    if (num_parse_decimal(slice_of(text), INT32_MAX * 64ull, &whole, &nano)) {
        *out = (struct timespec){(time_t)whole, (long)nano};
        return 0;
    }
    if (text[0] != '\0' && duration(text, &before)) {
        int64_t t = (int64_t)now.tv_sec * NUM_NANO + now.tv_nsec - before;
        t = t < 0 ? 0 : t;
        *out = (struct timespec){t / NUM_NANO, (long)(t % NUM_NANO)};
        return 0;
    }
    return err_set(e, ERR_INVALID,
                   "invalid %s: %.60s (2026-01-31T12:00:00Z, 10m or seconds "
                   "since 1970)",
                   flag, text);
}
