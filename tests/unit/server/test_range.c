/* Range, one and several, and the Content-Range of chunks. */
#include "server/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* Results as text: "none", "416", or "0-1,3-4". */
static void read_ranges(const char *header, int64_t size, char *out, size_t cap)
{
    static struct range ranges[RANGE_MAX];
    size_t n = 0, used = 0;
    enum range_result r = range_parse(slice_of(header), size, ranges, &n);

    snprintf(out, cap, "%s", r == RANGE_NONE ? "none" : "416");
    assert_true((r == RANGE_SOME) == (n > 0));
    for (size_t i = 0; i < n && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, "%s%lld-%lld",
                                 i ? "," : "", (long long)ranges[i].first,
                                 (long long)ranges[i].last);
}

static void test_range(void **state)
{
    static const struct {
        const char *header;
        int64_t size;
        const char *want;
    } rows[] = {
        {"bytes=0-0", 10, "0-0"},
        {"bytes=2-5", 10, "2-5"},
        {"BYTES=2-5", 10, "2-5"},
        {"bytes=2-", 10, "2-9"},
        {"bytes=2-99", 10, "2-9"},
        {"bytes=9-99999999999999999999", 10, "9-9"},
        {"bytes=-3", 10, "7-9"},
        {"bytes=-30", 10, "0-9"},
        {"bytes=-99999999999999999999", 10, "0-9"},
        {"bytes= 1-2", 10, "1-2"},
        {"bytes=10-", 10, "416"},
        {"bytes=5-2", 10, "416"},
        {"bytes=-0", 10, "416"},
        {"bytes=-", 10, "416"},
        {"bytes=", 10, "416"},
        {"bytes=,", 10, "416"},
        {"bytes=a-b", 10, "416"},
        {"bytes=1-b", 10, "416"},
        {"bytes=1- 2", 10, "416"},
        {"bytes=+1-2", 10, "416"},
        {"bytes=99999999999999999999-", 10, "416"},
        {"bytes=99999999999999999999-99999999999999999999", 10, "416"},
        {"bytes=0-0", 0, "416"},
        {"bytes=-1", 0, "416"},
        {"lines=0-1", 10, "none"},
        {"byte", 10, "none"},
        {"", 10, "none"},
        /* Several: in the order asked for. */
        {"bytes=0-1,3-4", 10, "0-1,3-4"},
        {"bytes=8-9 , 0-1", 10, "8-9,0-1"},
        {"bytes=0-1\t,\t3-4\t", 10, "0-1,3-4"},
        {"bytes=0-1,,3-4,", 10, "0-1,3-4"},
        {"bytes=0-1,-1", 10, "0-1,9-9"},
        /* Beyond the end: left out, unless nothing is left. */
        {"bytes=0-1,50-60", 10, "0-1"},
        {"bytes=50-60,70-", 10, "416"},
        {"bytes=0-1,-0", 10, "0-1"},
        /* One that breaks the grammar spoils the list. */
        {"bytes=0-1,x", 10, "416"},
        {"bytes=0-1,5-2", 10, "416"},
        {"bytes=0-1;3-4", 10, "416"},
        /* Sharing bytes: one range, at the place of the first. */
        {"bytes=0-5,3-8", 10, "0-8"},
        {"bytes=6-9,0-1,5-7", 10, "5-9,0-1"},
        {"bytes=0-1,2-3", 10, "0-1,2-3"},
        {"bytes=4-5,0-9,2-3", 10, "0-9"},
        {"bytes=0-2,4-6,2-4", 10, "0-6"},
        {"bytes=3-3,3-3,3-3", 10, "3-3"},
    };
    char got[256];

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        read_ranges(rows[i].header, rows[i].size, got, sizeof(got));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s of %lld: %s, not %s", rows[i].header,
                     (long long)rows[i].size, got, rows[i].want);
    }
}

/* n times "7-7," and one that is large: the cap, and the work below it. */
static void test_many(void **state)
{
    static char text[64 * 1024];
    char got[256];
    size_t n;

    (void)state;
    n = (size_t)snprintf(text, sizeof(text), "bytes=");
    for (int i = 0; i < RANGE_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "7-7,");
    read_ranges(text, 10, got, sizeof(got));
    assert_string_equal(got, "7-7");
    snprintf(text + n, sizeof(text) - n, "8-8");
    read_ranges(text, 10, got, sizeof(got));
    assert_string_equal(got, "none");
}

static void test_chunk(void **state)
{
    static const char *const bad[] = {"",
                                      "5",
                                      "5-",
                                      "-5",
                                      "9-3",
                                      "bytes 0-4/5",
                                      "0-4/5",
                                      "a-b",
                                      "0 -4",
                                      "+0-4",
                                      "0--4",
                                      "0-9223372036854775807",
                                      "0-18446744073709551616"};
    int64_t first = 0, last = 0;

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        if (range_parse_chunk(slice_of(bad[i]), &first, &last))
            fail_msg("%s was accepted", bad[i]);
    }
    assert_true(range_parse_chunk(slice_of("0-0"), &first, &last));
    assert_true(first == 0 && last == 0);
    assert_true(range_parse_chunk(slice_of("1048576-2097151"), &first, &last));
    assert_true(first == 1048576 && last == 2097151);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
