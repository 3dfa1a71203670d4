/*
 * libFuzzer target for the headers about parts and versions: Range, the
 * Content-Range of chunks, lists of entity tags.
 *
 * Input: four bytes of size, the rest is the header's value.
 * Checked: ranges lie inside, none share a byte, what was read says the same
 * when it is written again; a list is consumed to its end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/etag.h"
#include "server/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct range ranges[RANGE_MAX], again[RANGE_MAX];
static char text[RANGE_MAX * 48];

static void check_inside(size_t n, int64_t size)
{
    int64_t total = 0;

    for (size_t i = 0; i < n; i++) {
        berth_assert(ranges[i].first >= 0 && ranges[i].last < size);
        berth_assert(ranges[i].first <= ranges[i].last);
        total += ranges[i].last - ranges[i].first + 1;
        for (size_t k = 0; k < i; k++)
            berth_assert(ranges[k].last < ranges[i].first ||
                         ranges[i].last < ranges[k].first);
    }
    berth_assert(total <= size);
}

static void check_range(struct slice value, int64_t size)
{
    size_t n = 0, m = 0, used;
    enum range_result r = range_parse(value, size, ranges, &n);

    berth_assert(n <= RANGE_MAX && (r == RANGE_SOME) == (n > 0));
    check_inside(n, size);
    if (r != RANGE_SOME)
        return;
    used = (size_t)snprintf(text, sizeof(text), "bytes=");
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%lld-%lld,",
                                 (long long)ranges[i].first,
                                 (long long)ranges[i].last);
    berth_assert(range_parse(slice_of(text), size, again, &m) == RANGE_SOME);
    berth_assert(n == m && memcmp(ranges, again, n * sizeof(*again)) == 0);
}

static void check_chunk(struct slice value)
{
    int64_t first, last, a, b;

    if (!range_parse_chunk(value, &first, &last))
        return;
    berth_assert(first >= 0 && first <= last);
    snprintf(text, sizeof(text), "%lld-%lld", (long long)first,
             (long long)last);
    berth_assert(range_parse_chunk(slice_of(text), &a, &b));
    berth_assert(a == first && b == last);
}

static void check_tags(struct slice value)
{
    struct slice rest = value;
    struct etag tag;
    int rc;

    do {
        size_t before = rest.n;

        rc = etag_next(&rest, &tag);
        berth_assert(rc != 1 || rest.n < before);
        berth_assert(rest.p + rest.n == value.p + value.n);
        berth_assert(tag.text.n == 0 ||
                     (tag.text.p >= value.p && tag.text.p < rest.p));
        berth_assert(tag.text.n == 0 || !memchr(tag.text.p, '"', tag.text.n));
    } while (rc == 1);
    berth_assert(rc < 0 || rest.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value;
    uint32_t length;
    char *copy;

    if (size < sizeof(length))
        return 0;
    memcpy(&length, data, sizeof(length));
    /* Of its own size, so that a read behind the end is seen. */
    value.n = size - sizeof(length);
    copy = malloc(value.n + 1);
    berth_assert(copy);
    memcpy(copy, data + sizeof(length), value.n);
    value.p = copy;
    check_range(value, length);
    check_chunk(value);
    check_tags(value);
    free(copy);
    return 0;
}
