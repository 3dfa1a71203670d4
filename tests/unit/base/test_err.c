#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_set_formats(void **state)
{
    struct err e = {0};

    (void)state;
    assert_int_equal(err_set(&e, ERR_INVALID, "tag %s is bad", "-x"), -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_int_equal(e.sys, 0);
    assert_string_equal(e.msg, "tag -x is bad");
}

static void test_sys_maps_errno(void **state)
{
    static const struct {
        int sys;
        enum err_code code;
    } rows[] = {{ENOENT, ERR_NOT_FOUND}, {ENOSPC, ERR_NO_SPACE},
                {EDQUOT, ERR_NO_SPACE},  {ENOMEM, ERR_NO_MEMORY},
                {EMFILE, ERR_NO_MEMORY}, {ENFILE, ERR_NO_MEMORY},
                {EFBIG, ERR_TOO_LARGE},  {EROFS, ERR_READ_ONLY},
                {EEXIST, ERR_EXISTS},    {EACCES, ERR_IO}};

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct err e = {0};

        err_sys(&e, rows[i].sys, "open x");
        assert_int_equal(e.code, rows[i].code);
        assert_int_equal(e.sys, rows[i].sys);
        assert_non_null(strstr(e.msg, "open x: "));
    }
}

static void test_prefix_keeps_the_cause(void **state)
{
    struct err e = {0};
    char lengthy[400];

    (void)state;
    err_sys(&e, ENOSPC, "write");
    err_prefix(&e, "layer %d", 3);
    assert_int_equal(e.code, ERR_NO_SPACE);
    assert_int_equal(e.sys, ENOSPC);
    assert_string_equal(e.msg, "layer 3: write: No space left on device");
    memset(lengthy, 'a', sizeof(lengthy) - 1);
    lengthy[sizeof(lengthy) - 1] = '\0';
    err_prefix(&e, "%s", lengthy);
    assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_formats),
        cmocka_unit_test(test_sys_maps_errno),
        cmocka_unit_test(test_prefix_keeps_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
