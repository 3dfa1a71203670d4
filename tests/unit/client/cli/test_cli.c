/* The parser of flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "client/cli/cli.h"

static bool yes, no;
static const char *text;
static struct cli_list list;
static uint64_t number, size;
static int64_t sign;

static const struct cli_flag flags[] = {
    {"yes", 'y', CLI_BOOL, &yes, NULL, "y"},
    {"no", 'n', CLI_BOOL, &no, NULL, "n"},
    {"text", 't', CLI_STR, &text, "T", "t"},
    {"list", 'l', CLI_LIST, &list, "L", "l"},
    {"number", 0, CLI_U64, &number, "N", "N"},
    {"sign", 's', CLI_I64, &sign, "N", "N"},
    {"size", 'm', CLI_SIZE, &size, "B", "B"},
    {"later", 'p', CLI_LATER, NULL, NULL, "because"}};

/* Parse up to eight words; the result, with *n arguments in out. */
static enum cli_result parse(const char *const *words, bool is_command,
                             char *out[9], int *n, struct err *e)
{
    const struct cli_verb v = {"verb",           "", "help", flags,
                               array_len(flags), 0,  3,      is_command};
    static char copy[9][64];
    char *argv[10] = {(char *)(uintptr_t) "verb"};
    int argc = 1;
    char **args;
    yes = no = false;
    text = NULL;
    number = size = 0;
    sign = 0;
    cli_list_free(&list);
    for (; words[argc - 1] != NULL; argc++) {
        (void)strncpy(copy[argc - 1], words[argc - 1], 63);
        argv[argc] = copy[argc - 1];
    }
    argv[argc] = NULL;
    *n = 0;
    enum cli_result r = cli_parse(&v, argc, argv, &args, n, e);
    for (int i = 0; i < *n && i < 9; i++)
        out[i] = args[i];
    return r;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void takes_every_form(void **state)
{
    struct err e;
    char *args[9];
    int n;
    (void)state;
    assert_int_equal(parse(WORDS("-yn", "--text", "a", "-lb", "-l=c",
                                 "--list=d", "-s-5", "x"),
                           false, args, &n, &e),
                     CLI_OK);
    assert_true(yes && no);
    assert_string_equal(text, "a");
    assert_int_equal(list.n, 3);
    assert_string_equal(list.v[0], "b");
    assert_string_equal(list.v[1], "c");
    assert_string_equal(list.v[2], "d");
    assert_int_equal(sign, -5);
    assert_int_equal(n, 1);
    assert_string_equal(args[0], "x");
    assert_int_equal(
        parse(WORDS("--yes=false", "-ytv", "-m", "1k"), false, args, &n, &e),
        CLI_OK);
    assert_true(yes);
    assert_string_equal(text, "v");
    assert_int_equal(size, 1024);
    assert_int_equal(parse(WORDS("--yes", "--yes=false"), false, args, &n, &e),
                     CLI_OK);
    assert_false(yes);
    assert_int_equal(parse(WORDS("--yes=1", "-n=T"), false, args, &n, &e),
                     CLI_OK);
    assert_true(yes && no);
    assert_int_equal(parse(WORDS("--yes=False"), false, args, &n, &e), CLI_OK);
    assert_false(yes);
    assert_int_equal(parse(WORDS("--yes=yes"), false, args, &n, &e), CLI_ERROR);
    cli_list_free(&list);
}

static void ends_flags(void **state)
{
    struct err e;
    char *args[9];
    int n;
    (void)state;
    assert_int_equal(parse(WORDS("a", "-y"), false, args, &n, &e), CLI_OK);
    assert_true(yes);
    assert_int_equal(n, 1);
    assert_int_equal(parse(WORDS("a", "-y"), true, args, &n, &e), CLI_OK);
    assert_false(yes);
    assert_int_equal(n, 2);
    assert_string_equal(args[1], "-y");
    assert_int_equal(parse(WORDS("--", "-y", "--no"), false, args, &n, &e),
                     CLI_OK);
    assert_false(yes || no);
    assert_int_equal(n, 2);
    assert_int_equal(parse(WORDS("-"), false, args, &n, &e), CLI_OK);
    assert_string_equal(args[0], "-");
}

static void refuses(void **state)
{
    static const char *const bad[][3] = {
        {"--nope"},      {"-q"},          {"--text"},     {"-t"},
        {"--number=-1"}, {"--number=1x"}, {"--sign=--1"}, {"--sign=-"},
        {"--size=1q"},   {"--yes=maybe"}, {"-y=2"},       {"--tex=a"},
        {"a", "b", "c"}, {"--number="},   {"--=x"},       {"-yq"}};
    struct err e;
    char *args[9];
    int n;
    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        const char *words[5] = {bad[i][0], bad[i][1], bad[i][2]};
        if (bad[i][2] != NULL)
            words[3] = "d"; /* one argument too many */
        if (parse(words, false, args, &n, &e) != CLI_ERROR)
            fail_msg("accepted: %s", bad[i][0]);
    }
    assert_int_equal(parse(WORDS("-p", "80:80"), false, args, &n, &e),
                     CLI_ERROR);
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "--later"));
    assert_non_null(strstr(e.msg, "because"));
    assert_int_equal(parse(WORDS("--later=x"), false, args, &n, &e), CLI_ERROR);
    cli_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_form),
        cmocka_unit_test(ends_flags),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
