/* Range and the Content-Range of chunks. */
#include "server/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_range(void **state)
{
    static const struct {
        const char *header;
        int64_t size;
        enum range_result result;
        int64_t first, last;
    } rows[] = {
        {"bytes=0-0", 10, RANGE_ONE, 0, 0},
        {"bytes=2-5", 10, RANGE_ONE, 2, 5},
        {"BYTES=2-5", 10, RANGE_ONE, 2, 5},
        {"bytes=2-", 10, RANGE_ONE, 2, 9},
        {"bytes=2-99", 10, RANGE_ONE, 2, 9},
        {"bytes=9-99999999999999999999", 10, RANGE_ONE, 9, 9},
        {"bytes=-3", 10, RANGE_ONE, 7, 9},
        {"bytes=-30", 10, RANGE_ONE, 0, 9},
        {"bytes=-99999999999999999999", 10, RANGE_ONE, 0, 9},
        {"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=5-2", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=a-b", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=1-b", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=+1-2", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=99999999999999999999-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-0", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-1,3-4", 10, RANGE_NONE, 0, 0},
        {"lines=0-1", 10, RANGE_NONE, 0, 0},
        {"byte", 10, RANGE_NONE, 0, 0},
        {"", 10, RANGE_NONE, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        int64_t first = 0, last = 0;
        enum range_result r =
            range_parse(slice_of(rows[i].header), rows[i].size, &first, &last);

        if (r != rows[i].result)
            fail_msg("%s of %lld: %d", rows[i].header, (long long)rows[i].size,
                     (int)r);
        if (r == RANGE_ONE) {
            assert_true(first == rows[i].first);
            assert_true(last == rows[i].last);
        }
    }
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
        cmocka_unit_test(test_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
