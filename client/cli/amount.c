#include "client/cli/amount.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

/* The unit at the end of a size: "", "k", "KiB", "mb" ...; its shift. */
static bool size_unit(const char *p, unsigned *shift)
{
    static const char units[] = "kKmMgGtTpP";
    const char *u = *p != '\0' ? strchr(units, *p) : NULL;
    *shift = 0;
    if (u != NULL) {
        *shift = 10 * (unsigned)((u - units) / 2 + 1);
        p++;
        if (*p == 'i' || *p == 'I') {
            p++;
            if (*p == '\0')
                return false;
        }
    }
    if (*p == 'b' || *p == 'B')
        p++;
    return *p == '\0';
}

bool amount_parse_size(const char *text, uint64_t *out)
{
    size_t n = strspn(text, "0123456789.");
    const char *unit = text + n;
    uint64_t v;
    uint32_t part;
    unsigned shift;
    /* Digits on both sides of a dot. */
    if (n == 0 || text[0] == '.' || text[n - 1] == '.')
        return false;
    unit += *unit == ' ' && unit[1] != '\0';
    if (!size_unit(unit, &shift) ||
        !num_parse_decimal((struct slice){text, n},
                           (UINT64_MAX >> 1 >> shift) - 1, &v, &part))
        return false;
    *out = (v << shift) +
           (uint64_t)((double)part / NUM_NANO * (double)(1ull << shift));
    return true;
}

void amount_format_size(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1000 && u + 1 < array_len(units)) {
        v /= 1000;
        u++;
    }
    (void)snprintf(out, 32, "%.3g%s", v, units[u]);
}

void amount_format_age(int64_t s, char out[32])
{
    static const struct {
        int64_t below, span;
        const char *name;
    } unit[] = {{60, 1, "second"},
                {3600, 60, "minute"},
                {48 * 3600, 3600, "hour"},
                {14 * 86400, 86400, "day"},
                {60 * 86400, 7 * 86400, "week"},
                {730 * 86400, 30 * 86400, "month"},
                {INT64_MAX, 365 * 86400, "year"}};
    size_t u = 0;
    if (s < 1) {
        (void)snprintf(out, 32, "Less than a second");
        return;
    }
    /* From an hour on, whole hours are what counts, as docker's. */
    if (s >= 3600)
        s = (s + 1800) / 3600 * 3600;
    while (s >= unit[u].below)
        u++;
    int64_t n = s / unit[u].span;
    if (n == 1 && unit[u].span == 60)
        (void)snprintf(out, 32, "About a minute");
    else if (n == 1 && unit[u].span == 3600)
        (void)snprintf(out, 32, "About an hour");
    else
        (void)snprintf(out, 32, "%" PRId64 " %s%s", n, unit[u].name,
                       n == 1 ? "" : "s");
}
