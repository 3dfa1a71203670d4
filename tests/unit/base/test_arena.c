#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/arena.h"

static void test_alloc(void **state)
{
    struct arena a;
    char *p;

    (void)state;
    arena_init(&a, 64 * 1024);
    for (int i = 1; i < 200; i++) {
        p = arena_alloc(&a, (size_t)i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        memset(p, 'x', (size_t)i);
    }
    p = arena_dup(&a, (struct slice){"abc", 2});
    assert_string_equal(p, "ab");
    p = arena_printf(&a, "%s-%d", "x", 7);
    assert_string_equal(p, "x-7");
    assert_non_null(arena_alloc(&a, 0));
    arena_free(&a);
    assert_non_null(arena_alloc(&a, 10));
    arena_free(&a);
}

static void test_bound(void **state)
{
    struct arena a;
    size_t got = 0;

    (void)state;
    arena_init(&a, 10000);
    assert_null(arena_alloc(&a, 10001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    while (arena_alloc(&a, 100))
        got += 100;
    assert_true(got > 8000 && got <= 10000);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
