/*
 * Names inside an archive: where a link leads, and that none leads out.  And
 * what is believed of the process that read it: child_run() is replaced by
 * one that reports what a process that was taken over might.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "client/archive/spool_int.h"
#include "client/image/child.h"
#include "tests/unit/client/kit.h"

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

/* ---- a child that cannot be trusted --------------------------------------*/

/* What the child leaves as the file s-0, and what it reports of it. */
struct lie {
    const char *what;
    mode_t type;
    struct spool_report report;
    struct spool_record record;
    const char *name, *link;
    size_t cut; /* bytes of the report that do not come */
    enum err_code want;
};

static const struct lie *lie;

static void make_file(int dir)
{
    if (lie->type == S_IFLNK)
        assert_int_equal(symlinkat("/etc/passwd", dir, "s-0"), 0);
    else if (lie->type == S_IFDIR)
        assert_int_equal(mkdirat(dir, "s-0", 0755), 0);
    else if (lie->type == S_IFIFO)
        assert_int_equal(mkfifoat(dir, "s-0", 0600), 0);
    else if (lie->type != 0)
        close(openat(dir, "s-0", O_CREAT | O_WRONLY, 04755));
    if (lie->type == S_IFSOCK) /* stands for: a file of two names */
        assert_int_equal(linkat(dir, "s-0", dir, "other", 0), 0);
}

int __wrap_child_run(child_work *work, child_read *on_report, void *arg,
                     struct err *e);

int __wrap_child_run(child_work *work, child_read *on_report, void *arg,
                     struct err *e)
{
    int ends[2];
    char text[1000];
    size_t n = 0;
    (void)work;
    memcpy(text, &lie->report, sizeof(lie->report));
    n += sizeof(lie->report);
    memcpy(text + n, &lie->record, sizeof(lie->record));
    n += sizeof(lie->record);
    n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", lie->name,
                          lie->link != NULL ? lie->link : "");
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], text, n - lie->cut), n - lie->cut);
    close(ends[1]);
    int rc = on_report(arg, ends[0], e);
    close(ends[0]);
    return rc;
}

#define ONE    \
    {          \
        .n = 1 \
    }
#define REC(len)          \
    {                     \
        .name_len = (len) \
    }

static const struct lie lies[] = {
    {"nothing is wrong", S_IFREG, ONE, REC(1), "a", NULL, 0, ERR_NONE},
    {"a link",
     0,
     ONE,
     {.name_len = 1, .link_len = 1, .is_link = 1},
     "a",
     "b",
     0,
     ERR_NONE},
    {"its own error",
     0,
     {.rc = -1, .err = {.code = ERR_TOO_LARGE}},
     REC(0),
     "",
     NULL,
     0,
     ERR_TOO_LARGE},
    {"a symlink", S_IFLNK, ONE, REC(1), "a", NULL, 0, ERR_INVALID},
    {"a folder", S_IFDIR, ONE, REC(1), "a", NULL, 0, ERR_INVALID},
    {"a pipe", S_IFIFO, ONE, REC(1), "a", NULL, 0, ERR_INVALID},
    {"two names", S_IFSOCK, ONE, REC(1), "a", NULL, 0, ERR_INVALID},
    {"no file", 0, ONE, REC(1), "a", NULL, 0, ERR_NOT_FOUND},
    {"a path up", S_IFREG, ONE, REC(4), "../a", NULL, 0, ERR_INTERNAL},
    {"an absolute path", S_IFREG, ONE, REC(2), "/a", NULL, 0, ERR_INTERNAL},
    {"not clean", S_IFREG, ONE, REC(3), "./a", NULL, 0, ERR_INTERNAL},
    {"no name", S_IFREG, ONE, REC(0), "", NULL, 0, ERR_INTERNAL},
    {"a huge name", S_IFREG, ONE, REC(UINT32_MAX), "a", NULL, 0, ERR_INTERNAL},
    {"another number",
     S_IFREG,
     ONE,
     {.number = 7, .name_len = 1},
     "a",
     NULL,
     0,
     ERR_INTERNAL},
    {"a link up",
     0,
     ONE,
     {.name_len = 1, .link_len = 4, .is_link = 1},
     "a",
     "../b",
     0,
     ERR_INTERNAL},
    {"too few", S_IFREG, {.n = 2}, REC(1), "a", NULL, 0, ERR_PROTOCOL},
    {"a short name", S_IFREG, ONE, REC(1), "a", NULL, 1, ERR_PROTOCOL},
    {"nothing", S_IFREG, ONE, REC(1), "", NULL,
     sizeof(struct spool_report) + sizeof(struct spool_record), ERR_PROTOCOL},
};

static void test_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(lies); i++) {
        struct kit k;
        struct istore_scratch *sc;
        struct spool *sp = NULL;
        struct err e = {.code = ERR_NONE};
        lie = &lies[i];
        kit_folder(&k, true);
        kit_open(&k);
        sc = kit_scratch(&k);
        int top = istore_scratch_dirfd(sc);
        assert_int_equal(io_mkdir(top, SPOOL_FOLDER, 0700, &e), 0);
        int dir = openat(top, SPOOL_FOLDER, O_RDONLY | O_DIRECTORY);
        make_file(dir);
        close(dir);
        int rc = spool_read_tar(sc, STDIN_FILENO, &sp, &e);
        if ((rc == 0) != (lie->want == ERR_NONE) || e.code != lie->want)
            fail_msg("%s: %d %s", lie->what, (int)e.code, e.msg);
        if (rc == 0 && lie->link == NULL)
            assert_string_equal(spool_find(sp, "a")->hex,
                                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b93"
                                "4ca495991b7852b855");
        if (rc == 0 && lie->link != NULL)
            assert_null(spool_find(sp, "a"));
        spool_free(sp);
        istore_scratch_free(sc);
        kit_close(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_join),
                                       cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_lies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
