/* Patterns of repository names. */
#include "auth/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_matches(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"a/b", "a/b", true},
        {"a/b", "a/bc", false},
        {"a/b", "a", false},
        {"a/b", "x/a/b", false},
        {"*", "a", true},
        {"*", "a/b", false},
        {"**", "a", true},
        {"**", "a/b/c", true},
        {"a/*", "a/b", true},
        {"a/*", "a/b/c", false},
        {"a/**", "a/b/c", true},
        {"a/**", "a", false},
        {"a/**", "ab/c", false},
        {"*/x", "a/x", true},
        {"*/x", "a/b/x", false},
        {"**/x", "a/b/x", true},
        {"**/x", "x", false},
        {"a*c", "abbc", true},
        {"a*c", "ac", true},
        {"a*c", "a/c", false},
        {"a**c", "a/b/c", true},
        {"*a*a*", "banana", true},
        {"a***b", "a/x/b", true},
        {"*-dev", "x-dev", true},
        {"*-dev", "x-devel", false},
        {"a.b", "axb", false},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        bool got =
            pattern_matches(slice_of(rows[i].pattern), slice_of(rows[i].name));

        if (got != rows[i].matches)
            fail_msg("%s %s %s", rows[i].pattern, got ? "matches" : "misses",
                     rows[i].name);
    }
}

/* The worst a pattern can be is the product of both lengths. */
static void test_many_stars(void **state)
{
    char pattern[PATTERN_MAX + 2], name[PATTERN_MAX + 2];

    (void)state;
    for (size_t i = 0; i + 1 < sizeof(pattern); i++) {
        pattern[i] = i % 2 ? 'a' : '*';
        name[i] = 'a';
    }
    pattern[PATTERN_MAX] = name[PATTERN_MAX] = '\0';
    assert_true(pattern_matches(slice_of(pattern), slice_of(name)));
    name[PATTERN_MAX - 1] = 'b';
    pattern[PATTERN_MAX - 1] = 'a';
    assert_false(pattern_matches(slice_of(pattern), slice_of(name)));
    assert_false(
        pattern_matches(slice_of("**"), (struct slice){name, sizeof(name)}));
}

static void test_validity(void **state)
{
    static const char *const good[] = {"a", "**", "a/*", "a-b_c.d/**", "*/x*"};
    static const char *const bad[] = {"",     "/", "a/",  "/a",
                                      "a//b", "A", "a b", "a?"};

    (void)state;
    for (size_t i = 0; i < array_len(good); i++)
        if (!pattern_is_valid(slice_of(good[i])))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < array_len(bad); i++)
        if (pattern_is_valid(slice_of(bad[i])))
            fail_msg("%s is accepted", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_many_stars),
        cmocka_unit_test(test_validity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
