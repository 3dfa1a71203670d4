#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/io.h"

static void test_escape(void **state)
{
    char out[64], small[16];

    (void)state;
    assert_string_equal(log_escape(out, sizeof(out), "a\n\"\\\x7f\xc3", 6),
                        "a\\x0a\\x22\\x5c\\x7f\\xc3");
    assert_string_equal(log_escape(out, sizeof(out), "", 0), "");
    log_escape(small, sizeof(small), "\1\1\1\1\1\1\1\1\1\1", 10);
    assert_true(strlen(small) < sizeof(small));
    assert_non_null(strstr(small, "..."));
}

static void test_file(void **state)
{
    char dir[] = "/tmp/berth-log-XXXXXX", path[64], old[64], *text;
    enum log_level level;
    struct err e;
    size_t n;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/log", dir);
    snprintf(old, sizeof(old), "%s/log.1", dir);
    assert_int_equal(log_open(path, &e), 0);
    log_line(LOG_LEVEL_WARN, "first %d", 1);
    log_line(LOG_LEVEL_DEBUG, "below the level");
    assert_int_equal(rename(path, old), 0);
    assert_int_equal(log_reopen(&e), 0);
    log_line(LOG_LEVEL_ERROR, "second");
    assert_int_equal(io_read_file(-100, old, 4096, &text, &n, &e), 0);
    assert_non_null(strstr(text, "Z warn first 1\n"));
    assert_null(strstr(text, "below"));
    free(text);
    assert_int_equal(io_read_file(-100, path, 4096, &text, &n, &e), 0);
    assert_non_null(strstr(text, "error second\n"));
    free(text);
    assert_int_equal(log_open(NULL, &e), 0);
    assert_int_equal(log_level_parse("debug", &level), 0);
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_parse("loud", &level), -1);
    unlink(path);
    unlink(old);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
