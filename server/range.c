#include "server/range.h"

#include <string.h>

static const struct slice unit = {"bytes=", 6};

static bool split(struct slice s, struct slice *left, struct slice *right)
{
    const char *dash = s.n ? memchr(s.p, '-', s.n) : NULL;

    if (!dash)
        return false;
    *left = (struct slice){s.p, (size_t)(dash - s.p)};
    *right = (struct slice){dash + 1, s.n - left->n - 1};
    return true;
}

static bool number(struct slice s, int64_t *out)
{
    uint64_t v;

    if (!num_parse_u64(s, INT64_MAX, &v))
        return false;
    *out = (int64_t)v;
    return true;
}

/* Is s all digits (maybe too large for a number)? */
static bool is_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    }
    return s.n > 0;
}

enum range_result range_parse(struct slice header, int64_t size, int64_t *first,
                              int64_t *last)
{
    struct slice left, right, spec;

    if (header.n < unit.n ||
        !slice_is_nocase((struct slice){header.p, unit.n}, "bytes="))
        return RANGE_NONE;
    spec = (struct slice){header.p + unit.n, header.n - unit.n};
    if (spec.n && memchr(spec.p, ',', spec.n))
        return RANGE_NONE;
    if (!split(spec, &left, &right) || size == 0)
        return RANGE_UNSATISFIABLE;
    if (left.n == 0) { /* the last n bytes */
        int64_t n;

        if (!is_digits(right))
            return RANGE_UNSATISFIABLE;
        if (!number(right, &n) || n > size)
            n = size;
        *first = size - n;
        *last = size - 1;
        return n > 0 ? RANGE_ONE : RANGE_UNSATISFIABLE;
    }
    if (!number(left, first) || *first >= size)
        return RANGE_UNSATISFIABLE;
    *last = size - 1;
    if (right.n == 0)
        return RANGE_ONE;
    if (!is_digits(right))
        return RANGE_UNSATISFIABLE;
    if (!number(right, last) || *last >= size)
        *last = size - 1;
    return *last >= *first ? RANGE_ONE : RANGE_UNSATISFIABLE;
}

bool range_parse_chunk(struct slice header, int64_t *first, int64_t *last)
{
    struct slice left, right;

    return split(header, &left, &right) && number(left, first) &&
           number(right, last) && *last >= *first && *last < INT64_MAX;
}
