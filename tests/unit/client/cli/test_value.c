/* Grammars of flag values: what docker takes and refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "client/cli/value.h"

static void cpus(void **state)
{
    static const struct {
        const char *text;
        uint64_t nano;
    } good[] = {{"1", 1000000000},          {"0", 0},
                {".5", 500000000},          {"1.", 1000000000},
                {"1.25", 1250000000},       {"0.01", 10000000},
                {"2.000000001", 2000000001}};
    static const char *const bad[] = {"",      ".",  "-1",           "1,5",
                                      "0.001", "x",  "1e3",          "1.x",
                                      "1..2",  " 1", "1.0000000001", "99999"};
    uint64_t nano;
    struct err e;
    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        assert_int_equal(value_cpus(good[i].text, &nano, &e), 0);
        assert_int_equal(nano, good[i].nano);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        if (value_cpus(bad[i], &nano, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void cpusets(void **state)
{
    static const char *const bad[] = {"",  ",",  "1,",   "2-1", "x",
                                      "-", "1-", "8192", "1 2", "1--2"};
    struct value_cpuset a, b;
    struct err e;
    (void)state;
    assert_int_equal(value_cpuset("f", "0-2,5", &a, &e), 0);
    assert_int_equal(a.bits[0], 0x27);
    assert_int_equal(value_cpuset("f", "0-7", &b, &e), 0);
    assert_true(value_cpuset_within(&a, &b));
    assert_false(value_cpuset_within(&b, &a));
    for (size_t i = 0; i < array_len(bad); i++) {
        if (value_cpuset("f", bad[i], &a, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void swap(void **state)
{
    int64_t v;
    struct err e;
    (void)state;
    assert_int_equal(value_swap(NULL, 0, &v, &e), 0);
    assert_int_equal(v, 0);
    assert_int_equal(value_swap("-1", 0, &v, &e), 0);
    assert_int_equal(v, -1);
    assert_int_equal(value_swap("0", 64 << 20, &v, &e), 0);
    assert_int_equal(v, 0);
    assert_int_equal(value_swap("64m", 64 << 20, &v, &e), 0);
    assert_int_equal(v, 64 << 20);
    assert_int_equal(value_swap("32m", 64 << 20, &v, &e), -1);
    assert_int_equal(value_swap("64m", 0, &v, &e), -1);
    assert_int_equal(value_swap("-2", 64 << 20, &v, &e), -1);
    assert_int_equal(value_swap("x", 64 << 20, &v, &e), -1);
}

static void ulimits(void **state)
{
    static const char *const bad[] = {
        "nofile",       "nofile=",
        "=1",           "nofile=5:4",
        "nofile=1:2:3", "nope=1",
        "nofile=-2",    "nofile=1:",
        "nofile=:1",    "nofile=x",
        "nofile=-1:5",  "NOFILE=1",
        "nofile= 1",    "nofile=99999999999999999999"};
    struct rlimit u;
    struct err e;
    int which;
    (void)state;
    assert_int_equal(value_ulimit("nofile=10:20", &which, &u, &e), 0);
    assert_int_equal(which, RLIMIT_NOFILE);
    assert_int_equal(u.rlim_cur, 10);
    assert_int_equal(u.rlim_max, 20);
    assert_int_equal(value_ulimit("core=7", &which, &u, &e), 0);
    assert_int_equal(u.rlim_max, 7);
    assert_int_equal(value_ulimit("core=0:-1", &which, &u, &e), 0);
    assert_true(u.rlim_max == RLIM_INFINITY);
    assert_string_equal(value_ulimit_name(RLIMIT_NPROC), "nproc");
    assert_null(value_ulimit_name(99));
    for (size_t i = 0; i < array_len(bad); i++) {
        if (value_ulimit(bad[i], &which, &u, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void volumes(void **state)
{
    static const struct {
        const char *text, *source, *target;
        bool ro;
    } good[] = {
        {"/a:/b", "/a", "/b", false},        {"/a/:/b/", "/a", "/b", false},
        {"/a//x:/b:ro", "/a/x", "/b", true}, {"/a:/b:rw", "/a", "/b", false},
        {"/a:/b:ro,z", "/a", "/b", true},    {"/b", "", "/b", false},
        {"./x:/b", "/cwd/./x", "/b", false}, {"..:/b", "/cwd/..", "/b", false},
        {".:/b", "/cwd/.", "/b", false}};
    static const char *const bad[] = {
        "",       "a:/b",       "/a:b",       "/a:/",        "/a:/b:foo",
        "/a:/b:", "/a:/b:ro:x", ":/b",        "b",           "/a:/b/../c",
        "/a:/..", "rel/x:/b",   ".hidden:/b", "/a:/b:ro,,z", "/a:/b:shared"};
    struct value_volume v;
    struct err e;
    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        if (value_volume(good[i].text, "/cwd", &v, &e) != 0)
            fail_msg("refused: %s: %s", good[i].text, e.msg);
        assert_string_equal(v.source, good[i].source);
        assert_string_equal(v.target, good[i].target);
        assert_int_equal(v.is_read_only, good[i].ro);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        if (value_volume(bad[i], "/cwd", &v, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void long_paths(void **state)
{
    struct value_volume v;
    struct err e;
    (void)state;
    char *text = malloc(3 * PATH_MAX);
    assert_non_null(text);
    memset(text, 'x', 3 * PATH_MAX);
    text[0] = '/';
    text[PATH_MAX + 5] = ':';
    text[PATH_MAX + 6] = '/';
    text[PATH_MAX + 8] = '\0';
    assert_int_equal(value_volume(text, "/", &v, &e), -1);
    memcpy(text, "/a:/", 4);
    text[2 * PATH_MAX] = '\0';
    memset(text + 4, 'y', 2 * PATH_MAX - 4);
    assert_int_equal(value_volume(text, "/", &v, &e), -1);
    free(text);
}

static void tmpfs(void **state)
{
    static const char *const bad[] = {
        "t",
        "/",
        "/t:nope",
        "/t:size",
        "/t:foo=1",
        "/t:lower=/",
        "relative:size=1m",
        "/t:size=1,size=1,size=1,size=1,size=1,size=1,size=1,size=1,size=1"};
    struct value_tmpfs t;
    struct err e;
    (void)state;
    assert_int_equal(value_tmpfs("/t/", &t, &e), 0);
    assert_string_equal(t.target, "/t");
    assert_int_equal(t.n, 0);
    assert_int_equal(value_tmpfs("/t:ro,exec,size=1m,mode=700,uid=5", &t, &e),
                     0);
    assert_true(t.is_read_only && t.has_exec && t.has_mode);
    assert_false(t.has_suid || t.has_dev);
    assert_int_equal(t.n, 3);
    assert_string_equal(t.option[1][0], "mode");
    assert_string_equal(t.option[1][1], "700");
    for (size_t i = 0; i < array_len(bad); i++) {
        if (value_tmpfs(bad[i], &t, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void times(void **state)
{
    const struct timespec now = {1000000, 500000000};
    static const struct {
        const char *text;
        time_t s;
        long ns;
    } good[] = {{"1970-01-02T00:00:00Z", 86400, 0},
                {"1970-01-02T00:00:00.25Z", 86400, 250000000},
                {"1970-01-02T02:00:00+02:00", 86400, 0},
                {"1970-01-01T22:30:00-01:30", 86400, 0},
                {"1970-01-02", 86400, 0}, /* TZ is UTC here */
                {"1970-01-02T00:01", 86460, 0},
                {"12345", 12345, 0},
                {"12345.5", 12345, 500000000},
                {"10s", 999990, 500000000},
                {"1m30s", 999910, 500000000},
                {"1.5h", 994600, 500000000},
                {"500ms", 1000000, 0},
                {"300h", 0, 0}};
    static const char *const bad[] = {"",
                                      "x",
                                      "10x",
                                      "1970-13-01",
                                      "-5",
                                      "1970-1-1",
                                      "5m3",
                                      "1970-01-02 1",
                                      "1970-01-02T25:00:00Z",
                                      "1d",
                                      "s",
                                      "-10m",
                                      "99999999999h",
                                      "1970-01-02T00:00:00z",
                                      "1970-01-02T00:00:00.1234567890Z"};
    struct timespec t;
    struct err e;
    (void)state;
    (void)setenv("TZ", "UTC", 1);
    for (size_t i = 0; i < array_len(good); i++) {
        if (value_time("--since", good[i].text, now, &t, &e) != 0)
            fail_msg("refused: %s", good[i].text);
        if (t.tv_sec != good[i].s || t.tv_nsec != good[i].ns)
            fail_msg("%s: %lld.%09ld", good[i].text, (long long)t.tv_sec,
                     t.tv_nsec);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        if (value_time("--since", bad[i], now, &t, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void env_lines(void **state)
{
    static const struct {
        const char *text, *rest;
        size_t n;
    } good[] = {{"A=1", "A=1", 1},     {"  A=1 2", "A=1 2", 1},
                {"# c", "# c", 0},     {"", "", 0},
                {" \t", "", 0},        {"NAME", "NAME", 4},
                {"A=x=y", "A=x=y", 1}, {"A=\"q\"", "A=\"q\"", 1}};
    static const char *const bad[] = {"=x", " =x", "A B=1", "A =1", "A\tB"};
    struct err e;
    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        const char *line = good[i].text;
        size_t n;
        assert_int_equal(value_env_line(&line, &n, &e), 0);
        assert_string_equal(line, good[i].rest);
        assert_int_equal(n, good[i].n);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        const char *line = bad[i];
        size_t n;
        if (value_env_line(&line, &n, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpus),      cmocka_unit_test(cpusets),
        cmocka_unit_test(swap),      cmocka_unit_test(ulimits),
        cmocka_unit_test(volumes),   cmocka_unit_test(long_paths),
        cmocka_unit_test(tmpfs),     cmocka_unit_test(times),
        cmocka_unit_test(env_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
