#include "server/range.h"

#include <stdlib.h>
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

/* What one range-spec of the list is. */
enum spec { SPEC_BAD, SPEC_BEYOND, SPEC_OK };

static enum spec parse_suffix(struct slice digits, int64_t size,
                              struct range *out)
{
    int64_t n;

    if (!is_digits(digits))
        return SPEC_BAD;
    if (!number(digits, &n) || n > size)
        n = size;
    *out = (struct range){size - n, size - 1};
    return n > 0 ? SPEC_OK : SPEC_BEYOND;
}

static enum spec parse_spec(struct slice s, int64_t size, struct range *out)
{
    struct slice left, right;

    if (!split(s, &left, &right))
        return SPEC_BAD;
    if (left.n == 0) /* the last n bytes */
        return parse_suffix(right, size, out);
    if (!is_digits(left) || (right.n && !is_digits(right)))
        return SPEC_BAD;
    if (!number(left, &out->first))
        out->first = INT64_MAX;
    if (!number(right, &out->last))
        out->last = INT64_MAX;
    if (out->last < out->first)
        return SPEC_BAD;
    if (out->first >= size)
        return SPEC_BEYOND;
    if (out->last >= size)
        out->last = size - 1;
    return SPEC_OK;
}

static struct slice trim(struct slice s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Cut the next element off a comma-separated list. */
static struct slice next_element(struct slice *rest)
{
    const char *comma = memchr(rest->p, ',', rest->n);
    size_t n = comma ? (size_t)(comma - rest->p) : rest->n;
    struct slice one = {rest->p, n};

    rest->p += n + (comma != NULL);
    rest->n -= n + (comma != NULL);
    return trim(one);
}

/* A range and its place in the request. */
struct ordered {
    struct range r;
    size_t place;
};

static int by_first(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;

    return (x->r.first > y->r.first) - (x->r.first < y->r.first);
}

static int by_place(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;

    return (x->place > y->place) - (x->place < y->place);
}

/* Ranges that share bytes become one, at the first one's place. */
static size_t coalesce(struct range *r, size_t n)
{
    struct ordered all[RANGE_MAX];
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        all[i] = (struct ordered){r[i], i};
    /* cppcheck-suppress uninitvar; the loop sets n of them */
    qsort(all, n, sizeof(*all), by_first);
    for (size_t i = 0; i < n; i++) {
        struct ordered *last = kept ? &all[kept - 1] : NULL;

        if (!last || all[i].r.first > last->r.last) {
            all[kept++] = all[i];
            continue;
        }
        if (all[i].r.last > last->r.last)
            last->r.last = all[i].r.last;
        if (all[i].place < last->place)
            last->place = all[i].place;
    }
    qsort(all, kept, sizeof(*all), by_place);
    for (size_t i = 0; i < kept; i++)
        r[i] = all[i].r;
    return kept;
}

enum range_result range_parse(struct slice header, int64_t size,
                              struct range *out, size_t *n)
{
    struct slice rest;
    size_t seen = 0;

    *n = 0;
    if (header.n < unit.n ||
        !slice_is_nocase((struct slice){header.p, unit.n}, "bytes="))
        return RANGE_NONE;
    rest = (struct slice){header.p + unit.n, header.n - unit.n};
    while (rest.n) {
        struct slice one = next_element(&rest);
        struct range r;

        if (one.n == 0)
            continue; /* empty list elements are legal */
        if (seen++ == RANGE_MAX) {
            *n = 0;
            return RANGE_NONE;
        }
        switch (parse_spec(one, size, &r)) {
        case SPEC_OK:
            out[(*n)++] = r;
            break;
        case SPEC_BEYOND:
            break;
        case SPEC_BAD:
        default:
            *n = 0;
            return RANGE_UNSATISFIABLE;
        }
    }
    if (*n > 1)
        *n = coalesce(out, *n);
    return *n ? RANGE_SOME : RANGE_UNSATISFIABLE;
}

bool range_parse_chunk(struct slice header, int64_t *first, int64_t *last)
{
    struct slice left, right;

    return split(header, &left, &right) && number(left, first) &&
           number(right, last) && *last >= *first && *last < INT64_MAX;
}
