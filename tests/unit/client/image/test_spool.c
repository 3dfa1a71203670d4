/* Names inside an archive: where a link leads, and that none leads out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/image/spool.h"

static const struct {
    const char *from, *target, *want; /* want NULL: it leaves the archive */
} rows[] = {
    {NULL, "a", "a"},
    {NULL, "./a//b/", "a/b"},
    {NULL, "a/../b", "b"},
    {NULL, "a/b/../../c", "c"},
    {NULL, ".", ""},
    {NULL, "", ""},
    {NULL, "..a/...", "..a/..."},
    {NULL, "..", NULL},
    {NULL, "a/../..", NULL},
    {NULL, "../a", NULL},
    {NULL, "/a", NULL},
    {"x", "a", "a"},
    {"x/layer.tar", "../y/layer.tar", "y/layer.tar"},
    {"x/layer.tar", "layer.tar", "x/layer.tar"},
    {"a/b/c", "../../d", "d"},
    {"a/b/c", "../../../d", NULL},
    {"a/b/c", "/d", NULL},
};

static void test_join(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        char out[PATH_MAX];
        bool ok = spool_join(rows[i].from, rows[i].target, out);
        if (ok != (rows[i].want != NULL))
            fail_msg("%s: %s", rows[i].target, ok ? out : "refused");
        if (ok)
            assert_string_equal(out, rows[i].want);
    }
}

/* The longest name that fits, and one byte more. */
static void test_long(void **state)
{
    (void)state;
    static char text[PATH_MAX + 10], out[PATH_MAX];
    memset(text, 'x', sizeof(text) - 1);
    assert_false(spool_join(NULL, text, out));
    text[PATH_MAX - 2] = '\0';
    assert_true(spool_join(NULL, text, out));
    assert_int_equal(strlen(out), PATH_MAX - 2);
    assert_false(spool_join("a/b", text, out));
    text[PATH_MAX - 2] = 'x';
    /* Many short parts are as long as a long one. */
    for (size_t i = 1; i < sizeof(text) - 1; i += 2)
        text[i] = '/';
    text[sizeof(text) - 1] = '\0';
    assert_false(spool_join(NULL, text, out));
    assert_false(spool_join(text, "x", out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_join),
                                       cmocka_unit_test(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
