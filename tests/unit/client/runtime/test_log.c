/* The log: what is written comes back, over rotations and bad bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/runtime/log.h"
#include "client/runtime/logread.h"

static char folder[] = "/tmp/berth-log-XXXXXX";
static int dir;
static struct clog out;

static int setup(void **state)
{
    struct err e;
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return clog_open(&out, dir, &e);
}

static int teardown(void **state)
{
    static const char *const names[] = {"log", "log.1", "log.2"};
    (void)state;
    clog_close(&out);
    for (size_t i = 0; i < array_len(names); i++)
        (void)unlinkat(dir, names[i], 0);
    (void)close(dir);
    return rmdir(folder);
}

static void put(int stream, const char *text)
{
    clog_write(&out, stream, text, strlen(text));
}

/* The next line must be this. */
static void expect(struct logread *l, int stream, const char *text, size_t n)
{
    struct logread_line line;
    assert_true(logread_next(l, &line));
    assert_int_equal(line.stream, stream);
    assert_int_equal(line.n, n);
    assert_memory_equal(line.text, text, n);
    assert_int_equal(strlen(line.when), 30);
}

static void lines_and_streams(void **state)
{
    struct logread l;
    struct logread_line line;
    (void)state;
    put(1, "one\ntw");
    put(2, "error\n");
    put(1, "o\nrest");
    logread_open(&l, dir);
    expect(&l, 1, "one\n", 4);
    expect(&l, 2, "error\n", 6);
    expect(&l, 1, "two\n", 4);
    assert_false(logread_next(&l, &line));
    clog_close(&out); /* writes what has no newline */
    expect(&l, 1, "rest", 4);
    assert_false(logread_next(&l, &line));
    logread_close(&l);
}

static void bytes(void **state)
{
    static const char text[] = "a\"\\\t\x7f\0z\xc3\xa9\xf0\x9f\x98\x80\n";
    static const char bad[] = "x\xff\xc3(\xed\xa0\x80\xc0\x80\n";
    /* One U+FFFD per bad byte. */
    static const char shown[] =
        "x\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
        "\xef\xbf\xbd\xef\xbf\xbd\n";
    struct logread l;
    (void)state;
    clog_write(&out, 1, text, sizeof(text) - 1);
    clog_write(&out, 1, bad, sizeof(bad) - 1);
    logread_open(&l, dir);
    expect(&l, 1, text, sizeof(text) - 1);
    expect(&l, 1, shown, sizeof(shown) - 1);
    logread_close(&l);
}

static void long_lines(void **state)
{
    static char text[3 * CLOG_LINE_MAX];
    struct logread l;
    struct logread_line line;
    size_t n = 0;
    (void)state;
    /* Two-byte characters at odd offsets: a cut must not go through one. */
    text[0] = 'a';
    for (size_t i = 1; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof(text) - 1] = '\n';
    clog_write(&out, 1, text, sizeof(text));
    logread_open(&l, dir);
    while (logread_next(&l, &line)) {
        assert_true(line.n <= CLOG_LINE_MAX && n + line.n <= sizeof(text));
        assert_memory_equal(line.text, text + n, line.n);
        n += line.n;
    }
    assert_int_equal(n, sizeof(text));
    logread_close(&l);
}

/* Write numbered lines of about 4 KiB until n files' worth went through. */
static unsigned fill(unsigned from, unsigned n_files)
{
    char text[4096];
    unsigned per_file = CLOG_BYTES_MAX / 4200, i = from;
    for (; i < from + per_file * n_files; i++) {
        int n = snprintf(text, sizeof(text), "%08u %4000d\n", i, 0);
        clog_write(&out, 1, text, (size_t)n);
    }
    return i;
}

static unsigned number(const struct logread_line *line)
{
    return (unsigned)strtoul(line->text, NULL, 10);
}

static void rotation_is_bounded(void **state)
{
    static const char *const names[] = {"log", "log.1", "log.2"};
    struct logread l;
    struct logread_line line;
    struct stat st;
    (void)state;
    unsigned end = fill(0, 6), last = 0, n = 0;
    for (size_t i = 0; i < array_len(names); i++) {
        assert_int_equal(fstatat(dir, names[i], &st, 0), 0);
        assert_true(st.st_size <= CLOG_BYTES_MAX);
    }
    assert_int_equal(fstatat(dir, "log.3", &st, 0), -1);
    /* What is kept is the end, without a gap. */
    logread_open(&l, dir);
    for (; logread_next(&l, &line); n++) {
        if (n > 0)
            assert_int_equal(number(&line), last + 1);
        last = number(&line);
    }
    assert_int_equal(last, end - 1);
    assert_true(n > 2 * (CLOG_BYTES_MAX / 4200));
    logread_close(&l);
}

static void follows_over_rotations(void **state)
{
    struct logread l;
    struct logread_line line;
    unsigned want = 0, end;
    (void)state;
    end = fill(0, 1) / 2;
    logread_open(&l, dir);
    for (; want < end; want++) { /* stop in the middle of the first file */
        assert_true(logread_next(&l, &line));
        assert_int_equal(number(&line), want);
    }
    /* Two rotations at once: the reader's file is log.2 by then. */
    end = fill(CLOG_BYTES_MAX / 4200, 2);
    for (; want < end; want++) {
        assert_true(logread_next(&l, &line));
        assert_int_equal(number(&line), want);
    }
    assert_false(logread_next(&l, &line));
    /* Four: its file is gone, it goes on with the oldest that is left. */
    end = fill(end, 4);
    assert_true(logread_next(&l, &line));
    assert_true(number(&line) >= want);
    for (want = number(&line) + 1; want < end; want++) {
        assert_true(logread_next(&l, &line));
        if (number(&line) != want)
            want = number(&line);
    }
    assert_false(logread_next(&l, &line));
    logread_close(&l);
}

static void half_lines_of_the_dead(void **state)
{
    struct logread l;
    struct logread_line line;
    struct err e;
    (void)state;
    put(1, "one\n");
    int fd = openat(dir, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "{\"log\":\"ha", 10), 10);
    (void)close(fd);
    clog_close(&out);
    assert_int_equal(clog_open(&out, dir, &e), 0);
    put(1, "two\n");
    logread_open(&l, dir);
    expect(&l, 1, "one\n", 4);
    expect(&l, 1, "two\n", 4);
    assert_false(logread_next(&l, &line));
    logread_close(&l);
}

static void junk_is_passed_over(void **state)
{
    static const char junk[] = "\n[]\n{}\nnull\n{\"log\":1}\nx\n"
                               "{\"log\":\"a\",\"stream\":\"stdout\"}\n";
    struct logread l;
    struct logread_line line;
    (void)state;
    int fd = openat(dir, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, junk, sizeof(junk) - 1), sizeof(junk) - 1);
    (void)close(fd);
    put(2, "real\n");
    logread_open(&l, dir);
    expect(&l, 2, "real\n", 5);
    assert_false(logread_next(&l, &line));
    logread_close(&l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(lines_and_streams),
                                       TEST(bytes),
                                       TEST(long_lines),
                                       TEST(rotation_is_bounded),
                                       TEST(follows_over_rotations),
                                       TEST(half_lines_of_the_dead),
                                       TEST(junk_is_passed_over)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
