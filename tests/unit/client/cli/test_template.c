/* --format templates over JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "client/cli/template.h"

static const char document[] =
    "{\"Id\":\"abc\",\"State\":{\"Running\":true,\"Pid\":7,\"Error\":\"\"},"
    "\"Args\":[\"a\",\"b c\"],\"None\":null,"
    "\"Labels\":{\"a.b\":\"x\",\"c\":\"y\"},\"R\":0.5}";

/* What a template prints, malloc'd, or NULL when it is refused. */
static char *filled(const char *format)
{
    char *out = NULL;
    size_t n;
    struct err e;
    FILE *f = open_memstream(&out, &n);
    json_t *o = json_loads(document, 0, NULL);
    int rc = template_print(format, o, f, &e);
    json_decref(o);
    (void)fclose(f);
    if (rc == 0)
        return out;
    assert_int_equal(n, 0); /* nothing of it was printed */
    free(out);
    return NULL;
}

static void good(void **state)
{
    static const char *const rows[][2] = {
        {"", "\n"},
        {"plain", "plain\n"},
        {"{{.Id}}", "abc\n"},
        {"{{ .Id }}-{{.State.Pid}}", "abc-7\n"},
        {"{{.State.Running}}{{.State.Error}}", "true\n"},
        {"{{.None}}", "<nil>\n"},
        {"{{.R}}", "0.5\n"},
        {"{{.Args}}", "[a b c]\n"},
        {"{{.Labels}}", "map[a.b:x c:y]\n"},
        {"{{json .Args}}", "[\"a\",\"b c\"]\n"},
        {"{{json .Id}}", "\"abc\"\n"},
        {"{{json  .State.Pid }}", "7\n"},
        {"{{index .Args 1}}", "b c\n"},
        {"{{index .Labels \"a.b\"}}", "x\n"},
        {"{{index .Labels \"no\"}}", "<nil>\n"},
        {"{{index .Args 9}}", "<nil>\n"},
        {"a {b} }}", "a {b} }}\n"},
    };
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        char *out = filled(rows[i][0]);
        if (out == NULL)
            fail_msg("refused: %s", rows[i][0]);
        assert_string_equal(out, rows[i][1]);
        free(out);
    }
}

static void bad(void **state)
{
    static const char *const rows[] = {"{{",
                                       "{{}}",
                                       "{{.Id",
                                       "{{.Id}",
                                       "{{Id}}",
                                       "{{.No}}",
                                       "{{.Id.X}}",
                                       "{{.State..Pid}}",
                                       "{{.State.}}",
                                       "{{.Id x}}",
                                       "{{range .Args}}",
                                       "{{index .Args}}",
                                       "{{index .Labels \"a.b}}",
                                       "{{index .Args -1}}",
                                       "{{json}}",
                                       "{{json Id}}",
                                       "{{if .Id}}x{{end}}",
                                       "before {{.No}}"};
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        if (filled(rows[i]) != NULL)
            fail_msg("accepted: %s", rows[i]);
    }
}

static void long_words(void **state)
{
    char format[2000] = "{{.";
    (void)state;
    memset(format + 3, 'x', 1000);
    memcpy(format + 1003, "}}", 3);
    assert_null(filled(format));
    memcpy(format, "{{index .Labels \"", 17);
    memset(format + 17, 'x', 1000);
    memcpy(format + 1017, "\"}}", 4);
    assert_null(filled(format));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good),
                                       cmocka_unit_test(bad),
                                       cmocka_unit_test(long_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
