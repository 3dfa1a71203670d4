/* Sizes and ages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/cli/amount.h"

static void sizes(void **state)
{
    static const struct {
        const char *in;
        uint64_t out;
    } good[] = {{"0", 0},
                {"1", 1},
                {"64m", 64ull << 20},
                {"64M", 64ull << 20},
                {"64mb", 64ull << 20},
                {"64MiB", 64ull << 20},
                {"1kib", 1024},
                {"10b", 10},
                {"1.5g", 3ull << 29},
                {"0.5k", 512},
                {"1 g", 1ull << 30},
                {"2t", 2ull << 40}};
    static const char *const bad[] = {"",
                                      "m",
                                      "b",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1x",
                                      "1mm",
                                      "1mbb",
                                      "1i",
                                      "1.",
                                      ".5g",
                                      "1..5",
                                      "1.x",
                                      "1ib",
                                      "1 ",
                                      "0x1",
                                      "9223372036854775808",
                                      "99999999999g",
                                      "1e3"};
    uint64_t v;
    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        if (!amount_parse_size(good[i].in, &v) || v != good[i].out)
            fail_msg("%s", good[i].in);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        if (amount_parse_size(bad[i], &v))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void ages(void **state)
{
    static const struct {
        int64_t s;
        const char *text;
    } age[] = {{-5, "Less than a second"},
               {0, "Less than a second"},
               {1, "1 second"},
               {59, "59 seconds"},
               {60, "About a minute"},
               {119, "About a minute"},
               {120, "2 minutes"},
               {3599, "59 minutes"},
               {3600, "About an hour"},
               {5399, "About an hour"},
               {5400, "2 hours"},
               {47 * 3600, "47 hours"},
               {48 * 3600, "2 days"},
               {13 * 86400, "13 days"},
               {14 * 86400, "2 weeks"},
               {59 * 86400, "8 weeks"},
               {60 * 86400, "2 months"},
               {700 * 86400, "23 months"},
               {731 * 86400, "2 years"}};
    char out[32];
    (void)state;
    for (size_t i = 0; i < array_len(age); i++) {
        amount_format_age(age[i].s, out);
        assert_string_equal(out, age[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(ages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
