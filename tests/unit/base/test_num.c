#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_parse(void **state)
{
    static const char *const bad[] = {
        "",   "+1", "-1", " 1", "1 ", "0x1", "1_0", "18446744073709551616",
        "1\n"};
    uint64_t v = 7;

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(num_parse_u64(slice_of(bad[i]), UINT64_MAX, &v));
    assert_int_equal(v, 7);
    assert_true(
        num_parse_u64(slice_of("18446744073709551615"), UINT64_MAX, &v));
    assert_true(v == UINT64_MAX);
    assert_true(num_parse_u64(slice_of("0"), 0, &v));
    assert_false(num_parse_u64(slice_of("101"), 100, &v));
}

static void test_decimal(void **state)
{
    static const struct {
        const char *text;
        uint64_t whole;
        uint32_t nano;
    } good[] = {{"12", 12, 0},         {"1.5", 1, 500000000},
                {".5", 0, 500000000},  {"1.", 1, 0},
                {"0.000000001", 0, 1}, {"100.999999999", 100, 999999999}};
    static const char *const bad[] = {"",     ".",    "1..5",         "1.5.5",
                                      "-1",   "1.-5", "1e3",          " 1.5",
                                      "1.5 ", "101",  "1.0000000001", "0x1"};
    uint64_t whole;
    uint32_t nano;

    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        if (!num_parse_decimal(slice_of(good[i].text), 100, &whole, &nano) ||
            whole != good[i].whole || nano != good[i].nano)
            fail_msg("%s", good[i].text);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        if (num_parse_decimal(slice_of(bad[i]), 100, &whole, &nano))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void test_hex(void **state)
{
    unsigned char raw[3];
    char hex[7];

    (void)state;
    assert_true(num_unhex(slice_of("00ff1a"), raw, 3));
    num_hex(raw, 3, hex);
    assert_string_equal(hex, "00ff1a");
    assert_false(num_unhex(slice_of("00FF1A"), raw, 3));
    assert_false(num_unhex(slice_of("00ff1"), raw, 3));
    assert_false(num_unhex(slice_of("00ff1g"), raw, 3));
}

static void test_slices(void **state)
{
    (void)state;
    assert_true(slice_is(slice_of("tags"), "tags"));
    assert_false(slice_is(slice_of("tags"), "tag"));
    assert_true(slice_is_nocase(slice_of("Chunked"), "chunked"));
    assert_true(slice_eq((struct slice){NULL, 0}, slice_of("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
