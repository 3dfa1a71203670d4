#include "storage/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_repo(void **state)
{
    static const char *const good[] = {
        "a",     "library/busybox", "a--b",      "a__b",
        "a.b",   "a-b_c.d/e",       "0/1",       "a/tags/list",
        "a---b", "blobs/uploads",   "manifests",
    };
    static const char *const bad[] = {
        "",       "/",        "a/",  "/a",  "a//b", "A",  "Foo/bar",
        "a___b",  "-a",       "a-",  "a_",  "a._b", "..", "a/.",
        "a/../b", "a..b",     "a b", "a\n", "a-_b", "_a", "a:b",
        "a%b",    "\xc3\xa9", "a{b", "a`b",
    };
    char full[257];

    (void)state;
    for (size_t i = 0; i < array_len(good); i++)
        assert_true(name_is_repository(slice_of(good[i])));
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(name_is_repository(slice_of(bad[i])));
    memset(full, 'a', sizeof(full));
    assert_true(name_is_repository((struct slice){full, 255}));
    assert_false(name_is_repository((struct slice){full, 256}));
    assert_false(name_is_repository((struct slice){"a\0b", 3}));
}

static void test_tag(void **state)
{
    static const char *const good[] = {"latest", "1.2.3", "_x", "A-b_c.",
                                       "sha256-ab.sig"};
    static const char *const bad[] = {"",    "-a",  ".a", "a b",
                                      "a/b", "a:b", "a+b"};
    char full[129];

    (void)state;
    for (size_t i = 0; i < array_len(good); i++)
        assert_true(name_is_tag(slice_of(good[i])));
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(name_is_tag(slice_of(bad[i])));
    memset(full, 'a', sizeof(full));
    assert_true(name_is_tag((struct slice){full, 128}));
    assert_false(name_is_tag((struct slice){full, 129}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repo),
        cmocka_unit_test(test_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
